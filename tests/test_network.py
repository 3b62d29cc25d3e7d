"""The Flax module computes what a reference computes, and is made without compiling."""

from functools import partial
from typing import Any

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import example, given, settings
from reference import bind, evaluate, random_arrays, random_pictures
from strategies import SMALL_SHAPES, architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.layers import Call, Layer
from pennyweight.arch.network import Network, Tree, abstract, draw_weights
from pennyweight.arch.notation import _parse_layers, parse

# Optimised code takes twice as long to compile, and runs once here.
quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
compilations: list[str] = []


@jax.monitoring.register_event_duration_secs_listener
def _note(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compilations.append(event)


def network(a: Architecture, params: Tree, statistics: Tree) -> Network:
    graph, _, _ = abstract(a)
    return nnx.merge(graph, params, statistics)


def both(
    a: Architecture, written: tuple[Layer, ...], pictures: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The logits of the network of `a`, and those of the reference for the layers as written."""

    @quickly
    def logits(params: Tree, statistics: Tree, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = network(a, params, statistics)(x)
        return found, evaluate(bind(written, params, statistics), x)

    return logits(*random_arrays(a, 1), pictures)


def assert_close(found: jax.Array, wanted: jax.Array, tolerance: float = 1e-4) -> None:
    """Equal to within a share of the largest value: float32 sums differ in their order."""
    scale = max(1.0, float(jnp.abs(wanted).max()))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * scale)


@settings(max_examples=25, derandomize=True)
@example(parse("wk3s2x2+b m2s1 (c4k2b (w))r a2s1o0.1 c5k4v+ M d3", (12, 11, 4), 3))
@given(architectures(SMALL_SHAPES, least=2, most=4))
def test_logits_are_those_of_the_reference(a: Architecture) -> None:
    found, wanted = both(a, a.layers, random_pictures(a, 3, 2))
    assert found.shape == (3, a.classes)
    assert found.dtype == jnp.float32
    assert_close(found, wanted)


@pytest.mark.parametrize(
    "text",
    [
        "c4k1x3v F d2",
        "wk1x2 F d2",
        "m1 a1 F d2",
        "c2o0 F d2",
        "c3rr rr F d2",
        "c2 m2s2 F d2",
        "c2 m6 A d2",
        "c2 a6 M d2",
        "c2 (m1c2rr)r F d2",
    ],
)
def test_the_normal_form_computes_what_was_written(text: str) -> None:
    written, _ = _parse_layers(text, text, 0)
    a = parse(text, (6, 6, 1), 2)
    assert a.layers != written
    assert_close(*both(a, written, random_pictures(a, 2, 4)))


@pytest.mark.parametrize(
    "text", ["c4br c4rb A d3", "bw+b (c2br c2b)r m2 F d4br d3", "M d3b", "c3 2[2[(c3b)r] b] A d3"]
)
def test_in_training_batch_norm_uses_and_leaves_the_statistics_of_the_batch(text: str) -> None:
    a = parse(text, (6, 5, 2), 3)

    @quickly
    def trained(params: Tree, statistics: Tree, x: jax.Array) -> tuple[Any, ...]:
        module = network(a, params, statistics)
        found = module(x, Call(batch_statistics=True))
        left = nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))
        seen: list[tuple[jax.Array, jax.Array]] = []
        return found, evaluate(bind(a.layers, params, statistics), x, seen), left, seen

    found, wanted, left, seen = trained(*random_arrays(a, 5), random_pictures(a, 16, 6))
    assert_close(found, wanted, 1e-3)
    names = [p.name for p in a.flat() if p.layer.kind == "batch_norm"]
    assert len(names) == len(set(names))
    assert sorted(left) == sorted(names)
    for name, (mean, var) in zip(names, seen, strict=True):
        assert_close(left[name]["mean"], mean, 1e-3)
        assert_close(left[name]["var"], var, 1e-3)


# What a convolution's maps carry with them, and what meets it there.
CARRIED = [
    "c4b m2 b A d2",
    "c4+b A d2",
    "c4rb F d2",
    "c4bb A d2",
    "(c2)b A d2",
    "c4b (c4b)r m2 A d2",
    "c4 a2 b A d2",
    "c4br wb a2 F d2",
    "c4bl (c4bp)u m2 A d2",
    "c4bp wbl c4k1bp m2 wp A d2",
    "c4p c4rl c4pr c4lbp F d2",
    "c4br 2[w c4k1br m2] A d2",
    "c4 2[2[wb] c4+]br A d2",
    "c4bl (c2k17b c4)bp M d2",
]


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("text", CARRIED)
@pytest.mark.parametrize(("side", "batch"), [(6, 8), (16, 32)], ids=["whole", "in portions"])
def test_values_and_gradients_are_those_of_the_reference_in_either_form(
    text: str, side: int, batch: int
) -> None:
    """Gradients of the pictures and of all weights, through the batch's own statistics.

    A kernel of 17 is too large for C, so it makes whole maps of those that come in portions.
    """
    a = parse(text, (side, side, 2), 2)
    params, statistics = random_arrays(a, 3)
    pull = jnp.asarray(np.random.default_rng(4).normal(size=(batch, 2)), jnp.float32)

    def ours(params: Tree, x: jax.Array) -> jax.Array:
        return network(a, params, statistics)(x, Call(batch_statistics=True))

    def theirs(params: Tree, x: jax.Array) -> jax.Array:
        return evaluate(bind(a.layers, params, statistics), x, [])

    @quickly
    def results(params: Tree, x: jax.Array) -> list[Any]:
        pulled = [jax.vjp(f, params, x) for f in (ours, theirs)]
        return [(found, back(pull)) for found, back in pulled]

    found, wanted = results(params, random_pictures(a, batch, 5))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert_close(one, other, 1e-3)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("text", ["c4r m2 c4r m2 A d2+", "c4br m2 c4br m2 M d2+"])
def test_what_is_not_finite_is_seen_behind_relu_and_max_pool(text: str) -> None:
    """In one weight, or in one picture: were it hidden, the trial would not count as diverged."""
    a = parse(text, (6, 6, 1), 2)
    params, statistics = random_arrays(a, 3)
    pictures = random_pictures(a, 8, 5)

    @quickly
    def loss(params: Tree, x: jax.Array) -> jax.Array:
        logits = network(a, params, statistics)(x, Call(batch_statistics=True))
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    assert np.isfinite(loss(params, pictures))
    for value in (np.nan, np.inf, -np.inf):
        assert not np.isfinite(loss(params, pictures.at[5, 2, 3].set(value)))
        broken, _ = random_arrays(a, 3)
        broken["conv1"]["kernel"][1, 1, 0, 2] = value
        assert not np.isfinite(loss(broken, pictures))


def test_predicting_leaves_the_statistics_alone() -> None:
    a = parse("c4br A d3", (6, 5, 2), 3)
    params, statistics = random_arrays(a, 5)
    module = network(a, params, statistics)
    module(random_pictures(a, 4, 6))
    left = nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))
    assert jax.tree.all(jax.tree.map(np.array_equal, left, statistics))


def test_batch_norm_adds_its_epsilon_to_the_variance() -> None:
    a = parse("b F", (1, 1, 2), 2)
    params, statistics = draw_weights(a, 0)
    statistics["batch_norm1"]["var"] = np.asarray([3e-5, 0], np.float32)
    found = network(a, params, statistics)(jnp.ones((1, 1, 1, 2)))
    np.testing.assert_allclose(found, [[4e-5**-0.5, 1e-5**-0.5]], rtol=1e-5)


def test_dropout_zeroes_its_share_and_scales_the_rest() -> None:
    a = parse("o0.25 F", (20, 20, 1), 400)
    pictures = jnp.ones((50, 20, 20, 1))
    module = network(a, {}, {})
    assert np.array_equal(module(pictures), np.ones((50, 400)))
    found = np.asarray(module(pictures, Call(dropout_key=jax.random.key(1))))
    assert set(np.unique(found)) == {0, np.float32(1 / 0.75)}
    assert abs((found == 0).mean() - 0.25) < 0.015  # five standard deviations of 20,000 draws
    assert np.array_equal(found, module(pictures, Call(dropout_key=jax.random.key(1))))
    assert not np.array_equal(found, module(pictures, Call(dropout_key=jax.random.key(2))))
    assert len({row.tobytes() for row in found}) == 50  # each picture draws for itself


def test_two_dropout_layers_draw_differently() -> None:
    a = parse("o0.5 F o0.5", (20, 20, 1), 400)
    module = network(a, {}, {})
    found = module(jnp.ones((50, 20, 20, 1)), Call(dropout_key=jax.random.key(1)))
    assert set(np.unique(found)) == {0, 4}
    assert abs(float((found == 0).mean()) - 0.75) < 0.016  # half of it, were both the same


def test_shapes_are_taken_without_compiling_or_allocating() -> None:
    before = len(compilations)
    _, params, statistics = abstract(parse("F d99b d10", (1000, 1000, 1), 10))
    leaves = jax.tree.leaves((params, statistics))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    assert sum(leaf.size for leaf in leaves) > 99e6
    assert len(compilations) == before
    jax.jit(lambda x: x * 3.25 + 17)(np.ones(3, np.float32))
    assert len(compilations) > before  # so the listener hears


def test_weights_are_drawn_without_compiling() -> None:
    a = parse("c8br w+b (c8b) A d10+", (8, 8, 1), 10)
    before = len(compilations)
    leaves = jax.tree.leaves(draw_weights(a, 3))
    assert all(type(leaf) is np.ndarray for leaf in leaves)
    assert all(leaf.dtype == np.float32 for leaf in leaves)
    assert len(compilations) == before


@settings(max_examples=60, derandomize=True)
@given(architectures())
def test_drawn_weights_have_the_shapes_of_the_module(a: Architecture) -> None:
    _, *shapes = abstract(a)
    drawn = draw_weights(a, 0)
    wanted = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tuple(shapes))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), drawn) == wanted


def test_drawn_weights_are_seeded() -> None:
    a = parse("c8br w+b A d10+", (8, 8, 1), 10)
    first, again, other = (jax.tree.leaves(draw_weights(a, seed)) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not any(map(np.array_equal, kernels(first), kernels(other)))


def kernels(leaves: list[np.ndarray]) -> list[np.ndarray]:
    return [leaf for leaf in leaves if leaf.ndim > 1]


def test_kernels_start_with_the_variance_of_he_and_the_rest_at_the_identity() -> None:
    a = parse("c64k5+b c400 wk5 A d500b d2", (28, 28, 3), 2)
    params, statistics = draw_weights(a, 7)
    fan_in = {"conv1": 75, "conv2": 576, "depthwise1": 25, "dense1": 400}
    for name, inputs in fan_in.items():
        kernel = params[name]["kernel"]
        assert abs(kernel.var() * inputs / 2 - 1) < 6 * (2 / kernel.size) ** 0.5
        assert abs(kernel.mean()) < 6 * (2 / inputs / kernel.size) ** 0.5
    assert not params["conv1"]["bias"].any()
    for number in (1, 2):
        norm = params[f"batch_norm{number}"] | statistics[f"batch_norm{number}"]
        assert {key: set(values.tolist()) for key, values in norm.items()} == {
            "scale": {1},
            "bias": {0},
            "mean": {0},
            "var": {1},
        }


@pytest.mark.parametrize(
    ("text", "started"),
    [("c8+r c10k1+r A", 1), ("F d10+r", 1), ("c8+r A d10+", 0), ("c8+r c10k1b A", 0)],
)
def test_no_class_that_a_relu_cuts_is_dead_at_first(text: str, started: int) -> None:
    params, _ = draw_weights(parse(text, (8, 8, 1), 10), 0)
    biases = [tree["bias"] for tree in params.values() if "kernel" in tree and "bias" in tree]
    assert np.unique(biases[-1]).tolist() == [started]
    assert all(not bias.any() for bias in biases[:-1])
