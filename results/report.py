"""What a report shows of a study, as plain data; pages and pictures are made of it.

A part that cannot be shown is `Missing` and says why: a study may be running, or have lost its
weights or its data, and the rest is worth reading nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.results.confirmed import Confirmed, confirmed
from pennyweight.results.leaderboard import Row, rows
from pennyweight.results.models import Model, best_trial
from pennyweight.results.store import Store
from pennyweight.results.study_records import StudyRecords, TrialRecord

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.predictions import Mistake, Predictions

T = TypeVar("T")

MOST_TRIALS = 1_000  # the best ones, in the leaderboard and as points
MOST_CURVES = 100
MOST_GENES = 15
MOST_MISTAKES = 24


@dataclass(frozen=True)
class Missing:
    """A part that cannot be shown, and why in a sentence."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Importances:
    """How much of the differences in accuracy after the first rung each gene explains."""

    shares: Mapping[str, float]  # they add up to 1; the largest first
    trials: int  # that they were told from
    structures: int  # different ones among those
    epoch: int  # of the first rung


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """What the best network says of the validation pictures."""

    predictions: Predictions
    images: np.ndarray  # uint8 (n, h, w, c), in the order of the predictions

    @property
    def worst(self) -> list[tuple[Mistake, np.ndarray]]:
        """The mistakes that the network was surest of, each with its picture (h, w, c)."""
        places = self.predictions.worst(MOST_MISTAKES)
        shown = zip(self.predictions.mistakes, places, strict=False)
        return [(mistake, self.images[place]) for mistake, place in shown]


@dataclass(frozen=True, kw_only=True, eq=False)
class Best:
    """The network that an export would take, with the weights that the search gave it."""

    trial: TrialRecord
    architecture: Architecture | Missing
    examined: Examined | Missing


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """A study, looked at from all sides."""

    name: str  # of the study where it is kept, as commands take it
    flags: list[str]  # by which they find it
    study: StudyRecords
    rows: list[Row]  # by rank
    confirmed: list[Confirmed]
    test_readings: int | Missing  # distinct ones
    importances: Importances | Missing
    best: Best | Missing

    @property
    def shown(self) -> list[Row]:
        """The rows that are shown one by one: of many, the best."""
        return self.rows[:MOST_TRIALS]

    @property
    def examined(self) -> Examined | None:
        """What the best network says, where that can be shown."""
        if isinstance(self.best, Missing) or isinstance(self.best.examined, Missing):
            return None
        return self.best.examined

    @property
    def seconds(self) -> dict[str, Mapping[str, float]]:
        """By kind, of the workers together and of the coordinator."""
        return {
            "workers": self.study.worker_seconds,
            "coordinator": self.study.coordinator_seconds,
        }

    @property
    def kinds(self) -> list[str]:
        """The kinds of seconds, the workers' first."""
        return list(dict.fromkeys(kind for ledger in self.seconds.values() for kind in ledger))

    @property
    def val_pictures(self) -> int:
        """How many pictures an accuracy of the search is told from; 1 before the first rung."""
        return max((trial.val_total or 1 for trial in self.study.trials.values()), default=1)


def collect(store: Store, study: StudyRecords, importances: Importances | Missing) -> Report:
    """The report of the study in `store`. The test set is not read."""
    return Report(
        name=store.name,
        flags=store.flags,
        study=study,
        rows=rows(study),
        confirmed=confirmed(study),
        test_readings=_or_missing(store.count_readings),
        importances=importances,
        best=_best(store, study),
    )


def fate(trial: TrialRecord) -> str:
    """What became of a trial, such as `pruned at rung 2`.

    What only one rung can have seen, such as a loss that is not finite, happened on the way to it.
    """
    if trial.state == "complete":
        return "finished"
    number = len(trial.rungs)
    if trial.state == "running" and number:
        return f"still running after rung {number}"
    return f"{trial.state} at rung {number}" if number else f"{trial.state} before the first rung"


def _best(store: Store, study: StudyRecords) -> Best | Missing:
    trial = best_trial(study)
    if trial is None:
        return Missing(
            "No trial has finished a rung yet." if study.trials else "No trial was asked yet."
        )
    return Best(
        trial=trial,
        architecture=_or_missing(lambda: Architecture.from_json(trial.architecture)),
        examined=_or_missing(lambda: _examined(Model(store, study, trial))),
    )


def _examined(model: Model) -> Examined:
    """With the search's own weights: those of a confirmed network saw the validation pictures."""
    if not model.weights.exists():
        raise UsageError(f"The weights of trial {model.trial.trial} are not in {model.weights}.")
    from pennyweight.results.examine import examine
    from pennyweight.results.loaded import load_trained

    name = f"{model.store.name}:{model.trial.trial}"
    predictions, images = examine(load_trained(model, name))
    return Examined(predictions=predictions, images=images)


def _or_missing(make: Callable[[], T]) -> T | Missing:
    try:
        return make()
    except (UsageError, OSError) as error:
        return Missing(str(error))
