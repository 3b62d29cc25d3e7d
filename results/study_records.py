"""A study as its records tell it: what was asked, and what became of every trial.

The values only; `pennyweight.results.studies` reads them from a study's folder.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from pennyweight.train.precision import PRECISION

State = Literal["complete", "running", "pruned", "diverged", "failed", "duplicate"]
"""What became of a trial; running is one whose end is not recorded."""

STATES: tuple[State, ...] = get_args(State)


class CurvePoint(NamedTuple):
    """One epoch of a trial's training; None for a number that was not finite."""

    epoch: int  # counted from 1
    train_loss: float | None
    val_accuracy: float | None  # fraction
    val_log_loss: float | None
    train_accuracy: float | None = None  # the running one; not told of in older records


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What a trial had reached after `epoch` epochs."""

    epoch: int
    curve: tuple[CurvePoint, ...]  # the scored epochs since the rung before
    val_correct: int | None
    val_total: int
    seconds: Mapping[str, float]  # of the worker, by kind
    worker: int | str

    @property
    def diverged(self) -> bool:
        """Whether a loss was no longer a number, which records have no number for."""
        last = self.curve[-1]
        return last.train_loss is None or last.val_log_loss is None


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial: the candidate, its cost, and how far it came."""

    trial: int
    proposer: str
    share: float  # of the budget
    genome: Mapping[str, Any]
    architecture: Mapping[str, Any]  # canonical JSON
    notation: str
    fingerprint: str
    recipe: Mapping[str, Any]
    seed: int
    cost: Mapping[str, int]  # params, deployed_params, macs, peak_activation_bytes, ...
    rungs: tuple[Rung, ...]  # by epoch
    state: State
    reason: str | None  # why it ended so
    frame: str | None = None  # notation of what its group is padded to; None outside of a group
    keeps_best: bool = False  # the weights of the most accurate rung, not of the last one

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return self.rungs[-1].epoch if self.rungs else 0

    @cached_property
    def kept(self) -> Rung | None:
        """The rung whose weights are the trial's; None before the first."""
        if not self.rungs:
            return None
        if not self.keeps_best:
            return self.rungs[-1]
        return max(self.rungs, key=lambda rung: (not rung.diverged, rung.val_correct or 0))

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights are the trial's."""
        return self.kept.epoch if self.kept else 0

    @property
    def val_correct(self) -> int | None:
        """Validation pictures that its weights classify rightly; None before the first rung."""
        return self.kept.val_correct if self.kept else None

    @property
    def val_total(self) -> int | None:
        """Validation pictures looked at; None before the first rung."""
        return self.kept.val_total if self.kept else None

    @property
    def val_accuracy(self) -> float | None:
        """Of its weights, as a fraction; None before the first rung."""
        correct, total = self.val_correct, self.val_total
        return None if correct is None or not total else correct / total

    @property
    def val_log_loss(self) -> float | None:
        """Of its weights; None before the first rung, and where it was not finite."""
        curve = self.kept.curve if self.kept else ()
        return curve[-1].val_log_loss if curve else None

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Every epoch trained so far."""
        return tuple(point for rung in self.rungs for point in rung.curve)

    @property
    def seconds_by_kind(self) -> dict[str, float]:
        """The workers' seconds spent on this trial: compiling, training, evaluating, ..."""
        return sum_seconds(rung.seconds for rung in self.rungs)


@dataclass(frozen=True, kw_only=True)
class FreshRun:
    """A trial's candidate trained again from a fresh seed, to the epoch limit."""

    trial: int
    seed: int
    part: str  # "validation"; or "test", after training on the validation pictures too
    epochs: int
    train_loss: float | None
    correct: int
    total: int
    log_loss: float | None
    seconds: Mapping[str, float]  # of the worker, by kind
    worker: int | str

    @property
    def accuracy(self) -> float:
        """As a fraction."""
        return self.correct / self.total


