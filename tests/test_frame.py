"""Networks of one skeleton padded to a common frame compute and learn what they do alone."""

import random
import re
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from convolutions import taking
from training import in_double, quickly, random_labelled

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.frame import fit, frame, skeleton
from pennyweight.arch.layers import KINDS
from pennyweight.arch.network import Tree, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome, choices
from pennyweight.train.optimiser import hypers
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Program, initial_state, train_steps
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.score import score

STEPS, BATCH = 10, 16
SEEDS = [seed if seed < 2 else pytest.param(seed, marks=pytest.mark.extended) for seed in range(20)]
NUMBERS = [name for name, options in choices().items() if options is None]

# One pair each of what the search's own space lacks.
PAIRS = [
    ("c3s2 b c4k2x2v r F b d5+ r d10", "c5s2 b c2k2x2v r F b d9+ r d10"),
    ("w b {c4 (c4 r w) m3s2 M o0.3 d10+}", "w b {c6 (c6 r w) m3s2 M o0.3 d10+}"),
    ("c2 o0.2 m2 F (b r) d4 b (d4 r) d10+", "c6 o0.2 m2 F (b r) d4 b (d4 r) d10+"),
    ("c4 2[w c4k1+ b l a2s1] (2[c4 u]) A d4 p d10", "c7 2[w c7k1+ b l a2s1] (2[c7 u]) A d7 p d10"),
    ("c4k7 r b ((c4 r) (w c4k1)) a2s1 A b d10", "c7k7 r b ((c7 r) (w c7k1)) a2s1 A b d10"),
]


def siblings(seed: int, shape: tuple[int, int, int]) -> list[Architecture]:
    """Networks of the search's space that differ in the genome's numbers alone."""
    draw = random.Random(seed)
    genes: dict[str, Any] = {
        name: draw.random() if options is None else draw.choice(options)
        for name, options in choices().items()
    }
    if genes["head"] == "max":  # where a channel is constant, rounding decides what is largest
        genes["head"] = "average"
    kept = {"dropout": genes["dropout"]}
    drawn: list[dict[str, Any]] = [
        genes | {name: draw.random() for name in NUMBERS} | kept for _ in range(2)
    ]
    return [decode(Genome(**each), Budget(max_params=900), shape, 10) for each in drawn]


def trained(candidate: Candidate, within: Architecture | None) -> tuple[Any, ...]:
    """(loss, weights, statistics, correct, log-loss) after ten steps in double precision."""
    own = candidate.architecture
    program = Program.of(candidate, 2, within)
    pictures = in_double(random_labelled(STEPS * BATCH + 3, own.input_shape, own.classes))
    traced = in_double(hypers(candidate.recipe, STEPS))
    params, _ = draw_weights(own, candidate.seed)
    params = in_double(fit(params, own, program.architecture))
    state = initial_state(program, params, traced)
    plan = in_double(plan_epoch(STEPS * BATCH + 3, candidate.recipe, candidate.seed, 1))
    state, learned = quickly(partial(train_steps, program))(state, traced, pictures, plan)
    found = quickly(partial(score, program))(state.average, pictures, pictures)
    trees = [fit(tree, program.architecture, own) for tree in (found.weights, found.statistics)]
    return float(learned.loss), *trees, int(found.correct), float(found.log_loss)


def differences(one: Tree, other: Tree) -> dict[str, float]:
    """The largest difference in each array."""
    assert one.keys() == other.keys()
    return {
        f"{layer} {name}": float(np.abs(array - other[layer][name]).max())
        for layer, arrays in one.items()
        for name, array in arrays.items()
    }


def assert_a_frame_changes_nothing(networks: list[Architecture], recipe: Recipe) -> None:
    common = frame(networks)
    with jax.enable_x64(True):
        for seed, network in enumerate(networks):
            candidate = Candidate(architecture=network, recipe=recipe, seed=seed)
            loss, weights, statistics, correct, log_loss = trained(candidate, None)
            framed = trained(candidate, common)
            assert framed[0] == pytest.approx(loss, abs=1e-8)
            assert framed[4] == pytest.approx(log_loss, abs=1e-8)
            assert framed[3] == correct
            for one, other in ((weights, framed[1]), (statistics, framed[2])):
                apart = differences(one, other)
                if recipe.optimiser != "sgd":
                    # A bias before a BatchNorm has no gradient but rounding, which Adam enlarges.
                    apart = {name: apart[name] for name in apart if name.endswith("kernel")}
                assert not {name: apart[name] for name in apart if apart[name] > 1e-8}


