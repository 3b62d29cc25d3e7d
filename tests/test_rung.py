"""A rung is a pure function of its task: cut anywhere, repeated anywhere, the bits are the same."""

import dataclasses
import hashlib
import json
import math
import pickle
import subprocess
import sys
import time
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
import pytest
from reference import bind, evaluate
from training import STILL, candidate, quickly

from pennyweight.arch.errors import UsageError
from pennyweight.train import state_file
from pennyweight.train.on_device import on_device
from pennyweight.train.recipe import Candidate, Optimiser, Schedule
from pennyweight.train.rung import Outcome, Point, Task, train_rung

EPOCHS = 3
BATCH: dict[str, Any] = {"batch_size": 32}
CHOSEN = candidate(
    "c8br m2 c8br F d10+", schedule="cosine", peak_learning_rate=0.03, averaging=0.2, **BATCH
)


def rung(
    chosen: Candidate = CHOSEN,
    start: int = 0,
    end: int = EPOCHS,
    state: bytes | None = None,
    epochs: int = EPOCHS,
) -> Outcome:
    task = Task(
        source="digits",
        split_seed=0,
        candidate=chosen,
        epochs=epochs,
        from_epoch=start,
        to_epoch=end,
        state=state,
    )
    return train_rung(task)


def epoch_by_epoch(chosen: Candidate = CHOSEN) -> list[Outcome]:
    """An outcome for each epoch of a run that is cut at all of them."""
    outcomes = [rung(chosen, end=1)]
    for epoch in range(1, EPOCHS):
        outcomes.append(rung(chosen, start=epoch, end=epoch + 1, state=outcomes[-1].state))
    return outcomes


@pytest.fixture(scope="module")
def uncut() -> Outcome:
    return rung()


@pytest.fixture(scope="module")
def cut() -> list[Outcome]:
    return epoch_by_epoch()


def test_a_run_cut_at_every_epoch_gives_bit_for_bit_what_the_uncut_one_gives(
    uncut: Outcome, cut: list[Outcome]
) -> None:
    assert cut[-1].state == uncut.state
    assert cut[-1].model == uncut.model
    assert cut[-1].curve == uncut.curve


def test_the_seed_decides_everything(uncut: Outcome) -> None:
    again = rung()
    assert (again.state, again.model, again.curve) == (uncut.state, uncut.model, uncut.curve)
    other = rung(dataclasses.replace(CHOSEN, seed=1))
    assert other.curve[0].train_loss != uncut.curve[0].train_loss


def test_training_on_digits_learns(uncut: Outcome, cut: list[Outcome]) -> None:
    """One golden run. Other machines may round differently: a few pictures more or less."""
    curve = [point for outcome in cut for point in outcome.curve]
    assert [point.epoch for point in curve] == [1, 2, 3]
    losses = [point.train_loss for point in curve]
    assert losses == pytest.approx([1.0881, 0.3811, 0.2306], rel=0.03)
    correct = [point.val_correct for point in curve]
    assert correct == pytest.approx([262, 271, 272], abs=4)
    assert uncut.val_total == 288


def test_long_rungs_are_scored_after_a_power_of_two_and_at_their_end() -> None:
    outcome = rung(candidate("m2 F d10+"), end=9, epochs=9)
    assert [point.epoch for point in outcome.curve] == [4, 8, 9]


def test_what_is_scored_is_what_is_kept(uncut: Outcome) -> None:
    """The model's own weights and statistics, in the reference network, score the same."""
    weights, statistics = (
        state_file.layers(uncut.model, part) for part in ("weights", "statistics")
    )
    validation = on_device("digits", 0).validation
    images = np.asarray(validation.images_nhwc, np.float32) / 255
    images = (images - np.asarray(validation.mean_c)) / np.asarray(validation.std_c)
    nodes = bind(CHOSEN.architecture.layers, weights, statistics)
    logits = np.asarray(quickly(lambda x: evaluate(nodes, x))(jnp.asarray(images)), np.float64)
    labels = np.asarray(validation.labels_n)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    last = uncut.curve[-1]
    assert last.val_correct == (logits.argmax(1) == labels).sum()
    assert last.val_accuracy == last.val_correct / 288
    log_loss = -np.log(chances[np.arange(288), labels]).mean()
    assert last.val_log_loss == pytest.approx(log_loss, rel=1e-4)


def test_every_second_is_in_the_ledger(uncut: Outcome) -> None:
    began = time.perf_counter()
    seconds = rung(CHOSEN, epochs=4).seconds  # a limit of its own is a program of its own
    wall_s = time.perf_counter() - began
    kinds = {"import", "data", "initialise", "compile", "train", "evaluate"}
    assert seconds.keys() == kinds
    assert min(seconds.values()) >= 0
    assert sum(seconds.values()) == pytest.approx(wall_s, rel=0.02, abs=0.02)
    assert seconds["compile"] > 100 * rung(CHOSEN, epochs=4).seconds["compile"]


