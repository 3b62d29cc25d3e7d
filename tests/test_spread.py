"""In double precision, networks in lanes of one frame learn what each learns in that frame alone.

That the frame itself changes nothing is in `test_frame`, whose networks these are.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from convolutions import taking
from test_frame import BATCH, PAIRS, STEPS, siblings
from training import in_double, quickly, random_labelled

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.frame import fit, frame
from pennyweight.arch.network import abstract, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.train.optimiser import hypers
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Program, initial_state, train_steps
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.spread import in_lanes, lane, stacked

LANES = 3
MORE = [pytest.param(seed, marks=pytest.mark.extended) for seed in (2, 4, 6, 8)]


def started(program: Program, candidate: Candidate) -> tuple[Any, ...]:
    """What a candidate's lane takes: state, traced recipe and plan."""
    own = candidate.architecture
    params, _ = draw_weights(own, candidate.seed)
    traced = in_double(hypers(candidate.recipe, STEPS))
    state = initial_state(program, in_double(fit(params, own, program.architecture)), traced)
    return (
        state,
        traced,
        in_double(plan_epoch(STEPS * BATCH + 3, candidate.recipe, candidate.seed, 1)),
    )


def kernels_of(architecture: Architecture) -> np.ndarray:
    """By place in the weight vector, whether it belongs to a kernel."""
    _, params, _ = abstract(architecture)
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return np.concatenate([np.full(leaf.size, path[-1].key == "kernel") for path, leaf in leaves])


def assert_lanes_change_nothing(networks: list[Architecture], recipes: list[Recipe]) -> None:
    """Of three lanes, which differ in their widths, seeds, and the numbers of their recipes."""
    common = frame(networks)
    candidates = [
        Candidate(architecture=networks[i % len(networks)], recipe=recipes[i], seed=i)
        for i in range(LANES)
    ]
    program = Program.of(candidates[0], 2, common)
    assert all(Program.of(candidate, 2, common) == program for candidate in candidates)
    with jax.enable_x64(True):
        data = in_double(random_labelled(STEPS * BATCH + 3, common.input_shape, common.classes))
        each = [started(program, candidate) for candidate in candidates]
        states, traced, plans = zip(*each, strict=True)
        function = partial(train_steps, program)
        one = quickly(function)
        many = quickly(in_lanes(function, LANES, (False, False, True, False)))
        found = jax.device_get(many(stacked(states), stacked(traced), data, stacked(plans)))
        for i in range(LANES):
            wanted, learned = jax.device_get(one(states[i], traced[i], data, plans[i]))
            state, mine = lane(found, i, LANES)
            assert wanted.step == state.step == STEPS
            np.testing.assert_allclose(mine, learned, rtol=0, atol=1e-8)
            # The first moment, which is the decayed sum of the gradients; AdamW has a second.
            for a, b in zip(
                *map(jax.tree.leaves, (state.optimiser, wanted.optimiser)), strict=True
            ):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)
            # A bias before a BatchNorm has no gradient but rounding, which Adam enlarges.
            kept = kernels_of(common) if program.optimiser != "sgd" else slice(None)
            for a, b in ((state.params, wanted.params), (state.average, wanted.average)):
                np.testing.assert_allclose(a[kept], b[kept], rtol=0, atol=1e-8)
                assert np.abs(a).max() > 0.1
        assert not np.array_equal(found[0].params[0], found[0].params[2])


@pytest.mark.parametrize(
    ("pair", "form"),
    [(pair, form) for pair in PAIRS for form in ("whole", "in C")]
    + [pytest.param(pair, "piecewise", marks=pytest.mark.extended) for pair in PAIRS],
)
def test_every_kind_of_layer_learns_in_lanes_what_it_learns_alone(
    pair: tuple[str, str], form: str
) -> None:
    networks = [parse(notation, (8, 8, 2), 10) for notation in pair]
    rates = (0.05, 0.02, 0.03)
    recipes = [
        Recipe(optimiser="sgd", peak_learning_rate=rate, batch_size=BATCH, averaging=10 * rate)
        for rate in rates
    ]
    with taking(form):
        assert_lanes_change_nothing(networks, recipes)


@pytest.mark.parametrize(
    "seed", [0, 2, *(pytest.param(s, marks=pytest.mark.extended) for s in (4, 6, 8))]
)
def test_networks_of_the_space_learn_in_lanes_what_they_learn_alone(seed: int) -> None:
    networks = siblings(seed, ((8, 8, 1), (12, 12, 1), (9, 9, 3))[seed % 3])
    recipes = [
        Recipe(
            peak_learning_rate=0.01 / (1 + i),
            weight_decay=0.01 * i,
            batch_size=BATCH,
            label_smoothing=0.05 * i,
            averaging=0.5,
            rotation=5.0 + i,
        )
        for i in range(LANES)
    ]
    assert_lanes_change_nothing(networks, recipes)


def test_muon_moves_in_lanes_as_it_does_alone() -> None:
    recipes = [
        Recipe(optimiser="muon", peak_learning_rate=rate, batch_size=BATCH, averaging=0.5)
        for rate in (0.05, 0.02, 0.03)
    ]
    assert_lanes_change_nothing(siblings(6, (8, 8, 1)), recipes)
