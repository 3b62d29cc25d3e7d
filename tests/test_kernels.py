"""Convolution and batch normalisation against XLA's own operations, in float64."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import (
    ACTIVATIONS,
    assert_each_alone,
    assert_exact,
    assert_same,
    draw,
    pending_of,
    quickly,
    textbook,
    value_and_gradients,
)
from convolutions import FORMS, taking
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from pennyweight.arch import kernels, native_pool, pool_kernels
from pennyweight.arch.kernels import statistics
from pennyweight.arch.maps import Maps
from pennyweight.arch.pending import Affine, Pending, Statistics
from pennyweight.arch.portions import portioned, together
from pennyweight.arch.sweep import Padding

# Input and output channels. One input channel is the case in which all taps are gathered.
CHANNELS = {
    "dense": (4, 3),
    "one channel": (1, 8),
    "one to one": (1, 1),
    "depthwise": (3, 3),
}
PLAIN = {"stride": 1, "padding": "SAME", "dilation": 1}

pytestmark = pytest.mark.usefixtures("strict_dtypes")


def conv(x: jax.Array, kernel: jax.Array, **options: Any) -> jax.Array:
    """Ours, of maps with nothing pending, in portions where they can be."""
    return kernels.conv(Maps(portioned(x)), kernel, **options).together().values


def xla_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int,
    padding: Padding,
    dilation: int,
    depthwise: bool,
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("CHWN", "HWIO", "CHWN"),
        feature_group_count=len(x) if depthwise else 1,
    )


def operands(
    kind: str, sides: tuple[int, int], picture: tuple[int, int], batch: int = 3
) -> tuple[jax.Array, jax.Array]:
    """Pictures and a kernel."""
    c, o = CHANNELS[kind]
    return draw(c, *picture, batch), draw(*sides, 1 if kind == "depthwise" else c, o)


def assert_same_conv(
    kind: str, sides: tuple[int, int], picture: tuple[int, int], batch: int = 3, **geometry: Any
) -> None:
    options = {**PLAIN, **geometry, "depthwise": kind == "depthwise"}
    arrays = operands(kind, sides, picture, batch)
    assert_same(partial(conv, **options), partial(xla_conv, **options), *arrays)


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", [1, 2, 3, 5, 7])
def test_a_convolution_and_its_gradients_are_those_of_xla(
    side: int, stride: int, padding: str, kind: str
) -> None:
    assert_same_conv(kind, (side, side), (10, 9), stride=stride, padding=padding)


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("side", "dilation"), [(2, 3), (3, 2)])
def test_a_dilated_convolution_and_its_gradients_are_those_of_xla(
    side: int, dilation: int, stride: int, padding: str, kind: str
) -> None:
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    assert_same_conv(kind, (side, side), (10, 9), **geometry)


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("picture", [(1, 1), (4, 3)])
def test_a_padded_kernel_may_be_larger_than_its_input(
    picture: tuple[int, int], stride: int, kind: str
) -> None:
    assert_same_conv(kind, (5, 5), picture, stride=stride)


@settings(max_examples=30)
@given(
    kind=st.sampled_from(sorted(CHANNELS)),
    sides=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["SAME", "VALID"]),
    spare=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    batch=st.one_of(st.integers(1, 5), st.integers(15, 18), st.integers(63, 65), st.just(96)),
    form=st.sampled_from(FORMS),
)
def test_any_convolution_is_that_of_xla(
    kind: str,
    sides: tuple[int, int],
    stride: int,
    dilation: int,
    padding: str,
    spare: tuple[int, int],
    batch: int,
    form: str,
) -> None:
    """Kernels that are not square, pictures of a single pixel, odd and even."""
    least = [(side - 1) * dilation if padding == "VALID" else 0 for side in sides]
    picture = least[0] + 1 + spare[0], least[1] + 1 + spare[1]
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    with jax.enable_x64(True), taking(form):
        assert_same_conv(kind, sides, picture, batch, **geometry)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("side", "stride", "dilation"), [(3, 1, 1), (1, 1, 1), (5, 2, 1), (3, 1, 2), (3, 3, 2)]
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_convolution_does_what_is_pending_and_takes_statistics(
    activation: str | None,
    side: int,
    stride: int,
    dilation: int,
    padding: str,
    kind: str,
    form: str,
) -> None:
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    for batch in (3, 16) if form == "in C" else (3,):  # 16: a full vector of pictures
        assert_does_what_is_pending(
            form, activation, kind, (side, side), (16, 9), batch, **geometry
        )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("batch", [16, 17, 32, 48, 64, 80, 100, 150])
def test_however_many_pictures_share_a_sum_in_c_it_is_that_of_all(batch: int, kind: str) -> None:
    """On maps so large that few pictures are summed in two groups, and more in groups of four."""
    with taking("in C"):
        assert_does_what_is_pending("in C", "slope", kind, (3, 3), (60, 50), batch, whole=True)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch", [32, 96, 128])
def test_maps_in_portions_give_what_whole_ones_do(
    batch: int, activation: str | None, kind: str, form: str
) -> None:
    assert portioned(jnp.zeros((1, 16, 16, batch))).ndim == 5
    assert_does_what_is_pending(form, activation, kind, (3, 3), (16, 16), batch)


def assert_does_what_is_pending(
    form: str,
    activation: str | None,
    kind: str,
    sides: tuple[int, int],
    picture: tuple[int, int],
    batch: int = 3,
    *,
    whole: bool = False,
    **geometry: Any,
) -> None:
    """With gradients of the input, all that is pending and the kernel, by output and statistics."""
    x, kernel = operands(kind, sides, picture, batch)
    c, _ = CHANNELS[kind]
    geometry = {**PLAIN, **geometry, "depthwise": kind == "depthwise"}

    def ours(x: jax.Array, kernel: jax.Array, slope: jax.Array, *affine: jax.Array) -> jax.Array:
        pending = pending_of(activation, slope, *affine)
        maps = Maps(x if whole else portioned(x), pending=pending)
        found = kernels.conv(maps, kernel, **geometry)
        assert (found.statistics is not None) == (form != "whole")
        taken = found.statistics or statistics(found.values)
        return jnp.concatenate([together(found.values).ravel(), taken.mean, taken.var])

    def xlas(x: jax.Array, kernel: jax.Array, slope: jax.Array, *affine: jax.Array) -> jax.Array:
        y = xla_conv(textbook(activation, x, slope, *affine), kernel, **geometry)
        return jnp.concatenate([y.ravel(), y.mean((1, 2, 3)), y.var((1, 2, 3))])

    slope = jnp.asarray(-0.3)  # learned slopes may fall
    assert_same(ours, xlas, x, kernel, slope, draw(c, seed=2), draw(c, seed=3), draw(c, seed=4))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("batch", [3, 16, 96])
@pytest.mark.parametrize("stride", [1, 2])
def test_statistics_that_nobody_wants_are_not_taken(stride: int, batch: int, kind: str) -> None:
    x, kernel = operands(kind, (3, 3), (16, 16), batch)
    options = {**PLAIN, "stride": stride, "depthwise": kind == "depthwise"}

    def ours(x: jax.Array, kernel: jax.Array, slope: jax.Array, *affine: jax.Array) -> jax.Array:
        maps = Maps(portioned(x), pending=pending_of("slope", slope, *affine))
        found = kernels.conv(maps, kernel, **options, measured=False)
        assert found.statistics is None
        return found.together().values

    def xlas(x: jax.Array, kernel: jax.Array, slope: jax.Array, *affine: jax.Array) -> jax.Array:
        return xla_conv(textbook("slope", x, slope, *affine), kernel, **options)

    affine = [draw(len(x), seed=seed) for seed in (2, 3, 4)]
    with taking("in C"):
        assert_same(ours, xlas, x, kernel, jnp.asarray(-0.3), *affine)


@pytest.mark.usefixtures("float64")
def test_maps_for_which_nothing_is_pending_are_measured_in_c_too() -> None:
    def ours(x: jax.Array) -> jax.Array:
        y, taken = native_pool.measured(x, Pending())
        assert taken
        return jnp.concatenate([y.ravel(), *taken])

    def textbooks(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x.ravel(), x.mean((1, 2, 3)), x.var((1, 2, 3))])

    with taking("in C"):
        assert_same(ours, textbooks, draw(4, 9, 8, 16) + 3)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("kind", CHANNELS)
def test_float32_stays_float32_and_is_as_exact_as_it_can_be(kind: str) -> None:
    options = {**PLAIN, "depthwise": kind == "depthwise"}
    arrays = operands(kind, (3, 3), (14, 14), 32)
    found = jax.jit(partial(value_and_gradients, partial(conv, **options)))(*arrays)
    with jax.enable_x64(True):
        doubled = [jnp.asarray(array, np.float64) for array in arrays]
        exact = value_and_gradients(partial(xla_conv, **options), *doubled)
    assert_exact(found, exact, 3e-6)


def layer(kind: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A convolution, batch normalisation, ReLU and pooling, of an input and a kernel."""

    def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = kernels.conv(Maps(x), kernel, **PLAIN, depthwise=kind == "depthwise")
        mean, var = y.statistics or statistics(y.values)
        affine = Affine(mean, lax.rsqrt(var + 1e-5), jnp.ones(len(mean)))
        maps = Maps(y.values, pending=Pending(affine, leak=0.0))
        y = pool_kernels.max_pool(maps, 2, 2).settled()
        return pool_kernels.avg_pool(Maps(y), 3, 1).values + (mean + var)[:, None, None, None]

    return apply


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
def test_a_population_equals_single_runs(kind: str) -> None:
    c, o = CHANNELS[kind]
    x, kernel = draw(3, c, 9, 8, 4), draw(3, 3, 3, 1 if kind == "depthwise" else c, o)
    assert_each_alone(layer(kind), x, kernel)
    shared = quickly(jax.vmap(layer(kind), (None, 0)))(x[0], kernel)
    for i in range(3):
        theirs = quickly(layer(kind))(x[0], kernel[i])
        np.testing.assert_allclose(shared[i], theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
def test_in_a_population_each_has_a_slope_of_its_own(kind: str) -> None:
    c, o = CHANNELS[kind]
    x, kernel = draw(3, c, 9, 8, 4), draw(3, 3, 3, 1 if kind == "depthwise" else c, o)
    slope = draw(3, seed=2)

    def bent(x: jax.Array, kernel: jax.Array, slope: jax.Array) -> jax.Array:
        maps = Maps(x, pending=Pending(slope=slope))
        return kernels.conv(maps, kernel, **PLAIN, depthwise=kind == "depthwise").values

    assert_each_alone(bent, x, kernel, slope)


def descend(kind: str, kernel: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One training step."""
    loss, gradient = jax.value_and_grad(lambda k: jnp.square(layer(kind)(x, k)).mean())(kernel)
    return kernel - 0.1 * gradient, loss


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
def test_training_in_a_scan_equals_training_step_by_step(kind: str) -> None:
    c, o = CHANNELS[kind]
    x, kernel = draw(3, c, 8, 8, 4), draw(3, 3, 1 if kind == "depthwise" else c, o)
    step = partial(descend, kind)
    last, losses = quickly(partial(lax.scan, step))(kernel, x)
    step = quickly(step)
    for batch, loss in zip(x, losses, strict=True):
        kernel, expected = step(kernel, batch)
        np.testing.assert_allclose(loss, expected, rtol=1e-10)
    np.testing.assert_allclose(last, kernel, rtol=1e-9)


def compiled_text(function: Callable[..., Any], *arrays: jax.Array) -> str:
    program = quickly(function).lower(*arrays).compile().as_text()
    assert program is not None
    return program


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
def test_what_is_pending_on_pictures_has_gradients_though_they_have_none(kind: str) -> None:
    """As of a BatchNorm and a PReLU that come first in a network."""
    x, kernel = operands(kind, (3, 3), (6, 5), 17)
    depthwise = kind == "depthwise"

    def loss(pending: Pending, conv: Callable[..., Maps]) -> jax.Array:
        maps = conv(Maps(x, pending=pending), kernel, **PLAIN, depthwise=depthwise)
        return jnp.square(maps.values).sum()

    def settled(maps: Maps, kernel: jax.Array, **geometry: Any) -> Maps:
        return Maps(xla_conv(maps.settled(), kernel, **geometry))

    affine = Affine(*(draw(len(x), seed=seed) for seed in range(3)))
    pending = Pending(affine=affine, slope=jnp.asarray(0.3))
    for mine, wanted in zip(
        *(jax.tree.leaves(jax.grad(loss)(pending, conv)) for conv in (kernels.conv, settled)),
        strict=True,
    ):
        np.testing.assert_allclose(mine, wanted, rtol=1e-9, atol=1e-9)
        assert np.abs(wanted).max() > 0


@pytest.mark.parametrize("kind", ["dense", "one channel"])
def test_a_step_that_does_not_need_the_gradient_of_its_input_does_not_compute_it(
    kind: str, form: str
) -> None:
    c, o = CHANNELS[kind]
    x, kernel = draw(2, c, 8, 8, 4), draw(3, 3, c, o)

    def loss(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.square(conv(x, kernel, **PLAIN, depthwise=False)).sum()

    for work, needed in [
        ((jax.grad(loss, (0, 1)), kernel, x[0]), True),
        ((jax.grad(loss), kernel, x[0]), False),
        ((partial(lax.scan, partial(descend, kind)), kernel, x), False),
    ]:
        text = compiled_text(*work)
        if form == "in C":  # it is the first result of the call for gradients
            (call,) = re.findall(r"= \((\S+), .*custom_call_target=\"\w*conv_gradient", text)
            assert call.startswith(f"f32[{c},8,8,4]" if needed else "f32[1]")
        else:
            assert text.count(" dot(") == (3 if needed else 2)


@pytest.mark.usefixtures("float64", "form")
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("activation", ["relu", "leak", "slope"])
def test_the_gradient_at_zero_is_that_of_the_activation(
    activation: str, shifted: bool, kind: str
) -> None:
    """In any form, with a map before it or without; and a sum of nothing but zeros is common."""
    c, _ = CHANNELS[kind]
    x = jnp.asarray(np.random.default_rng(0).integers(-1, 2, (c, 6, 6, 2)), dtype=float)
    affine = Affine(jnp.zeros(c), jnp.ones(c), jnp.zeros(c)) if shifted else None
    _, kernel = operands(kind, (3, 3), (6, 6))
    options: dict[str, Any] = {**PLAIN, "depthwise": kind == "depthwise"}

    def ours(x: jax.Array, kernel: jax.Array, slope: jax.Array) -> jax.Array:
        pending = replace(ACTIVATIONS[activation](slope), affine=affine)
        return kernels.conv(Maps(x, pending=pending), kernel, **options).values

    def xlas(x: jax.Array, kernel: jax.Array, slope: jax.Array) -> jax.Array:
        return xla_conv(textbook(activation, x, slope), kernel, **options)

    assert_same(ours, xlas, x, kernel, jnp.asarray(-0.3))


def normalised(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, Statistics]:
    """Batch normalisation, ours."""
    taken = statistics(x)
    affine = Affine(taken.mean, scale * lax.rsqrt(taken.var + 1e-3), bias)
    return Maps(x, pending=Pending(affine)).settled(), taken


def textbook_batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, Statistics]:
    mean = x.mean((1, 2, 3), keepdims=True)
    var = ((x - mean) ** 2).mean((1, 2, 3), keepdims=True)
    y = (x - mean) / jnp.sqrt(var + 1e-3)
    each = (slice(None), None, None, None)
    return y * scale[each] + bias[each], Statistics(mean[:, 0, 0, 0], var[:, 0, 0, 0])


@pytest.mark.usefixtures("float64")
def test_batch_norm_and_its_gradients_through_all_three_results_are_the_textbooks() -> None:
    def joined(results: tuple[jax.Array, Statistics]) -> jax.Array:
        return jnp.concatenate([result.ravel() for result in jax.tree.leaves(results)])

    assert_same(
        lambda x, scale, bias: joined(normalised(x, scale, bias)),
        lambda x, scale, bias: joined(textbook_batch_norm(x, scale, bias)),
        draw(4, 5, 3, 6) * 3 + 2,
        draw(4, seed=2),
        draw(4, seed=3),
    )


@pytest.mark.parametrize("kind", ["taken by themselves", "settled", "dense", "depthwise"])
@pytest.mark.parametrize("mean", [0, 1e2, 1e4])
def test_the_variance_survives_a_mean_that_dwarfs_it(mean: float, kind: str) -> None:
    x = draw(2, 28, 28, 128) + np.float32(mean)

    def taken(x: jax.Array) -> tuple[jax.Array, Statistics]:
        if kind == "taken by themselves":
            found = statistics(x)
        elif kind == "settled":
            maps = Maps(x, pending=Pending(leak=1.0)).measured()
            assert maps.statistics
            found = maps.statistics
        else:
            kernel = jnp.eye(2)[None, None] if kind == "dense" else jnp.ones((1, 1, 1, 2))
            maps = kernels.conv(Maps(x), kernel, **PLAIN, depthwise=kind == "depthwise")
            assert maps.statistics
            found = maps.statistics
        return Affine(found.mean, lax.rsqrt(found.var), jnp.zeros(2))(x), found

    with taking("in C" if kind == "settled" else "piecewise"):
        y, (_, var) = jax.jit(taken)(x)
    exact = np.asarray(x, np.float64).var((1, 2, 3))
    np.testing.assert_allclose(var, exact, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(y, np.float64).std((1, 2, 3)), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("kernel_shape", "change", "words"),
    [
        (
            (3, 3, 4, 2),
            {},
            r"kernel for 3 channels .*\(height, width, 3, outputs\).*\(3, 3, 4, 2\)",
        ),
        ((3, 3, 3, 3), {"depthwise": True}, r"\(height, width, 1, 3\).*\(3, 3, 3, 3\)"),
        ((3, 3, 3, 2), {"stride": 0}, "at least 1, but got .*stride=0"),
        ((3, 3, 3, 2), {"dilation": 3, "padding": "VALID"}, "spans 7 of 6 positions"),
    ],
)
def test_a_convolution_that_cannot_be_says_why(
    kernel_shape: tuple[int, ...], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        conv(draw(3, 6, 6, 1), draw(*kernel_shape), **{**PLAIN, "depthwise": False, **change})


@pytest.mark.parametrize("batch", [131, 96])
@pytest.mark.parametrize("bits", [32, 64])
def test_dropout_in_c_drops_the_same_values(bits: int, batch: int) -> None:
    with jax.enable_x64(bits == 64):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 9, batch)))

        def dropped(x: jax.Array, key: jax.Array) -> jax.Array:
            return together(kernels.dropout(portioned(x) if form == "in C" else x, key, 0.7))

        def both(x: jax.Array) -> tuple[jax.Array, ...]:
            alone, back = jax.vjp(lambda x: dropped(x, jax.random.key(3)), x)
            population = jax.vmap(dropped, (None, 0))(x, jax.random.split(jax.random.key(4), 3))
            return alone, *back(2 * x), population

        results = []
        for form in ("whole", "in C"):
            with taking(form):
                results.append(quickly(lambda x: both(x))(x))
        assert x.dtype == f"float{bits}"
        assert 0.25 < np.mean(results[1][0] == 0) < 0.35
        for expected, found in zip(*results, strict=True):
            np.testing.assert_array_equal(found, expected, strict=True)


def test_dropout_by_another_generator_keeps_portions() -> None:
    """Of maps that became small on their way, and so would not be cut as they are."""
    with taking("in C"):
        x = portioned(jnp.ones((3, 16, 16, 32)))[:, :, :8, :8]
        key = jax.random.key(3, impl="rbg")
        found = kernels.dropout(x, key, 0.7)
        assert found.shape == x.shape == (3, 2, 8, 8, 16)
        expected = kernels.dropout(together(x), key, 0.7)
        np.testing.assert_array_equal(together(found), expected)
