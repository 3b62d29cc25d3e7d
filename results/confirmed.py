"""What a study's candidates are worth when they are trained again from fresh seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.results.study_records import FreshRun, StudyRecords

LEAST_SEEDS = 3  # before a candidate can be called clearly behind


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A trial trained again from each of `seeds` on training and validation pictures.

    Accuracies are those of the last epoch on the test set, fractions; `low` and `high` the ends of
    the 95% interval of their mean. `tied_with` are the trials that the race before it did not tell
    apart from this one.
    """

    trial: int
    seeds: tuple[int, ...]  # ascending
    accuracies: tuple[float, ...]
    mean: float
    low: float
    high: float
    tied_with: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> Self:
        """What `to_json` gave; KeyError, TypeError or ValueError for anything else."""
        return cls(
            trial=int(description["trial"]),
            seeds=tuple(map(int, description["seeds"])),
            accuracies=tuple(map(float, description["accuracies"])),
            mean=float(description["mean"]),
            low=float(description["low"]),
            high=float(description["high"]),
            tied_with=tuple(map(int, description["tied_with"])),
        )


def confirmed(study: StudyRecords) -> list[Confirmed]:
    """The confirmed trials of `study`, the one that was tested last first."""
    tested: dict[int, list[FreshRun]] = {}
    for run in study.fresh_runs:
        if run.part == "test":
            tested[run.trial] = [*tested.pop(run.trial, []), run]  # at the end again
    left = survivors(study.fresh_runs)
    return [_confirmed(trial, runs, left) for trial, runs in reversed(tested.items())]


def race_results(runs: Iterable[FreshRun]) -> dict[int, list[FreshRun]]:
    """What was measured on validation pictures, in order of the seed, by trial."""
    raced: dict[int, list[FreshRun]] = {}
    for run in sorted(runs, key=lambda run: (run.trial, run.seed)):
        if run.part == "validation":
            raced.setdefault(run.trial, []).append(run)
    return raced


def survivors(runs: Iterable[FreshRun]) -> list[int]:
    """The trials that raced to the end, the leader first."""
    raced = race_results(runs)
    rounds = max(map(len, raced.values()), default=0)
    return still_racing({trial: each for trial, each in raced.items() if len(each) == rounds})


def still_racing(raced: Mapping[int, Sequence[FreshRun]]) -> list[int]:
    """The trials that are not clearly behind the leader, who comes first.

    The leader has the highest mean accuracy. Clearly behind is, after `LEAST_SEEDS` seeds each,
    whose 95% interval of the difference (Welch) lies below 0. Equal counts do not mean that there
    is no chance in them: an accuracy is taken to vary at least as a share of the pictures does.
    """
    order = sorted(raced, key=lambda trial: (-_mean(raced[trial]), trial))
    return [trial for trial in order if not _behind(raced[trial], raced[order[0]])]


def _mean(runs: Sequence[FreshRun]) -> float:
    return sum(run.accuracy for run in runs) / len(runs)


def _behind(ours: Sequence[FreshRun], best: Sequence[FreshRun]) -> bool:
    if min(len(ours), len(best)) < LEAST_SEEDS:
        return False
    mean = _mean(best)
    apart = welch_interval(
        [run.accuracy for run in ours],
        [run.accuracy for run in best],
        least_variance=mean * (1 - mean) / best[0].total,
    )
    return apart.high < 0


def _confirmed(trial: int, runs: list[FreshRun], left: Sequence[int]) -> Confirmed:
    runs = sorted(runs, key=lambda run: run.seed)  # not in the order in which they ended
    accuracies = [run.accuracy for run in runs]
    interval = interval_of(accuracies)
    tied = [other for other in left if other != trial] if trial in left else []
    return Confirmed(
        trial=trial,
        seeds=tuple(run.seed for run in runs),
        accuracies=tuple(accuracies),
        mean=interval.mean,
        low=max(0.0, interval.low),
        high=min(1.0, interval.high),
        tied_with=tuple(tied),
    )