@pytest.mark.parametrize("seed", SEEDS)
def test_networks_of_the_space_learn_in_a_frame_what_they_learn_alone(seed: int) -> None:
    shape = ((8, 8, 1), (12, 12, 1), (9, 9, 3))[seed % 3]
    networks = siblings(seed, shape)
    assert len({skeleton(network) for network in networks}) == 1
    # A bias before BatchNorm and an activation that is linear here has no gradient but rounding.
    after = re.search(r"\+[rp]b", networks[0].notation)
    recipe = Recipe(
        optimiser="sgd" if after else ("adamw", "sgd")[seed % 2],
        peak_learning_rate=0.01,
        batch_size=BATCH,
        label_smoothing=0.05,
        averaging=0.5,
    )
    assert_a_frame_changes_nothing(networks, recipe)


@pytest.mark.parametrize(
    ("pair", "form"),
    [(pair, form) for pair in PAIRS for form in ("whole", "in C")]
    + [pytest.param(pair, "piecewise", marks=pytest.mark.extended) for pair in PAIRS[:-1]]
    + [(PAIRS[-1], "piecewise")],
)
def test_every_kind_of_layer_learns_in_a_frame_what_it_learns_alone(
    pair: tuple[str, str], form: str
) -> None:
    networks = [parse(notation, (8, 8, 2), 10) for notation in pair]
    recipe = Recipe(optimiser="sgd", peak_learning_rate=0.05, batch_size=BATCH, averaging=0.5)
    with taking(form):
        assert_a_frame_changes_nothing(networks, recipe)


@pytest.mark.parametrize(
    "seed", [1, 6, *(pytest.param(s, marks=pytest.mark.extended) for s in (2, 4, 13))]
)
def test_muon_moves_in_a_frame_as_it_does_alone(seed: int) -> None:
    networks = siblings(seed, (8, 8, 1))
    recipe = Recipe(optimiser="muon", peak_learning_rate=0.02, batch_size=BATCH, averaging=0.5)
    assert_a_frame_changes_nothing(networks, recipe)


def test_the_pairs_and_the_space_hold_every_kind_of_layer() -> None:
    networks = [parse(notation, (8, 8, 2), 10) for pair in PAIRS for notation in pair]
    networks += [network for seed in range(4) for network in siblings(seed, (8, 8, 1))]
    assert {placed.layer.kind for n in networks for placed in n.flat()} == set(KINDS)


def test_a_frame_is_as_wide_as_the_widest_layer_by_layer() -> None:
    networks = [parse(n, (8, 8, 1), 10) for n in ("c3r c9r A d10", "c5r c2r A d10")]
    assert frame(networks).notation == "c5r c9r A d10"
    assert frame(networks[:1]) == networks[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("c3r A d10", "c3r A d10+"),
        ("c3r A d10", "c3 A d10"),
        ("c3r A d10", "c3k5r A d10"),
        ("c3r A d10", "c3r m2 A d10"),
        ("c3o0.1 A d10", "c3o0.2 A d10"),
        ("c3 F o0.1 d10", "c4 F o0.1 d10"),  # which values drop depends on the width
        ("c3 F (d192) d10", "c4 F (d256) d10"),  # so does what they are added to
    ],
)
def test_networks_that_differ_in_more_than_widths_have_no_frame(one: str, other: str) -> None:
    networks = [parse(notation, (8, 8, 1), 10) for notation in (one, other)]
    assert skeleton(networks[0]) != skeleton(networks[1])
    with pytest.raises(ValueError, match="differ in nothing but their widths"):
        frame(networks)


def test_what_is_filled_up_is_cut_to_what_it_was() -> None:
    for pair in PAIRS:
        networks = [parse(notation, (8, 8, 2), 10) for notation in pair]
        common = frame(networks)
        for seed, network in enumerate(networks):
            for tree in draw_weights(network, seed):
                filled = fit(tree, network, common)
                back = fit(filled, common, network)
                assert jax.tree.all(jax.tree.map(np.array_equal, back, tree))
                size = {sum(a.size for a in jax.tree.leaves(t)) for t in draw_weights(common, 0)}
                assert sum(a.size for a in jax.tree.leaves(filled)) in size
