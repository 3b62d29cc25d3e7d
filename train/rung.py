"""The unit of work: train candidates from rung to rung. What goes in and out is plain data."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.frame import fit
from pennyweight.train.precision import PRECISION, Precision
from pennyweight.train.recipe import Candidate

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree
    from pennyweight.train.optimiser import Hypers
    from pennyweight.train.program import Program, Score, State


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
    """One epoch of a learning curve; validation is scored with the averaged weights."""

    epoch: int
    train_loss: float
    val_accuracy: float
    val_log_loss: float
    val_correct: int

    @property
    def diverged(self) -> bool:
        """Whether a loss is no longer a number."""
        return not (math.isfinite(self.train_loss) and math.isfinite(self.val_log_loss))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a rung gave; its last point may have `diverged`, and nothing follows then."""

    state: bytes  # to go on from
    model: bytes  # the weights as they are scored, with their BatchNorm statistics
    curve: tuple[Point, ...]
    val_total: int
    seconds: dict[str, float]  # by kind: import, data, initialise, compile, train, evaluate
    worker: int  # process id


def train_rungs(tasks: Sequence[Task]) -> list[Outcome]:
    """What each of `tasks` gives; those with a common frame and recipe's form compile once."""
    return [train_rung(task) for task in tasks]


def train_rung(task: Task) -> Outcome:
    """Run `task` on this process's device. The result depends on the task alone.

    A task cut at any epoch and continued from its state gives bit for bit what the uncut one gives
    on the same machine. Raises ValueError when the state is damaged or of another network, seed or
    epoch, and UsageError where a batch is larger than the training split.
    """
    clock = _Clock()
    import jax

    from pennyweight.train import state_file
    from pennyweight.train.compiled import compiled
    from pennyweight.train.on_device import on_device
    from pennyweight.train.optimiser import hypers
    from pennyweight.train.program import Program

    clock.lap("import")
    data = on_device(task.source, task.split_seed)
    clock.lap("data")
    clock.add(_warming.pop("seconds", {}))
    program = Program.of(task.candidate, task.epochs, task.frame, task.precision)
    sizes = [len(pictures.labels_n) for pictures in data]
    steps = _steps_per_epoch(task, sizes[0])
    traced = hypers(task.candidate.recipe, steps)
    state = _start(program, task, traced, steps)
    clock.lap("initialise")
    run = compiled(program, *sizes)
    clock.lap("compile")
    seed = jax.random.key(task.candidate.seed)
    curve: list[Point] = []
    model: dict[str, Tree] = {}
    for epoch in range(task.from_epoch + 1, task.to_epoch + 1):
        key = jax.random.fold_in(seed, epoch)
        state, loss = jax.block_until_ready(run.train_epoch(state, traced, data.training, key))
        clock.lap("train")
        score = run.score(state.average, data.calibration, data.validation)
        curve.append(_point(epoch, float(loss), score, sizes[2]))
        model = {"weights": score.weights, "statistics": score.statistics}
        clock.lap("evaluate")
        if curve[-1].diverged:
            break
    own = task.candidate.architecture
    cut = {part: fit(tree, program.architecture, own) for part, tree in model.items()}
    owned = state._asdict() | {"owner": _owner(task)}
    packed = state_file.pack(owned), state_file.pack(cut)
    clock.lap("data")
    return Outcome(
        state=packed[0],
        model=packed[1],
        curve=tuple(curve),
        val_total=sizes[2],
        seconds=clock.seconds,
        worker=os.getpid(),
    )


def warm_up(source: str, split_seed: int) -> None:
    """Do before the first task what every task needs: import, open the cache, decode the data.

    Its seconds are in the ledger of this process's first rung.
    """
    clock = _Clock()
    from pennyweight.train.compiled import keep_compiled_programs
    from pennyweight.train.on_device import on_device

    keep_compiled_programs()
    clock.lap("import")
    on_device(source, split_seed)
    clock.lap("data")
    _warming["seconds"] = clock.seconds


_warming: dict[str, dict[str, float]] = {}  # seconds by kind, until a rung takes them


def _steps_per_epoch(task: Task, training: int) -> int:
    """How many full batches `training` pictures make."""
    batch_size = task.candidate.recipe.batch_size
    if training < batch_size:
        raise UsageError(
            f"`batch_size` must be at most {training}, the training pictures of {task.source}, "
            f"but got {batch_size}."
        )
    return training // batch_size


def _start(program: Program, task: Task, traced: Hypers, steps: int) -> State:
    """The state at the end of `task.from_epoch`."""
    from pennyweight.arch.network import draw_weights
    from pennyweight.train import state_file
    from pennyweight.train.program import State, initial_state

    own = task.candidate.architecture
    params, _ = draw_weights(own, task.candidate.seed)
    state = initial_state(program, fit(params, own, program.architecture), traced)
    if task.state is None:
        return state
    owner = _owner(task)
    like: dict[str, Any] = state._asdict() | {"owner": owner}
    found = state_file.unpack(task.state, like)
    # Weights are one vector, and other networks have one of the same length.
    if not np.array_equal(found.pop("owner"), owner):
        raise ValueError("The training state belongs to another network or another seed.")
    if found["step"] != task.from_epoch * steps:
        raise ValueError(f"The training state is not that of the end of epoch {task.from_epoch}.")
    return State(**found)


def _owner(task: Task) -> np.ndarray:
    """What ties a state to its candidate: a digest of the network, its frame and the seed.

    And of the precision, where that is not what it was before there was a choice.
    """
    frame = task.frame or task.candidate.architecture
    own = task.candidate.architecture
    text = f"{own.fingerprint} {frame.fingerprint} {task.candidate.seed}"
    text += "" if task.precision == PRECISION else f" {task.precision}"
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)


def _point(epoch: int, loss: float, score: Score, total: int) -> Point:
    correct = int(score.correct)
    return Point(
        epoch=epoch,
        train_loss=loss,
        val_accuracy=correct / total,
        val_log_loss=float(score.log_loss),
        val_correct=correct,
    )


class _Clock:
    """Seconds by kind; a lap ends now and started where the last one ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, kind: str) -> None:
        now = time.perf_counter()
        self.add({kind: now - self._last})
        self._last = now

    def add(self, seconds: dict[str, float]) -> None:
        for kind, more in seconds.items():
            self.seconds[kind] = self.seconds.get(kind, 0.0) + more
