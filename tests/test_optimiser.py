"""The optimisers are Optax's, decay falls on kernels alone, and schedules follow their formulas."""

import math
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import quickly

from pennyweight.train.optimiser import Hypers, hypers, optimiser
from pennyweight.train.recipe import Optimiser, Recipe, Schedule

STEPS = 20


def learning_rates(schedule: Schedule, total_steps: int) -> np.ndarray:
    """As shares of the peak, read off a weight of 1 that only decays: it loses rate times decay."""
    traced = hypers(Recipe(peak_learning_rate=0.5, weight_decay=1), 1)
    transform = optimiser("sgd", schedule, total_steps, traced, 1.0)
    one = jnp.ones(1)

    def step(state: optax.OptState, _: None) -> tuple[optax.OptState, jax.Array]:
        update, state = transform.update(jnp.zeros(1), state, one)
        return state, -jnp.asarray(update)[0]

    scan = quickly(lambda: jax.lax.scan(step, transform.init(one), None, total_steps)[1])
    return np.asarray(scan()) / 0.5


def warm_up_then_cosine(step: int, total: int, rise: int) -> float:
    if step < rise:
        return 1 / 25 + (1 - 1 / 25) * step / rise
    return (1 + math.cos(math.pi * (step - rise) / (total - rise))) / 2


@pytest.mark.parametrize(("schedule", "rise"), [("one_cycle", 60), ("cosine", 10)])
def test_the_learning_rate_rises_from_a_25th_and_falls_along_a_cosine(
    schedule: Schedule, rise: int
) -> None:
    found = learning_rates(schedule, 200)
    wanted = [warm_up_then_cosine(step, 200, rise) for step in range(200)]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found[0] == pytest.approx(0.04)
    assert found[rise] == found.max() == 1
    assert 0 < found[-1] < 1e-3


def test_the_step_schedule_drops_after_40_and_80_percent() -> None:
    found = learning_rates("step", 50)
    np.testing.assert_allclose(found, np.repeat([1, 0.12, 0.12**2], [20, 20, 10]), rtol=1e-6)


def test_the_constant_schedule_stays_at_the_peak() -> None:
    np.testing.assert_array_equal(learning_rates("constant", 50), np.ones(50))


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 7])
def test_a_run_of_few_steps_has_a_rate_at_every_step(schedule: Schedule, total_steps: int) -> None:
    found = learning_rates(schedule, total_steps)
    assert found.shape == (total_steps,)
    assert np.all((found > 0) & (found <= 1))
    assert found.max() == 1


def problem() -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """(weights, their optimum) of a quadratic bowl with a kernel and a bias."""
    random = np.random.default_rng(0)
    shapes = {"bias": (3,), "kernel": (4, 3)}
    tree = {name: jnp.asarray(random.normal(size=s), jnp.float32) for name, s in shapes.items()}
    return tree, {
        name: jnp.asarray(random.normal(size=s), jnp.float32) for name, s in shapes.items()
    }


def gradient(weights: dict[str, jax.Array], optimum: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Uneven, so that Adam's scaling matters; never quite zero."""
    return {name: (weights[name] - optimum[name]) * 3 + 0.01 for name in weights}


def trained_by_optax(name: Optimiser, recipe: Recipe, schedule: optax.Schedule) -> np.ndarray:
    """What Optax's own optimiser makes of the problem; the weights as a vector."""
    mask = {"bias": False, "kernel": True}
    if name == "adamw":
        reference = optax.adamw(schedule, weight_decay=recipe.weight_decay, mask=mask)
    else:
        reference = optax.sgd(schedule, momentum=0.9, nesterov=True)
    weights, optimum = problem()
    state = reference.init(weights)
    update = quickly(reference.update)
    for step in range(STEPS):
        change, state = update(gradient(weights, optimum), state, weights)
        shrink = float(np.asarray(schedule(step))) * recipe.weight_decay if name == "sgd" else 0.0
        weights = {
            "bias": weights["bias"] + change["bias"],
            "kernel": weights["kernel"] + change["kernel"] - shrink * weights["kernel"],
        }
    return np.concatenate([weights["bias"], weights["kernel"].ravel()])


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_training_is_that_of_optax_with_decay_of_kernels_alone(name: Optimiser) -> None:
    recipe = Recipe(optimiser=name, schedule="cosine", peak_learning_rate=0.05, weight_decay=0.8)
    decayed = np.repeat(np.array([0, 1], np.float32), [3, 12])
    tree, aim = problem()
    weights, optimum = (jnp.concatenate([t["bias"], t["kernel"].ravel()]) for t in (tree, aim))

    @quickly
    def run(traced: Hypers, weights: jax.Array) -> jax.Array:
        transform = optimiser(name, recipe.schedule, STEPS, traced, decayed)
        state = transform.init(weights)

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            weights, state = carry
            slope = gradient({"all": weights}, {"all": optimum})["all"]
            update, state = transform.update(slope, state, weights)
            return (weights + update, state), None

        return jax.lax.scan(step, (weights, state), None, STEPS)[0][0]

    found = run(hypers(recipe, 1), weights)
    schedule = optax.warmup_cosine_decay_schedule(0.05 / 25, 0.05, 1, STEPS)
    np.testing.assert_allclose(found, trained_by_optax(name, recipe, schedule), rtol=1e-5)
    assert np.abs(np.asarray(found) - np.asarray(weights)).max() > 0.1


def test_hypers_are_the_numbers_of_the_recipe() -> None:
    recipe = Recipe(averaging=2, label_smoothing=0.1)
    traced = hypers(recipe, 50)
    assert {leaf.dtype for leaf in jax.tree.leaves(traced)} == {np.dtype(np.float32)}
    assert traced.label_smoothing == pytest.approx(0.1)
    assert (traced.peak_learning_rate, traced.weight_decay) == pytest.approx((0.01, 1e-4))


def test_the_time_constant_of_the_average_is_in_epochs() -> None:
    decay = hypers(Recipe(averaging=2), 50).average_decay
    assert decay**100 == pytest.approx(math.exp(-1), rel=1e-5)
    assert hypers(Recipe(averaging=0), 50).average_decay == 0