@dataclass(frozen=True, kw_only=True)
class BaselineRun:
    """A model made elsewhere, measured on a part of the study's data."""

    model: str  # such as "svm" or "zoo:mlp-128"
    about: str  # library and settings, or the notation
    identity: str  # of what was fitted
    examples: int  # pictures it learned from
    seed: int  # its own, and the split's
    epochs: int | None  # of a network
    part: str  # "validation" or "test"
    correct: int
    total: int
    numbers: int  # that predicting takes: parameters if `trained`, else numbers stored
    trained: bool
    seconds: Mapping[str, float]  # by kind
    study: str | None  # of a network: in which it was trained

    @property
    def key(self) -> tuple[str, int, int, int | None]:
        """Which training: what was measured twice after it counts once."""
        return self.model, self.examples, self.seed, self.epochs


@dataclass(frozen=True, kw_only=True)
class StudyRecords:
    """A study, folded from its records."""

    study: str
    settings: Mapping[str, Any]
    data_fingerprint: str  # of the training pictures and labels
    versions: Mapping[str, str]
    command: Sequence[str] | str
    created: float | str
    sessions: tuple[Mapping[str, Any], ...]
    trials: Mapping[int, TrialRecord]  # by number
    ledgers: tuple[Mapping[str, Any], ...]
    lanes: tuple[Mapping[str, Any], ...] = ()  # on each device: as measured, in order
    fresh_runs: tuple[FreshRun, ...] = ()  # of `confirm`, in the order in which they ended
    baselines: tuple[BaselineRun, ...] = ()  # in the order in which they were measured

    @property
    def data(self) -> str:
        """The data set searched on."""
        return self.settings["data"]

    @property
    def budget(self) -> Mapping[str, int | None]:
        """The limits by name, such as `max_params`; None for no limit."""
        return self.settings["budget"]

    @property
    def precision(self) -> str:
        """What matrix products were computed in."""
        return self.settings.get("precision", PRECISION)

    @property
    def whole(self) -> bool:
        """Whether its one network was trained on the validation pictures too."""
        return self.settings.get("whole", False)

    @property
    def stopping(self) -> Mapping[str, Any]:
        """What validation pictures decided in training its one network: `train.stopping`'s fields.

        Empty for a training to the epoch limit whose last weights are its own.
        """
        return self.settings.get("stopping", {})

    @property
    def relabel(self) -> Mapping[str, Any] | None:
        """What corrected labels of its training pictures: how many `corrections`, and the file's.

        None where they are as they came.
        """
        return self.settings.get("relabel")

    @property
    def start(self) -> Mapping[str, Any] | None:
        """What its one network started from: `model`, its `identity`, which layer was made `anew`.

        None for random weights.
        """
        return self.settings.get("start")

    @cached_property
    def counts(self) -> dict[State, int]:
        """How many trials are in each state, zeros included."""
        counts = Counter(trial.state for trial in self.trials.values())
        return {state: counts[state] for state in STATES}

    @cached_property
    def worker_seconds(self) -> dict[str, float]:
        """Seconds by kind, summed over the workers, which run side by side."""
        rungs = (rung for trial in self.trials.values() for rung in trial.rungs)
        return sum_seconds(spent.seconds for spent in (*rungs, *self.fresh_runs))

    @cached_property
    def coordinator_seconds(self) -> dict[str, float]:
        """Seconds by kind: asking, telling, waiting, ..."""
        return sum_seconds(ledger["seconds"] for ledger in self.ledgers)

    @cached_property
    def wall_s(self) -> float:
        """Wall-clock seconds of all sessions."""
        return sum(ledger["wall_s"] for ledger in self.ledgers)


def sum_seconds(ledgers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The ledgers added up, the longest kind first."""
    total: defaultdict[str, float] = defaultdict(float)
    for ledger in ledgers:
        for kind, seconds in ledger.items():
            total[kind] += seconds
    return dict(sorted(total.items(), key=lambda item: -item[1]))
