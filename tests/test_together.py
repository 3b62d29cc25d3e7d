"""Candidates that train side by side learn what each learns alone, and do not disturb others."""

import dataclasses
import math
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.arch.frame import frame
from pennyweight.arch.notation import parse
from pennyweight.train import state_file
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Outcome, Task, train_rung, train_rungs

NETWORKS = [parse(n, (8, 8, 1), 10) for n in ("c3br m2 c6br F d10+", "c5br m2 c4br F d10+")]
FRAME = frame(NETWORKS)
LANES = 8
# Momentum does not enlarge rounding, as AdamW does where a gradient is nothing else.
CALM: dict[str, Any] = {"optimiser": "sgd", "batch_size": 32, "averaging": 0.3}
# Of these every network diverges in the first epoch.
WILD: dict[str, Any] = {"peak_learning_rate": 10, "weight_decay": 10}


def task(
    number: int, *, start: int = 0, end: int = 2, state: bytes | None = None, **changes: Any
) -> Task:
    """One of a group: even and odd ones differ in their widths, all in their recipes and seeds."""
    numbers: dict[str, Any] = {
        "peak_learning_rate": 0.02 + 0.01 * number,
        "label_smoothing": 0.01 * number,
    }
    fields: dict[str, Any] = CALM | numbers | {"rotation": 2.0 * number} | changes
    return Task(
        source="digits",
        split_seed=0,
        candidate=Candidate(
            architecture=NETWORKS[number % 2], recipe=Recipe(**fields), seed=number
        ),
        epochs=3,
        from_epoch=start,
        to_epoch=end,
        state=state,
        frame=FRAME,
    )


TASKS = [task(number) for number in range(6)]


@pytest.fixture(scope="module")
def alone() -> list[Outcome]:
    return train_rungs(TASKS)


@pytest.fixture(scope="module")
def together() -> list[Outcome]:
    return train_rungs(TASKS, LANES)


def assert_alike(one: Outcome, other: Outcome, tolerance: float = 1e-4) -> None:
    """Equal but for rounding, of which single precision has 1e-7 a step; these have 70 steps."""
    assert [point.epoch for point in one.curve] == [point.epoch for point in other.curve]
    for a, b in zip(one.curve, other.curve, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=tolerance)
        assert a.val_log_loss == pytest.approx(b.val_log_loss, rel=tolerance)
        assert abs(a.val_correct - b.val_correct) <= 1
    for part in ("weights", "statistics"):
        mine, theirs = (state_file.layers(outcome.model, part) for outcome in (one, other))
        assert mine.keys() == theirs.keys()
        for layer, arrays in mine.items():
            for name, array in arrays.items():
                np.testing.assert_allclose(array, theirs[layer][name], rtol=1e-3, atol=tolerance)


def same(one: Outcome, other: Outcome) -> bool:
    return (one.state, one.model, one.curve) == (other.state, other.model, other.curve)


def test_a_group_learns_side_by_side_what_each_learns_alone(
    alone: list[Outcome], together: list[Outcome]
) -> None:
    for one, other in zip(alone, together, strict=True):
        assert_alike(one, other)
    losses = [outcome.curve[-1].train_loss for outcome in together]
    assert len(set(losses)) == len(TASKS)
    assert all(outcome.curve[-1].val_accuracy > 0.5 for outcome in together)


def test_the_order_of_outcomes_is_that_of_the_tasks_whatever_trains_with_what(
    together: list[Outcome],
) -> None:
    """A task of another frame, and one of another rung, stand between them."""
    other = dataclasses.replace(TASKS[0], frame=NETWORKS[0])
    longer = task(5, end=1)
    mixed = [TASKS[4], other, TASKS[0], longer, TASKS[3]]
    outcomes = train_rungs(mixed, LANES)
    for place, number in ((0, 4), (2, 0), (4, 3)):
        assert same(outcomes[place], together[number])
    assert_alike(outcomes[1], together[0])
    assert same(outcomes[3], train_rungs([longer], LANES)[0])


def test_a_lane_does_not_depend_on_its_company(together: list[Outcome]) -> None:
    assert same(train_rungs(TASKS[2:3], LANES)[0], together[2])


