"""The unit of work: train candidates from rung to rung. What goes in and out is plain data."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.native_library import helped_s
from pennyweight.train.cores import HELP
from pennyweight.train.precision import PRECISION, Precision
from pennyweight.train.recipe import Candidate


@dataclass(frozen=True, kw_only=True)
class Task:
    """Train `candidate` from the end of `from_epoch` to the end of `to_epoch`.

    `state` is what the rung before returned, None at the start. `epochs` is the epoch limit, which
    the learning-rate schedule spans. In a `frame`, tasks of candidates of different widths share
    what is compiled; it changes the result by rounding alone.
    """

    source: str  # of the data
    split_seed: int
    candidate: Candidate
    epochs: int
    from_epoch: int
    to_epoch: int
    state: bytes | None = None
    frame: Architecture | None = None
    precision: Precision = PRECISION
    whole: bool = False  # train on the validation split too; then its score says nothing
    start: bytes | None = None  # trained weights, of all layers or some: see `transfer.py`

    def __post_init__(self) -> None:
        if not 0 <= self.from_epoch < self.to_epoch <= self.epochs:
            raise ValueError(
                f"A rung lies between epochs 0 and {self.epochs} and trains at least one, "
                f"but got {self.from_epoch=}, {self.to_epoch=}."
            )
        if (self.state is None) != (self.from_epoch == 0):
            has = "has no state" if self.state is None else "has a state"
            raise ValueError(
                f"All rungs but the first go on from a state, but one from epoch "
                f"{self.from_epoch} {has}."
            )


@dataclass(frozen=True, kw_only=True)
class Point:
    """A scored epoch of a learning curve; what is scored are the averaged weights.

    The training accuracy is the running one: of each batch as it was learned from, augmented, with
    dropout, by the weights of that moment.
    """

    epoch: int
    train_loss: float  # with what the recipe's penalties add
    train_accuracy: float
    val_accuracy: float
    val_log_loss: float
    val_correct: int

    @property
    def diverged(self) -> bool:
        """Whether a loss is no longer a number."""
        return not (math.isfinite(self.train_loss) and math.isfinite(self.val_log_loss))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a rung gave; its last point may have `diverged`, and nothing follows then.

    Scored are epochs 4, 8, 16 and so on, and the last one.
    """

    state: bytes  # to go on from
    model: bytes  # the weights as they are scored, with their BatchNorm statistics
    curve: tuple[Point, ...]
    val_total: int
    seconds: dict[str, float]  # by kind: import, data, initialise, compile, train, evaluate, HELP
    worker: int  # process id


def train_rungs(tasks: Sequence[Task], lanes: int = 1) -> list[Outcome]:
    """What each of `tasks` gives, in their order.

    Those with a common frame and recipe's form compile once, and train up to `lanes` at a time,
    side by side. How many do changes the result by rounding; which ones do changes nothing. What
    they took together is in their ledgers in equal shares.
    """
    outcomes: dict[int, Outcome] = {}
    for places, wide in _chunks(tasks, lanes):
        trained = _train_in_memory([tasks[place] for place in places], wide)
        outcomes |= zip(places, trained, strict=True)
    return [outcomes[place] for place in range(len(tasks))]


def train_rung(task: Task) -> Outcome:
    """Run `task` on this process's device. The result depends on the task alone.

    A task cut at any epoch and continued from its state gives bit for bit what the uncut one gives
    on the same machine. Raises ValueError when the state is damaged or of another network, seed or
    epoch, and UsageError where a batch is larger than the training split.
    """
    return _train([task], 1)[0]


def _chunks(tasks: Sequence[Task], lanes: int) -> list[tuple[list[int], int]]:
    """The places of tasks that train together, and in how many lanes.

    What has a frame always gets all of `lanes`, though some stay empty: what is left of a group
    goes on with the program that the whole group compiled, and with the same rounding.
    """
    if lanes == 1:
        return [([place], 1) for place in range(len(tasks))]
    from pennyweight.train.program import Program

    alike: defaultdict[object, list[int]] = defaultdict(list)
    for place, task in enumerate(tasks):
        program = Program.of(task.candidate, task.epochs, task.frame, task.precision)
        rung = task.from_epoch, task.to_epoch
        alike[program, task.source, task.split_seed, task.whole, rung].append(place)
    chunks: list[tuple[list[int], int]] = []
    for places in alike.values():
        if len(places) == 1 and tasks[places[0]].frame is None:
            chunks.append((places, 1))
            continue
        parts = range(0, len(places), lanes)
        chunks += [(places[part : part + lanes], lanes) for part in parts]
    return chunks


def _train_in_memory(tasks: Sequence[Task], lanes: int) -> list[Outcome]:
    """As `_train`; in half as many lanes at a time where the device's memory is too small."""
    try:
        return _train(tasks, lanes)
    except Exception as error:
        if lanes == 1 or not out_of_memory(error):
            raise
    half = lanes // 2
    parts = [tasks[start : start + half] for start in range(0, len(tasks), half)]
    return [outcome for part in parts for outcome in _train_in_memory(part, half)]


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device's or the process's memory was too small."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _train(tasks: Sequence[Task], lanes: int) -> list[Outcome]:
    clock = Clock()
    from pennyweight.train.together import train_together

    clock.lap("import")
    clock.add(_warming.pop("seconds", {}))
    return train_together(tasks, lanes, clock)


def warm_up(
    source: str, split_seed: int, whole: bool = False, fingerprint: str | None = None
) -> None:
    """Do before the first task what every task needs: import, open the cache, decode the data.

    Its seconds are in the ledger of this process's first rung. Raises UsageError where the training
    pictures have another `fingerprint`: on another machine, the same name may mean other files.
    """
    clock = Clock()
    if fingerprint:
        _check_data(source, fingerprint)
    from pennyweight.train.compiled import keep_compiled_programs
    from pennyweight.train.on_device import on_device

    keep_compiled_programs()
    clock.lap("import")
    on_device(source, split_seed, whole)
    clock.lap("data")
    _warming["seconds"] = clock.seconds


def _check_data(source: str, fingerprint: str) -> None:
    from pennyweight.train.data import load_training_set

    if (found := load_training_set(source).fingerprint) != fingerprint:
        raise UsageError(
            f"The training pictures of {source} must have the fingerprint {fingerprint}, but these "
            f"have {found}: use the same files."
        )


_warming: dict[str, dict[str, float]] = {}  # seconds by kind, until a rung takes them


class Clock:
    """Seconds by kind; a lap ends now and started where the last one ended.

    What other cores trained meanwhile, as those of idle workers do, is `HELP`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last, self._helped = time.perf_counter(), helped_s()

    def lap(self, kind: str) -> None:
        now, helped = time.perf_counter(), helped_s()
        self.add({kind: now - self._last})
        if kind == "train" and helped > self._helped:
            self.add({HELP: helped - self._helped})
        self._last, self._helped = now, helped

    def add(self, seconds: dict[str, float]) -> None:
        for kind, more in seconds.items():
            self.seconds[kind] = self.seconds.get(kind, 0.0) + more
