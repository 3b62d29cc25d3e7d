"""An epoch is what a plain training loop does, with all its pictures, in an order of its own.

The loops here go over all pictures at once (a batch is the whole set, so its order is no matter),
use Optax's own optimisers and the reference network, and average in closed form.
"""

import math
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonDimensionNumbers, scale_by_muon
from reference import bind, evaluate
from training import (
    STILL,
    after_epoch,
    candidate,
    normalised,
    pictures,
    quickly,
    random_labelled,
    start,
    steps_of,
    vector,
)

from pennyweight.arch.network import Tree, draw_weights
from pennyweight.train.optimiser import optimiser
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Pictures, Program, State
from pennyweight.train.recipe import Candidate, Optimiser

SHAPE = (3, 3, 1)


# Training -----------------------------------------------------------------------------------------

EPOCHS = 20


def plain_training(
    chosen: Candidate, reference: optax.GradientTransformation, data: Pictures
) -> tuple[list[Tree], list[float]]:
    """(weights before the first step and after each, the loss of each step)."""
    images, labels = jnp.asarray(normalised(data), jnp.float32), np.asarray(data.labels_n)
    share = chosen.recipe.label_smoothing
    classes = chosen.architecture.classes
    wanted = (1 - share) * np.eye(classes, dtype=np.float32)[labels] + np.float32(share / classes)

    params, statistics = draw_weights(chosen.architecture, chosen.seed)

    def loss(params: Tree) -> jax.Array:
        nodes = bind(chosen.architecture.layers, params, statistics)
        return -(wanted * jax.nn.log_softmax(evaluate(nodes, images, seen=[]))).sum(1).mean()

    @quickly
    def step(params: Tree, state: optax.OptState) -> tuple[Tree, optax.OptState, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(params)
        update, state = reference.update(gradients, state, params)
        return jax.tree.map(jnp.add, params, update), state, value

    state, trees, losses = reference.init(params), [params], []
    for _ in range(EPOCHS):
        params, state, value = step(params, state)
        trees.append(params)
        losses.append(float(value))
    return trees, losses


def moving_average(weights: np.ndarray, epochs: float) -> np.ndarray:
    """Of rows: the first, and those after each step, by their shares in closed form."""
    steps = len(weights) - 1
    decays = [min(math.exp(-1 / epochs), (1 + t) / (10 + t)) for t in range(steps)]
    shares = [np.prod(decays)]
    shares += [(1 - decays[t]) * np.prod(decays[t + 1 :]) for t in range(steps)]
    assert sum(shares) == pytest.approx(1)
    return np.asarray(shares) @ weights


def of_kernels(params: Tree) -> Any:
    return {layer: {name: name == "kernel" for name in arrays} for layer, arrays in params.items()}


def of_convolutions(params: Tree) -> Any:
    return {
        layer: {name: layer.startswith("conv") and kernel for name, kernel in arrays.items()}
        for layer, arrays in of_kernels(params).items()
    }


def reference_adamw(rate: float, decay: float) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(rate / 25, rate, 6, EPOCHS)
    return optax.adamw(schedule, weight_decay=decay, mask=of_kernels)


def reference_sgd(rate: float, decay: float) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(rate / 25, rate, 1, EPOCHS)
    return optax.chain(
        optax.trace(0.9, nesterov=True),
        optax.masked(optax.add_decayed_weights(decay), of_kernels),
        optax.scale_by_learning_rate(schedule),
    )


def reference_muon(rate: float, decay: float) -> optax.GradientTransformation:
    """Optax's own way to make orthogonal, of the momentum of a convolution's kernel."""
    axes = MuonDimensionNumbers((0, 1, 2), 3)
    orthogonal = optax.chain(
        optax.trace(0.95, nesterov=True),
        scale_by_muon(
            beta=0,
            nesterov=False,
            weight_dimension_numbers=lambda kernels: jax.tree.map(lambda _: axes, kernels),
        ),
        # The kernel is 9 x 3: its 3 singular values of 1 mean a mean square of 3 / 27.
        optax.scale(0.2 * math.sqrt(9)),
    )
    schedule = optax.warmup_cosine_decay_schedule(rate / 25, rate, 6, EPOCHS)
    return optax.chain(
        optax.partition({True: orthogonal, False: optax.scale_by_adam()}, of_convolutions),
        optax.masked(optax.add_decayed_weights(decay), of_kernels),
        optax.scale_by_learning_rate(schedule),
    )


@pytest.mark.parametrize(
    ("recipe", "reference"),
    [
        ({"optimiser": "adamw", "schedule": "one_cycle"}, reference_adamw),
        ({"optimiser": "sgd", "schedule": "cosine"}, reference_sgd),
        ({"optimiser": "muon", "schedule": "one_cycle"}, reference_muon),
    ],
)
def test_twenty_steps_are_those_of_a_plain_loop(recipe: dict[str, Any], reference: Any) -> None:
    chosen = candidate(
        "c3br m2 F d3+",
        (4, 4, 1),
        3,
        batch_size=30,
        peak_learning_rate=0.03,
        weight_decay=0.5,
        label_smoothing=0.2,
        averaging=1,
        **recipe,
        **STILL,
    )
    data = random_labelled(30, (4, 4, 1), 3)
    program, state, traced = start(chosen, EPOCHS, 1)
    states, losses = [state], []
    for epoch in range(EPOCHS):
        state, loss = after_epoch(chosen, program, states[-1], traced, data, epoch=epoch)
        states.append(state)
        losses.append(float(loss))
    trees, wanted = plain_training(chosen, reference(0.03, 0.5), data)
    weights = np.stack([vector(tree) for tree in trees])
    np.testing.assert_allclose(losses, wanted, rtol=1e-4)
    for steps in (1, 4, 10, EPOCHS):
        found = states[steps]
        np.testing.assert_allclose(found.params, weights[steps], atol=1e-4)
        wanted_average = moving_average(weights[: steps + 1], 1)
        np.testing.assert_allclose(found.average, wanted_average, atol=1e-4)
        assert int(found.step) == steps
    assert np.abs(weights[EPOCHS] - weights[0]).max() > 0.1
    assert np.abs(states[10].average - weights[10]).max() > 0.01
    kinds = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), s) for s in (states[0], state)]
    assert kinds[0] == kinds[1]