def test_a_lane_that_diverges_ends_there_and_the_others_go_on(together: list[Outcome]) -> None:
    tasks = [*TASKS[:2], task(2, **WILD), *TASKS[3:]]
    outcomes = train_rungs(tasks, LANES)
    assert outcomes[2].curve[-1].diverged
    assert len(outcomes[2].curve) == 1
    steps = 1149 // 32
    state = state_file.unpack(outcomes[2].state, {"step": np.zeros((), np.int32)})
    assert state["step"] == steps, "the state is that of the epoch in which it diverged"
    for number in (0, 1, 3, 4, 5):
        assert same(outcomes[number], together[number])
    assert math.isfinite(outcomes[3].curve[-1].train_loss)


def test_a_state_goes_on_in_lanes_and_alone_whichever_it_came_from(
    alone: list[Outcome], together: list[Outcome]
) -> None:
    def rest(number: int, state: bytes) -> Task:
        return task(number, start=2, end=3, state=state)

    from_lanes = [rest(number, together[number].state) for number in range(3)]
    from_alone = [rest(number, alone[number].state) for number in range(3)]
    wanted = train_rungs(from_alone)
    for outcomes in (train_rungs(from_lanes), train_rungs(from_alone, LANES)):
        for one, other in zip(outcomes, wanted, strict=True):
            assert_alike(one, other)
    uncut = train_rungs([task(number, end=3) for number in range(3)], LANES)
    for one, other in zip(train_rungs(from_lanes, LANES), uncut, strict=True):
        assert (one.state, one.model) == (other.state, other.model)


def test_what_lanes_took_together_is_in_their_ledgers_in_equal_shares() -> None:
    begun = time.perf_counter()
    outcomes = train_rungs([task(number, end=1) for number in range(3)], LANES)
    wall_s = time.perf_counter() - begun
    assert all(outcome.seconds == outcomes[0].seconds for outcome in outcomes)
    total = sum(sum(outcome.seconds.values()) for outcome in outcomes)
    assert total == pytest.approx(wall_s, rel=0.05, abs=0.05)


def test_one_without_a_frame_trains_as_alone() -> None:
    free = dataclasses.replace(TASKS[0], frame=None, to_epoch=1)
    assert same(train_rungs([free], LANES)[0], train_rung(free))


def test_what_is_refused_alone_is_refused_in_lanes() -> None:
    large = dataclasses.replace(TASKS[0].candidate, recipe=Recipe(batch_size=1_150))
    with pytest.raises(UsageError, match=r"^`batch_size` must be at most 1149, .* but got 1150"):
        train_rungs([dataclasses.replace(TASKS[0], candidate=large)], LANES)
    with pytest.raises(ValueError, match="is damaged"):
        train_rungs([TASKS[0], task(1, start=2, end=3, state=b"{}")], LANES)


SHARDED = """
import pickle, sys
import jax
from test_together import LANES, TASKS
from pennyweight.train.compiled import compiled
from pennyweight.train.on_device import on_device
from pennyweight.train.program import Program
from pennyweight.train.rung import train_rungs
from pennyweight.train.spread import is_sharded
from pennyweight.train.together import start

outcomes = train_rungs(TASKS, LANES)
sizes = [len(part.labels_n) for part in on_device("digits", 0)]
program = Program.of(TASKS[0].candidate, 3, TASKS[0].frame)
state, _ = start(program, TASKS, LANES, sizes[0])
run = compiled(program, *sizes, LANES)
facts = {
    "devices": len(jax.local_devices()),
    "holding": len(state.params.devices()),
    "sharded": [is_sharded(lanes) for lanes in (1, 4, 8, 12, 16)],
    "compiled": run.train_steps.as_text() + run.score.as_text(),
}
with open(sys.argv[1], "wb") as file:
    pickle.dump((outcomes, facts), file)
"""


def test_a_group_spread_over_eight_devices_learns_what_it_learns_on_one(
    together: list[Outcome], tmp_path: Path
) -> None:
    """Each device compiles one lane instead of eight, so rounding differs, and nothing else."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {"XLA_FLAGS": flags, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [sys.executable, "-c", SHARDED, str(tmp_path / "found")],
        env=os.environ | environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    outcomes, facts = pickle.loads((tmp_path / "found").read_bytes())
    assert facts["devices"] == facts["holding"] == 8
    assert facts["sharded"] == [False, False, True, False, True]
    for word in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert word not in facts["compiled"]
    for one, other in zip(outcomes, together, strict=True):
        assert_alike(one, other)