def test_the_seconds_of_a_workers_warming_up_are_in_its_first_rung() -> None:
    program = """
import json, time
begun = time.perf_counter()
from pennyweight.arch.notation import parse
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung, warm_up

imported = time.perf_counter()
warm_up("digits", 0)
warm = time.perf_counter() - imported
candidate = Candidate(architecture=parse("m2 F d10", (8, 8, 1), 10), recipe=Recipe(), seed=0)
task = {"split_seed": 0, "candidate": candidate, "epochs": 1, "from_epoch": 0, "to_epoch": 1}
rungs = [train_rung(Task(source="digits", **task)).seconds for _ in range(2)]
print(json.dumps([warm, *rungs]))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    warm, first, second = json.loads(run.stdout)
    assert first["import"] + first["data"] >= 0.98 * warm
    assert second["import"] + second["data"] < 0.1 * warm


def test_an_outcome_is_plain_data(uncut: Outcome) -> None:
    """It travels between processes and into records."""
    assert pickle.loads(pickle.dumps(uncut)) == uncut
    kinds = [int, float, float, float, float, int]
    for point in uncut.curve:
        assert [type(value) for value in dataclasses.astuple(point)] == kinds
    assert {type(value) for value in uncut.seconds.values()} == {float}
    assert type(uncut.val_total) is type(uncut.worker) is int


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": dataclasses.replace(CHOSEN, seed=1)}, "another network or another seed"),
        (
            {"chosen": candidate("c8rb m2 c8br F d10+", schedule="cosine", **BATCH)},
            "another network",
        ),
        ({"chosen": candidate("c8br F d10+", **BATCH)}, "does not fit the network"),
        (
            {"chosen": candidate("c8br m2 c8br F d10+", optimiser="sgd", **BATCH)},
            "does not fit the network",
        ),
        ({"start": 1, "end": 2}, "not that of the end of epoch 1"),
        ({"start": 0, "end": 1}, "All rungs but the first go on from a state"),
        ({"state": None}, "All rungs but the first go on from a state"),
        ({"state": b"{}"}, "is damaged"),
        ({"start": 2, "end": 2}, "A rung lies between epochs 0 and 3"),
        ({"start": 2, "end": 4}, "A rung lies between epochs 0 and 3"),
        ({"start": -1, "end": 2}, "A rung lies between epochs 0 and 3"),
    ],
)
def test_a_state_of_something_else_is_refused(
    uncut: Outcome, change: dict[str, Any], message: str
) -> None:
    two = rung(end=2).state
    with pytest.raises(ValueError, match=message):
        rung(**({"start": 2, "end": 3, "state": two} | change))


def test_a_batch_larger_than_the_training_split_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^`batch_size` must be at most 1149, .* but got 1150"):
        rung(candidate("A d10", batch_size=1_150))


# Other recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", get_args(Optimiser))
@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_every_optimiser_learns_under_every_schedule(
    optimiser: Optimiser, schedule: Schedule
) -> None:
    rate = {"adamw": 0.03, "sgd": 0.2, "muon": 0.03}[optimiser]
    chosen = candidate(
        "c3r m2 F d10+", optimiser=optimiser, schedule=schedule, peak_learning_rate=rate, **STILL
    )
    first, *_, last = (outcome.curve[-1] for outcome in epoch_by_epoch(chosen))
    assert last.train_loss < 0.8 * first.train_loss
    assert last.val_accuracy > 0.6


def test_each_epoch_has_an_order_of_its_own() -> None:
    """Where nothing is learned, only the pictures that sit out change the loss."""
    outcomes = epoch_by_epoch(candidate("m2 F d10+", peak_learning_rate=1e-7, **STILL))
    losses = [outcome.curve[-1].train_loss for outcome in outcomes]
    assert np.ptp(losses) < 0.1
    assert np.diff(sorted(losses)).min() > 1e-5


def test_a_network_with_dropout_learns_and_is_scored_without_it() -> None:
    chosen = candidate("m2 F o0.6 d10+", peak_learning_rate=0.03, averaging=0, **STILL)
    first, last = rung(chosen, end=6, epochs=6).curve
    assert last.train_loss < first.train_loss
    assert last.val_log_loss < last.train_loss - 0.1  # nothing is dropped here
    assert last.val_accuracy > 0.6


def test_divergence_is_a_value() -> None:
    chosen = candidate(
        "c4r F d10", optimiser="sgd", peak_learning_rate=10, weight_decay=10, **STILL
    )
    outcome = rung(chosen)
    assert outcome.curve[-1].diverged
    assert outcome.curve[-1].epoch < EPOCHS  # nothing follows
    assert 0 <= outcome.curve[-1].val_accuracy <= 1
    assert outcome.curve[-1].val_correct <= outcome.val_total
    assert state_file.layers(outcome.model, "weights").keys() == {"conv1", "dense1"}


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_means_diverged(loss: float) -> None:
    numbers = {"train_accuracy": 0.1, "val_accuracy": 0.1, "val_log_loss": 2.0, "val_correct": 3}
    fine = Point(epoch=1, train_loss=1.0, **numbers)
    assert not fine.diverged
    assert dataclasses.replace(fine, train_loss=loss).diverged
    assert dataclasses.replace(fine, val_log_loss=loss).diverged


# What a rung sees ---------------------------------------------------------------------------------


def test_pictures_are_normalised_by_the_training_split_alone() -> None:
    data = on_device("digits", 0)
    values = np.asarray(data.training.normalised(data.training.images_nhwc))
    np.testing.assert_allclose(values.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(values.std((0, 1, 2)), 1, atol=1e-4)
    for part in (data.calibration, data.validation):
        np.testing.assert_array_equal(part.mean_c, data.training.mean_c)
        np.testing.assert_array_equal(part.std_c, data.training.std_c)


def test_calibration_pictures_are_training_pictures_and_validation_ones_are_not() -> None:
    data = on_device("digits", 0)
    training, calibration, validation = (
        {image.tobytes() for image in np.asarray(part.images_nhwc)} for part in data
    )
    assert calibration <= training
    assert not validation & training


def test_the_split_of_the_digits_never_changes() -> None:
    """Written down once, labels and pictures: results before and after it would not compare."""
    data = on_device("digits", 0)
    digests = [
        hashlib.sha256(
            np.asarray(part.labels_n).tobytes() + np.asarray(part.images_nhwc).tobytes()
        ).hexdigest()[:16]
        for part in (data.training, data.validation)
    ]
    assert digests == ["89845b8ace6602dc", "5a3e2d13f1f4baa5"]
