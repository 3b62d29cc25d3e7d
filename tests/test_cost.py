"""Each closed form against another count: of arrays, of traced operations, of buffers."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.extend.core import jaxprs_in_params
from reference import bind, evaluate, folded, random_arrays, random_pictures, size
from strategies import SMALL_SHAPES, architectures, windows

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.convolution import Conv, Depthwise
from pennyweight.arch.cost import Cost, cost, layer_table, trainable
from pennyweight.arch.dense import Dense
from pennyweight.arch.errors import UsageError
from pennyweight.arch.layers import KINDS, Layer, Shape
from pennyweight.arch.limits import MOST_WEIGHTS
from pennyweight.arch.network import abstract
from pennyweight.arch.notation import parse
from pennyweight.arch.pools import AveragePool, GlobalAverage, MaxPool
from pennyweight.arch.repeat import Repeat
from pennyweight.arch.residual import Residual
from pennyweight.arch.views import Views

EVERY_KIND = "c3+b w+br m2o0.1 (c3b a1s1 wr)r {{c4r a2s1}}r 2[2[wb]p]l u {} b r d5"


@settings(max_examples=200, derandomize=True)
@given(architectures())
def test_params_are_the_sizes_of_the_leaves_of_the_flax_module(a: Architecture) -> None:
    _, params, _ = abstract(a)
    assert cost(a).params == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@settings(max_examples=200, derandomize=True)
@given(architectures())
def test_the_decoders_count_is_the_same(a: Architecture) -> None:
    assert trainable(a.layers, a.input_shape) == cost(a).params


@pytest.mark.parametrize("head", "AMF")
def test_every_kind_of_layer_is_counted_as_its_leaves(head: str) -> None:
    a = parse(EVERY_KIND.format(head), (8, 8, 2), 5)
    _, params, _ = abstract(a)
    seen = set()
    for placed, row in zip(a.flat(), layer_table(a), strict=True):
        leaves = jax.tree.leaves(params.get(placed.name, {}))
        assert row["params"] == sum(math.prod(leaf.shape) for leaf in leaves)
        seen.add(placed.layer.kind)
    assert seen | {"global_average", "global_max", "flatten"} == set(KINDS)


@settings(max_examples=60, derandomize=True)
@given(architectures(SMALL_SHAPES))
def test_macs_are_those_of_the_traced_operations(a: Architecture) -> None:
    nodes = bind(a.layers, *random_arrays(a, 0))
    pictures = jax.ShapeDtypeStruct((1, *a.input_shape), jnp.float32)
    trace = jax.make_jaxpr(lambda x: evaluate(nodes, x))(pictures)
    assert cost(a).macs == sum(traced_macs(trace.jaxpr))


def traced_macs(jaxpr: Any) -> Iterator[int]:
    """The multiply-accumulates of every convolution and product in a trace."""
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            yield from traced_macs(inner)
        out = math.prod(equation.outvars[0].aval.shape)
        if equation.primitive.name == "conv_general_dilated":
            yield out * math.prod(equation.invars[1].aval.shape[:3])
        if equation.primitive.name == "dot_general":
            yield out * equation.invars[0].aval.shape[-1]


@settings(max_examples=200, derandomize=True)
@given(architectures())
def test_peak_activation_bytes_are_those_of_a_simulated_run(a: Architecture) -> None:
    memory = Memory()
    memory.run(a.layers, a.input_shape, kept=False, held=memory.allocate(a.input_shape))
    assert cost(a).peak_activation_bytes == memory.peak
    assert memory.used == 4 * a.classes


@pytest.mark.parametrize(
    ("text", "buffers"),
    [
        ("((r)r) F", 2),
        ("((r) c1) F", 3),
        ("r F", 1),
        ("(r) F", 2),
        ("c1r F", 2),
        ("(c1 c1) F", 3),
        ("(r(r)) F", 3),
    ],
)
def test_peaks_worked_out_by_hand(text: str, buffers: int) -> None:
    assert cost(parse(text, (8, 8, 1), 64)).peak_activation_bytes == buffers * 64 * 4


IN_PLACE = ("batch_norm", "relu", "leaky_relu", "prelu", "silu", "dropout", "flatten")


class Memory:
    """Float32 buffers that layers take and give back, and the most that were in use at once."""

    def __init__(self) -> None:
        self.used = self.peak = 0

    def allocate(self, shape: Shape) -> int:
        self.used += 4 * math.prod(shape)
        self.peak = max(self.peak, self.used)
        return 4 * math.prod(shape)

    def run(self, layers: tuple[Layer, ...], shape: Shape, *, kept: bool, held: int) -> int:
        """Runs layers on a buffer of `held` bytes, which is someone else's where `kept`."""
        for layer in layers:
            after = layer.output_shape(shape)
            if isinstance(layer, Residual):
                held = self._run_residual(layer, shape, kept=kept, held=held)
            elif isinstance(layer, Views):
                held = self._run_views(layer, shape, kept=kept, held=held)
            elif isinstance(layer, Repeat):
                held = self.run(layer.body * layer.times, shape, kept=kept, held=held)
            elif kept or layer.kind not in IN_PLACE:
                output = self.allocate(after)
                self.used -= 0 if kept else held
                held = output
            kept, shape = False, after
        return held

    def _run_views(self, layer: Views, shape: Shape, *, kept: bool, held: int) -> int:
        output = self.run(layer.body, shape, kept=True, held=held)
        for _ in range(4):
            added = self.run(layer.body, shape, kept=False, held=self.allocate(shape))
            self.used -= added
        self.used -= 0 if kept else held
        return output

    def _run_residual(self, layer: Residual, shape: Shape, *, kept: bool, held: int) -> int:
        output = self.run(layer.body, shape, kept=True, held=held)  # the sum is written over it
        self.used -= 0 if kept else held
        return output


