"""What a step learns: from several batches, and with what a recipe's penalties add to the loss."""

from functools import partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import bind, evaluate
from training import STILL, candidate, in_double, normalised, quickly, random_labelled, start

from pennyweight.arch.network import Tree, draw_weights
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Learned, Pictures, State, train_steps
from pennyweight.train.recipe import Candidate, Optimiser

SHAPE = (5, 5, 1)
NETWORK = "c4+r m2 F d3+"  # without BatchNorm and dropout
STEP, STEPS = 12, 3
DATA = random_labelled(STEP * STEPS + 5, SHAPE, 3)


def trained(notation: str = NETWORK, epochs: int = 2, **recipe: Any) -> tuple[State, list[Learned]]:
    """The state after some epochs in double precision, and how each did."""
    chosen = candidate(notation, SHAPE, 3, **{"peak_learning_rate": 0.05, **STILL, **recipe})
    with jax.enable_x64(True):
        program, state, traced = start(chosen, epochs, STEPS)
        steps = quickly(partial(train_steps, program))
        state, traced, told = in_double(state), in_double(traced), []
        for epoch in range(epochs):
            plan = plan_epoch(len(DATA.labels_n), chosen.recipe, chosen.seed, epoch)
            state, learned = steps(state, traced, in_double(DATA), plan)
            told.append(jax.device_get(learned))
        return jax.device_get(state), told


@pytest.mark.parametrize("optimiser", get_args(Optimiser))
@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulated_batches_make_the_step_of_one_large_batch(
    accumulation: int, optimiser: str
) -> None:
    others = {"optimiser": optimiser, "l1": 0.001, "l2": 0.01, "label_smoothing": 0.1}
    one, told = trained(batch_size=STEP, **others)
    small = {"batch_size": STEP // accumulation, "accumulation": accumulation}
    found, found_told = trained(**small, **others)
    assert int(found.step) == int(one.step) == 2 * STEPS
    for name in ("params", "average"):
        np.testing.assert_allclose(getattr(found, name), getattr(one, name), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found_told, told, rtol=0, atol=1e-12)
    alone, _ = trained(batch_size=STEP // accumulation, **others)
    assert np.abs(alone.params - one.params).max() > 0.01  # other steps are not the same


def test_the_steps_of_accumulated_batches_see_the_pictures_of_large_ones() -> None:
    large = candidate(NETWORK, SHAPE, 3, batch_size=STEP, **STILL).recipe
    small = candidate(NETWORK, SHAPE, 3, batch_size=STEP // 3, accumulation=3, **STILL).recipe
    plans = [plan_epoch(len(DATA.labels_n), recipe, 1, 4).order_sb for recipe in (large, small)]
    np.testing.assert_array_equal(plans[1].reshape(plans[0].shape), plans[0])


def reference_loss(chosen: Candidate, data: Pictures, params: Tree) -> tuple[jax.Array, jax.Array]:
    """The penalised loss on all pictures, kernel by kernel, and how many are told rightly."""
    _, statistics = draw_weights(chosen.architecture, chosen.seed)
    nodes = bind(chosen.architecture.layers, params, statistics)
    logits = evaluate(nodes, jnp.asarray(normalised(data)), seen=[])
    labels = np.asarray(data.labels_n)
    loss = -jax.nn.log_softmax(logits)[np.arange(len(labels)), labels].mean()
    for arrays in params.values():
        for name, array in arrays.items():
            if name == "kernel":
                loss += chosen.recipe.l1 * jnp.abs(array).sum()
                loss += chosen.recipe.l2 * jnp.square(array).sum()
    return loss, (logits.argmax(1) == labels).sum()


@pytest.mark.parametrize("penalties", [{"l1": 0.01}, {"l2": 0.02}, {"l1": 0.03, "l2": 0.01}])
def test_penalties_are_those_of_a_plain_loss(penalties: dict[str, float]) -> None:
    """One step of gradient descent on all pictures moves the weights down the penalised slope."""
    n = len(DATA.labels_n)
    plain = {"optimiser": "sgd", "schedule": "constant", "weight_decay": 0, "averaging": 0}
    chosen = candidate("c2br m2 F d3+", SHAPE, 3, batch_size=n, **plain, **penalties, **STILL)
    with jax.enable_x64(True):
        program, state, traced = start(chosen, 1, 1)
        plan = plan_epoch(n, chosen.recipe, 0, 1)
        begun = in_double(state)
        data = in_double(DATA)
        after, learned = quickly(partial(train_steps, program))(
            begun, in_double(traced), data, plan
        )
        params = in_double(draw_weights(chosen.architecture, chosen.seed)[0])
        (loss, right), slopes = jax.value_and_grad(
            partial(reference_loss, chosen, data), has_aux=True
        )(params)
    slope = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(slopes)])
    moved = (np.asarray(after.params) - np.asarray(begun.params)) / (-1.9 * 0.01)
    np.testing.assert_allclose(moved, slope, rtol=0, atol=1e-6)
    assert float(learned.loss) == pytest.approx(float(loss), abs=1e-6)
    assert float(learned.accuracy) == pytest.approx(int(right) / n, abs=1e-6)


def test_the_training_accuracy_is_that_of_the_batches_as_they_were_learned_from() -> None:
    """At a rate of almost 0 the weights stay: it is that of the first ones on all pictures."""
    n = len(DATA.labels_n)
    still = {"peak_learning_rate": 1e-7, "weight_decay": 0}
    _, (learned,) = trained(epochs=1, batch_size=n // 3, label_smoothing=0.2, **still)
    chosen = candidate(NETWORK, SHAPE, 3)
    params, _ = draw_weights(chosen.architecture, 0)
    batches = candidate(NETWORK, SHAPE, 3, batch_size=n // 3, **STILL).recipe
    order = plan_epoch(n, batches, 0, 0).order_sb
    seen = Pictures(
        DATA.images_nhwc[order.ravel()], DATA.labels_n[order.ravel()], DATA.mean_c, DATA.std_c
    )
    _, right = reference_loss(chosen, seen, params)
    assert float(learned.accuracy) == pytest.approx(int(right) / order.size, abs=1e-6)


def test_penalties_draw_kernels_towards_zero() -> None:
    free, _ = trained(NETWORK, 4, batch_size=STEP)
    for penalty in ({"l1": 0.1}, {"l2": 0.1}):
        held, _ = trained(NETWORK, 4, batch_size=STEP, **penalty)
        assert np.abs(held.params).sum() < 0.9 * np.abs(free.params).sum()