# Which pictures are trained on --------------------------------------------------------------------

SIDE, BATCH = 5, 4
PIXELS = SIDE * SIDE


def one_pixel_each() -> Pictures:
    """Picture i has nothing but its pixel i, so only it changes row i of a dense kernel."""
    images = 255 * np.eye(PIXELS).reshape(PIXELS, SIDE, SIDE, 1)
    return pictures(images, np.arange(PIXELS) % 2)


def linear(notation: str = "F d2", **recipe: Any) -> tuple[Candidate, Program, State, Any]:
    """Gradient descent on a linear classifier; the rate stays at its peak for four epochs."""
    settings = {"batch_size": BATCH, "optimiser": "sgd", "schedule": "step", "weight_decay": 0}
    settings |= {"averaging": 0, "peak_learning_rate": 0.01, **STILL}
    chosen = candidate(notation, (SIDE, SIDE, 1), 2, **(settings | recipe))
    return chosen, *start(chosen, 10, PIXELS // settings["batch_size"])


def change_by_pixel(state: State, after: State) -> np.ndarray:
    """(pixels, classes)"""
    return np.asarray(after.params - state.params, np.float64).reshape(PIXELS, 2)


def steps_of_pictures(seed: int, epoch: int = 1) -> np.ndarray:
    """The step at which each picture was trained on, -1 for none; each at most once, or it fails.

    A gradient moves its row at its own step and, by momentum, at each later one: how far it has
    come in all tells when that was.
    """
    begun = _, _, state, _ = linear()
    after, _ = after_epoch(*begun, one_pixel_each(), seed=seed, epoch=epoch)
    rows = np.asarray(state.params, np.float64).reshape(PIXELS, 2)
    shares = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    gradient = (shares - np.eye(2)[np.arange(PIXELS) % 2]) / BATCH
    travelled = change_by_pixel(state, after) / (-0.01 * gradient)
    np.testing.assert_allclose(travelled[:, 0], travelled[:, 1], rtol=1e-3, atol=1e-3)
    steps = PIXELS // BATCH
    pushes = np.cumsum([1.9] + [0.9 ** (k + 1) for k in range(1, steps)])[::-1]
    known = np.append(pushes, 0)  # by step, and for no step at all
    found = np.abs(travelled[:, :1] - known).argmin(1)
    np.testing.assert_allclose(travelled[:, 0], known[found], rtol=1e-3, atol=1e-3)
    return np.where(found == steps, -1, found)


def test_each_picture_is_used_at_most_once_and_the_partial_last_batch_sits_out() -> None:
    left_out = set()
    for seed in range(12):
        steps = steps_of_pictures(seed)
        assert np.bincount(steps + 1).tolist() == [PIXELS % BATCH] + [BATCH] * (PIXELS // BATCH)
        left_out.add(int(steps.argmin()))
    assert len(left_out) > 5  # chance leaves out others each time


def test_the_order_differs_by_epoch_and_by_seed_and_repeats_for_both() -> None:
    first = steps_of_pictures(seed=0, epoch=1)
    np.testing.assert_array_equal(first, steps_of_pictures(seed=0, epoch=1))
    assert np.mean(first == steps_of_pictures(seed=0, epoch=2)) < 0.5
    assert np.mean(first == steps_of_pictures(seed=1, epoch=1)) < 0.5


def test_the_order_is_the_same_on_every_machine() -> None:
    """Written down once: the generator works on whole numbers, so nothing rounds differently."""
    order = " ".join(str(step) for step in steps_of_pictures(seed=0, epoch=1))
    assert order == "2 1 5 2 2 -1 5 4 5 4 3 0 5 3 1 2 0 0 4 3 0 1 4 3 1"


def test_without_averaging_the_weights_themselves_are_scored() -> None:
    begun = _, _, state, _ = linear()
    after, _ = after_epoch(*begun, one_pixel_each())
    np.testing.assert_array_equal(after.average, after.params)
    assert not np.array_equal(after.params, state.params)


def test_dropout_drops_its_share_anew_at_every_step() -> None:
    """Two steps with white pictures: a pixel that both of them dropped has taught nothing."""
    begun = _, _, state, _ = linear("o0.5 F d2", batch_size=1)
    data = pictures(np.full((2, SIDE, SIDE, 1), 255), np.arange(2))
    taught = []
    for seed in range(12):
        after, _ = after_epoch(*begun, data, seed=seed)
        taught.append(change_by_pixel(state, after).any(1))
    assert abs(np.mean(taught) - 0.75) < 0.125  # five standard deviations of 12 x 25 draws
    assert len(np.unique(taught, axis=0)) == 12


def test_each_picture_of_a_batch_is_changed_by_a_draw_of_its_own() -> None:
    middle = np.zeros((PIXELS, SIDE, SIDE, 1))
    middle[:, 2, 2] = 255
    data = pictures(middle, np.arange(PIXELS) % 2)
    for shift, least, most in ((0, 1, 1), (0.2, 5, 9), (0.4, 10, 25)):
        begun = _, _, state, _ = linear(batch_size=PIXELS, shift=shift)
        after, _ = after_epoch(*begun, data)
        # One draw for all would spread the pixel over four at most.
        assert least <= np.count_nonzero(change_by_pixel(state, after).any(1)) <= most


def test_what_comes_in_from_outside_a_picture_is_black() -> None:
    """White pictures that are 0 once normalised: only black pixels at their edge teach anything."""
    data = pictures(np.full((PIXELS, SIDE, SIDE, 1), 255), np.zeros(PIXELS), mean=1)
    begun = _, _, state, _ = linear(shift=0.2)
    after, _ = after_epoch(*begun, data)
    changed = change_by_pixel(state, after).any(1).reshape(SIDE, SIDE)
    edge = np.ones((SIDE, SIDE), bool)
    edge[1:-1, 1:-1] = False
    np.testing.assert_array_equal(changed, edge)


@pytest.mark.parametrize("name", get_args(Optimiser))
def test_training_begins_as_optax_begins(name: Optimiser) -> None:
    chosen = candidate("c2b A d2", SHAPE, 2, optimiser=name)
    _, state, traced = start(chosen, 2, 2)
    wanted = optimiser(name, "step", 4, traced, 0).init(jnp.asarray(state.params))
    assert jax.tree.structure(state.optimiser) == jax.tree.structure(wanted)
    same = jax.tree.map(
        lambda a, b: np.array_equal(a, b) and a.dtype == b.dtype, state.optimiser, wanted
    )
    assert jax.tree.all(same)
    np.testing.assert_array_equal(state.average, state.params)
    np.testing.assert_array_equal(state.params, vector(draw_weights(chosen.architecture, 0)[0]))


def test_a_diverged_epoch_is_a_loss_that_is_no_number() -> None:
    chosen, program, state, traced = linear()
    broken = state._replace(params=jnp.asarray(state.params).at[0].set(jnp.nan))
    _, loss = after_epoch(chosen, program, broken, traced, one_pixel_each())
    assert not np.isfinite(loss)


def test_a_tie_is_no_right_answer() -> None:
    """All logits of black pictures are 0, and stay 0: the network knows no class."""
    data = pictures(np.zeros((PIXELS, SIDE, SIDE, 1)), np.arange(PIXELS) % 3)
    chosen = candidate("F d3", (SIDE, SIDE, 1), 3, batch_size=BATCH, **STILL)
    program, state, traced = start(chosen, 1, PIXELS // BATCH)
    plan = plan_epoch(PIXELS, chosen.recipe, 0, 1)
    _, learned = steps_of(program)(state, traced, data, plan)
    assert learned.loss == pytest.approx(math.log(3))
    assert learned.accuracy == 0


# What is compiled ---------------------------------------------------------------------------------


def test_recipes_that_differ_in_numbers_share_a_program() -> None:
    plain = Program.of(candidate("A d10"), 5)
    traced = {"peak_learning_rate": 0.5, "weight_decay": 0, "label_smoothing": 0.1, "averaging": 2}
    assert Program.of(candidate("A d10", seed=3, shift=0.5, rotation=0, **traced), 5) == plain
    for other in (
        Program.of(candidate("M d10"), 5),
        Program.of(candidate("A d10"), 6),
        Program.of(candidate("A d10", optimiser="sgd"), 5),
        Program.of(candidate("A d10", schedule="step"), 5),
        Program.of(candidate("A d10", batch_size=32), 5),
        Program.of(candidate("A d10", averaging=0), 5),
        Program.of(candidate("A d10", **STILL), 5),
    ):
        assert other != plain