@settings(max_examples=20, derandomize=True)
@given(windows((60, 60, 1), 3))
def test_the_receptive_field_is_the_footprint_of_a_gradient(layers: tuple[Layer, ...]) -> None:
    a = Architecture((60, 60, 1), 2, (*layers, GlobalAverage(), Dense(width=2)))
    field = cost(a).receptive_field
    line = jnp.ones(4 * field + 100)

    def middle(line: jax.Array) -> jax.Array:
        for layer in layers:
            line = ones_along(layer, line)
        return line[len(line) // 2]

    (touched,) = np.nonzero(np.asarray(jax.jit(jax.grad(middle))(line)))
    assert field == touched[-1] - touched[0] + 1


def ones_along(layer: Layer, line: jax.Array) -> jax.Array:
    """A layer whose weights are all one, along one axis and for one channel."""
    match layer:
        case Conv() | Depthwise():
            taps, stride, dilation = layer.kernel, layer.stride, layer.dilation
            padding = "VALID" if layer.valid else "SAME"
        case MaxPool() | AveragePool():
            taps, stride, dilation = layer.extent, layer.stride or layer.extent, 1
            padding = "VALID"
        case _:
            return line
    window = jnp.ones((1, 1, taps))
    return lax.conv_general_dilated(
        line[None, None], window, (stride,), padding, rhs_dilation=(dilation,)
    )[0, 0]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("A d2", 1),
        ("c1k5 A d2", 5),
        ("c1 m2 c1 A d2", 8),
        ("c8 (c8 c8)r m2 c8 A d2", 12),
        ("c1x3 A d2", 7),
        ("c1s2 c1s2 c1 A d2", 15),
    ],
)
def test_receptive_fields_worked_out_by_hand(text: str, field: int) -> None:
    assert cost(parse(text, (28, 28, 1), 2)).receptive_field == field


@settings(max_examples=60, derandomize=True)
@given(architectures(SMALL_SHAPES))
def test_deployed_params_are_those_of_a_folded_network(a: Architecture) -> None:
    deployed = folded(bind(a.layers, *random_arrays(a, 1)))
    assert cost(a).deployed_params == size(deployed)
    assert cost(a).weight_bytes == 4 * size(deployed)


@pytest.mark.parametrize(
    ("text", "deployed"),
    [
        ("c4br A d2", 9 * 4 + 4 + 8),
        ("c4+br A d2", 9 * 4 + 4 + 8),
        ("c4o0.1br A d2", 9 * 4 + 4 + 8),
        ("c4rb A d2", 9 * 4 + 2 * 4 + 8),
        ("c4bb A d2", 9 * 4 + 4 + 8),
        ("bb c4 A d2", 2 + 9 * 4 + 8),
        ("b c4 A d2b", 2 + 9 * 4 + 8 + 2),
        ("c4 (br) A d2", 9 * 4 + 2 * 4 + 8),
        ("w+b wb A d2", 10 + 10 + 2),
    ],
)
def test_a_folded_network_computes_the_same(text: str, deployed: int) -> None:
    a = parse(text, (6, 6, 1), 2)
    nodes = bind(a.layers, *random_arrays(a, 2))
    pictures = random_pictures(a, 3, 4)
    assert cost(a).deployed_params == size(folded(nodes)) == deployed
    np.testing.assert_allclose(
        evaluate(folded(nodes), pictures), evaluate(nodes, pictures), rtol=1e-4, atol=1e-5
    )


@settings(max_examples=60, derandomize=True)
@given(architectures())
def test_the_layer_table_adds_up(a: Architecture) -> None:
    rows: list[dict[str, Any]] = layer_table(a)
    whole = cost(a)
    assert sum(row["params"] for row in rows) == whole.params
    assert sum(row["macs"] for row in rows) == whole.macs
    assert rows[-1]["receptive_field"] == whole.receptive_field
    assert rows[-1]["output_shape"] == [a.classes]


def test_a_budget_is_inclusive() -> None:
    whole = cost(parse("c8br m2 A d10+", (28, 28, 1), 10))
    exact = {
        "max_params": whole.params,
        "max_macs": whole.macs,
        "max_activation_bytes": whole.peak_activation_bytes,
    }
    assert Budget(**exact).fits(whole)
    for name, value in exact.items():
        tight = dataclasses.replace(Budget(**exact), **{name: value - 1})
        assert not tight.fits(whole)
        assert list(tight.excesses(whole)) == [(f"--{name.replace('_', '-')}", value - 1, value)]


@settings(max_examples=30, derandomize=True)
@given(st.sampled_from([f.name for f in dataclasses.fields(Budget)]), st.integers(max_value=0))
def test_a_limit_below_one_is_refused_by_the_name_of_its_flag(name: str, limit: int) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be at least 1"):
        Budget(**{name: limit})


def test_a_limit_is_no_larger_than_what_an_architecture_may_hold() -> None:
    Budget(max_params=MOST_WEIGHTS)
    with pytest.raises(UsageError, match="--max-params must be at most 100,000,000, but got"):
        Budget(max_params=MOST_WEIGHTS + 1)


def test_costs_are_whole_numbers_ready_for_json() -> None:
    numbers = cost(parse("c8br m2 A d10+", (28, 28, 1), 10)).to_json()
    assert set(numbers) == {field.name for field in dataclasses.fields(Cost)}
    assert all(type(number) is int for number in numbers.values())
