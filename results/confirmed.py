"""What a study's candidates are worth when they are trained again from fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.results.study_records import FreshRun, StudyRecords

LEAST_SEEDS = 3  # before a candidate can be called clearly behind


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A trial trained again from each of `seeds` on training and validation pictures.

    Accuracies are those of the last epoch on the test set, fractions. `tied_with` are the trials
    that the race before it did not tell apart from this one.
    """

    trial: int
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    mean: float
    low: float
    high: float
    tied_with: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def confirmed(study: StudyRecords) -> list[Confirmed]:
    """The confirmed trials of `study`, the last one that was confirmed first."""
    tested: dict[int, list[FreshRun]] = {}
    for run in study.fresh_runs:
        if run.part == "test":
            tested.setdefault(run.trial, []).append(run)
    raced = race_results(study)
    return [_confirmed(trial, runs, raced) for trial, runs in reversed(tested.items())]


def race_results(study: StudyRecords) -> dict[int, list[float]]:
    """Validation accuracies of fresh seeds, in order of the seed, by trial."""
    raced: dict[int, list[float]] = {}
    for run in sorted(study.fresh_runs, key=lambda run: (run.trial, run.seed)):
        if run.part == "validation":
            raced.setdefault(run.trial, []).append(run.accuracy)
    return raced


def still_racing(raced: Mapping[int, Sequence[float]]) -> list[int]:
    """The trials that are not clearly behind the leader, who comes first.

    The leader has the highest mean accuracy. Clearly behind is whose 95% interval of the difference
    (Welch) lies below 0, after `LEAST_SEEDS` seeds each.
    """
    order = sorted(raced, key=lambda trial: (-sum(raced[trial]) / len(raced[trial]), trial))
    return [trial for trial in order if not _behind(raced[trial], raced[order[0]])]


def _behind(ours: Sequence[float], best: Sequence[float]) -> bool:
    if min(len(ours), len(best)) < LEAST_SEEDS:
        return False
    return welch_interval(ours, best).high < 0


def _confirmed(trial: int, runs: list[FreshRun], raced: Mapping[int, Sequence[float]]) -> Confirmed:
    accuracies = [run.accuracy for run in runs]
    interval = interval_of(accuracies)
    tied = [other for other in still_racing(raced) if other != trial] if trial in raced else []
    return Confirmed(
        trial=trial,
        seeds=tuple(run.seed for run in runs),
        accuracies=tuple(accuracies),
        mean=interval.mean,
        low=max(0.0, interval.low),
        high=min(1.0, interval.high),
        tied_with=tuple(tied),
    )
