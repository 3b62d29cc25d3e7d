"""Tasks of one program trained side by side, each in a lane of its own; one alone needs no lanes.

Lanes hold still where they diverge: a candidate's rung ends there, and the others go on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.arch.frame import fit
from pennyweight.arch.network import draw_weights
from pennyweight.train import state_file
from pennyweight.train.compiled import Executables, compiled
from pennyweight.train.on_device import OnDevice, in_place
from pennyweight.train.optimiser import Hypers, hypers
from pennyweight.train.plan import Plan, plan_epoch
from pennyweight.train.precision import PRECISION
from pennyweight.train.program import Program, State, initial_state
from pennyweight.train.rung import Clock, Outcome, Point, Task
from pennyweight.train.score import Score
from pennyweight.train.spread import lane, stacked
from pennyweight.train.transfer import start_digest, started_from


def train_together(tasks: Sequence[Task], lanes: int, clock: Clock) -> list[Outcome]:
    """What each of `tasks`, of one program and rung, gives; in `lanes` lanes, at most so many.

    Lanes that are left repeat the last task, for nothing. Raises as `train_rung` does.
    """
    first = tasks[0]
    data = in_place(first.source, first.split_seed, first.whole, lanes)
    clock.lap("data")
    program = Program.of(first.candidate, first.epochs, first.frame, first.precision)
    training, calibration, validation = (len(pictures.labels_n) for pictures in data)
    started = start(program, tasks, lanes, training)
    clock.lap("initialise")
    run = compiled(program, training, calibration, validation, lanes)
    clock.lap("compile")
    curves, ends = _trained(run, tasks, lanes, data, *started, clock)
    packed = [_packed(program, task, *end) for task, end in zip(tasks, ends, strict=True)]
    clock.lap("data")
    return [
        Outcome(
            state=state,
            model=model,
            curve=tuple(curve),
            val_total=validation,
            seconds={kind: all_s / len(tasks) for kind, all_s in clock.seconds.items()},
            worker=os.getpid(),
        )
        for (state, model), curve in zip(packed, curves, strict=True)
    ]


def start(
    program: Program, tasks: Sequence[Task], lanes: int, training: int
) -> tuple[State, Hypers]:
    """The state that each task starts from and what of its recipe is traced, in `lanes` lanes."""
    steps = _steps_per_epoch(tasks[0], training)
    traced = [hypers(task.candidate.recipe, steps) for task in tasks]
    states = [_start(program, *each, steps) for each in zip(tasks, traced, strict=True)]
    filled = lanes - len(tasks)
    return stacked(states + states[-1:] * filled), stacked(traced + traced[-1:] * filled)


def _trained(
    run: Executables,
    tasks: Sequence[Task],
    lanes: int,
    data: OnDevice,
    state: State,
    traced: Hypers,
    clock: Clock,
) -> tuple[list[list[Point]], list[tuple[State, Score]]]:
    """The learning curve of each task, and its state and score where it ended, on the host."""
    total, training = len(data.validation.labels_n), len(data.training.labels_n)
    plan = plans(tasks, lanes, training, tasks[0].from_epoch + 1)
    curves: list[list[Point]] = [[] for _ in tasks]
    ends: dict[int, tuple[State, Score]] = {}
    for epoch in range(tasks[0].from_epoch + 1, tasks[0].to_epoch + 1):
        state, trained = run.train_steps(state, traced, data.training, plan)
        last = epoch == tasks[0].to_epoch
        if not last:  # drawn while the device is busy
            plan = plans(tasks, lanes, training, epoch + 1)
        jax.block_until_ready((state, trained))
        clock.lap("train")
        going = [place for place in range(len(tasks)) if place not in ends]
        losses, right = jax.device_get(trained)
        scored = [
            place
            for place in going
            if last
            or (_is_scored(epoch) and not tasks[0].whole)
            or not np.isfinite(lane(losses, place, lanes))
        ]
        if not scored:
            continue
        score = run.score(state.average, data.calibration, data.validation)
        numbers = losses, right, *jax.device_get((score.correct, score.log_loss))
        for place in scored:
            curves[place].append(_point(epoch, lane(numbers, place, lanes), total))
        clock.lap("evaluate")
        if ending := [place for place in scored if last or curves[place][-1].diverged]:
            found = jax.device_get((state, score))
            ends |= {place: lane(found, place, lanes) for place in ending}
        clock.lap("data")
        if len(ends) == len(tasks):
            break
    return curves, [ends[place] for place in range(len(tasks))]


def _is_scored(epoch: int) -> bool:
    """Whether an epoch within a rung is scored: 4, 8, 16 and so on.

    On MNIST a score takes a twentieth of the time of an epoch, and most trials end after two.
    """
    return epoch >= 4 and epoch & (epoch - 1) == 0


def plans(tasks: Sequence[Task], lanes: int, training: int, epoch: int) -> Plan:
    """What is random in an epoch over `training` pictures for each task, in `lanes` lanes."""
    each = [plan_epoch(training, c.recipe, c.seed, epoch) for c in (t.candidate for t in tasks)]
    return stacked(each + each[-1:] * (lanes - len(tasks)))


def _steps_per_epoch(task: Task, training: int) -> int:
    """How many steps of the optimiser `training` pictures make."""
    recipe = task.candidate.recipe
    if training < recipe.step_size:
        times = f" times {recipe.accumulation} of `accumulation`" if recipe.accumulation > 1 else ""
        raise UsageError(
            f"`batch_size`{times} must be at most {training}, the training pictures of "
            f"{task.source}, but got {recipe.step_size}."
        )
    return training // recipe.step_size


def _start(program: Program, task: Task, traced: Hypers, steps: int) -> State:
    """The state at the end of `task.from_epoch`."""
    own = task.candidate.architecture
    params, _ = draw_weights(own, task.candidate.seed)
    if task.start is not None:
        params = started_from(params, task.start)
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

    And of the precision and the weights that it started from, where these are not the usual ones.
    """
    frame = task.frame or task.candidate.architecture
    own = task.candidate.architecture
    text = f"{own.fingerprint} {frame.fingerprint} {task.candidate.seed}"
    text += "" if task.precision == PRECISION else f" {task.precision}"
    text += " whole" if task.whole else ""
    text += f" from {start_digest(task.start)}" if task.start is not None else ""
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)


def _point(epoch: int, numbers: tuple[np.ndarray, ...], total: int) -> Point:
    loss, right, correct, log_loss = numbers
    return Point(
        epoch=epoch,
        train_loss=float(loss),
        train_accuracy=float(right),
        val_accuracy=int(correct) / total,
        val_log_loss=float(log_loss),
        val_correct=int(correct),
    )


def _packed(program: Program, task: Task, state: State, score: Score) -> tuple[bytes, bytes]:
    """The state to go on from, and the model in the shapes of its own network."""
    own = task.candidate.architecture
    model = {"weights": score.weights, "statistics": score.statistics}
    cut = {part: fit(tree, program.architecture, own) for part, tree in model.items()}
    return state_file.pack(state._asdict() | {"owner": _owner(task)}), state_file.pack(cut)
