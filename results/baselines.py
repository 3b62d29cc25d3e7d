"""The models that a study's networks are to beat, as rows beside its leaderboard."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pennyweight.results.leaderboard import wilson_interval
from pennyweight.results.study_records import BaselineRun, StudyRecords
from pennyweight.train.cores import own_seconds


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A model made elsewhere; accuracies are fractions with their 95% intervals."""

    model: str
    about: str
    params: int  # trained parameters, or where `stored` the numbers that predicting takes
    stored: bool
    examples: int  # pictures it learned from
    epochs: int | None
    seed: int
    val_accuracy: float | None
    val_low: float | None
    val_high: float | None
    test_accuracy: float | None  # None where the test set was not read for it
    test_low: float | None
    test_high: float | None
    seconds: float
    study: str | None  # of a network: in which it was trained, as commands take it

    @property
    def title(self) -> str:
        """What it is and learned from, in one line."""
        return f"{self.model} of {self.examples:,} pictures: {self.about}"


def baselines(study: StudyRecords) -> list[Baseline]:
    """One row for each model, the most accurate on validation first, then the smallest."""
    parts: defaultdict[object, dict[str, BaselineRun]] = defaultdict(dict)
    for run in study.baselines:
        parts[run.key][run.part] = run
    found = [_baseline(runs) for runs in parts.values()]
    return sorted(found, key=lambda row: (-(row.val_accuracy or 0.0), row.params, row.model))


def _baseline(runs: dict[str, BaselineRun]) -> Baseline:
    first = next(iter(runs.values()))
    val, test = _measured(runs.get("validation")), _measured(runs.get("test"))
    return Baseline(
        model=first.model,
        about=first.about,
        params=first.numbers,
        stored=not first.trained,
        examples=first.examples,
        epochs=first.epochs,
        seed=first.seed,
        val_accuracy=val[0],
        val_low=val[1],
        val_high=val[2],
        test_accuracy=test[0],
        test_low=test[1],
        test_high=test[2],
        seconds=sum(own_seconds(run.seconds) for run in runs.values()),
        study=first.study,
    )


def _measured(run: BaselineRun | None) -> tuple[float, float, float] | tuple[None, None, None]:
    if run is None:
        return None, None, None
    return run.correct / run.total, *wilson_interval(run.correct, run.total)
