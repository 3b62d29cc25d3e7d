"""Convolution as an array function, fast inside a compiled loop, and statistics by channel.

Pictures are batch-last, `chwn`: channels, height, width, batch. On a CPU, XLA runs convolutions,
and above all their gradients, 5 to 15 times slower than matrix products, so a convolution here is a
product with copies of its input. With few channels a product wants long contiguous rows; that is
why the batch comes last. Kernels are `hwio` as in Flax: height, width, input and output channels.

Large maps go row by row (`row_kernels`) or channel by channel (`channel_kernels`), small ones
whole. Gradients are reverse mode only. They keep the input, not the copies, and gather these again;
within one program XLA merges the two gathers.
"""

from functools import partial
from operator import add

import jax
import jax.numpy as jnp
from jax import lax

from pennyweight.arch import channel_kernels, native_convolution, row_kernels
from pennyweight.arch.maps import Maps
from pennyweight.arch.native_bernoulli import bernoulli
from pennyweight.arch.native_calls import in_c
from pennyweight.arch.native_library import MOST_TAPS
from pennyweight.arch.pending import Affine, Statistics, each
from pennyweight.arch.portions import portioned_as, together
from pennyweight.arch.products import (
    gathers_every_tap,
    product,
    product_over_pixels,
    row_matrix,
)
from pennyweight.arch.sweep import COLUMNS, ROWS, Padding, Sweep, total

# From so many values in the maps of a batch on, a CPU trains faster piece by piece. Small maps stay
# in its cache anyhow, and loops take longer to compile.
PIECEWISE_FROM = 75_000

_MOST_REACH = 1_024  # in C, from a kernel's first tap to its last: rows that long are laid out

Kept = tuple[jax.Array, jax.Array]  # what a convolution keeps for its gradient: input and kernel


def conv(
    maps: Maps,
    kernel_hwio: jax.Array,
    *,
    stride: int,
    padding: Padding,
    dilation: int,
    depthwise: bool,
    measured: bool = True,
) -> Maps:
    """What `lax.conv_general_dilated` makes of the settled `maps`.

    A depthwise kernel is (height, width, 1, c). If `measured`, the result has the statistics of its
    values where they can be taken in passing; otherwise they may be missing.

    Raises ValueError where the channels disagree or a VALID window does not fit.
    """
    x = maps.values
    c, (kh, kw, *channels) = len(x), kernel_hwio.shape
    if channels != ([1, c] if depthwise else [c, channels[-1]]):
        wanted = f"(height, width, 1, {c})" if depthwise else f"(height, width, {c}, outputs)"
        raise ValueError(
            f"the kernel for {c} channels must be of shape {wanted}, but got {kernel_hwio.shape}."
        )
    sweep = partial(Sweep.over, x, stride=stride, padding=padding, dilation=dilation)
    rows, columns = sweep(ROWS, taps=kh), sweep(COLUMNS, taps=kw)
    if _fits(maps, kernel_hwio, rows, columns):
        return native_convolution.conv(
            maps, kernel_hwio, rows, columns, depthwise=depthwise, measured=measured
        )
    maps = maps.together()
    if jax.default_backend() == "cpu" and x.size >= PIECEWISE_FROM:
        piecewise = channel_kernels.conv if depthwise else row_kernels.conv
        return piecewise(maps, kernel_hwio, rows, columns)
    whole = _depthwise if depthwise else _dense
    return Maps(whole(rows, columns, maps.settled(), kernel_hwio))


def _fits(maps: Maps, kernel: jax.Array, *sweeps: Sweep) -> bool:
    """Whether there is a convolution in C that computes this, and in little memory."""
    rounded = jax.config.jax_default_matmul_precision == "bfloat16"  # type: ignore[attr-defined]
    small = all(sweep.taps <= MOST_TAPS and sweep.reach <= _MOST_REACH for sweep in sweeps)
    alike = kernel.dtype == maps.values.dtype
    return in_c(kernel) and small and alike and not rounded


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _dense(rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if gathers_every_tap(rows, kernel):
        return product(kernel.reshape(-1, kernel.shape[3]), _patches(rows, columns, x), 0, 0)
    # Gather the taps along the height only; those along the width become a sum of shifted outputs.
    y = product(row_matrix(kernel), jnp.concatenate(rows.takes(x)), 1, 0)
    y = y.reshape(columns.taps, -1, *y.shape[1:])
    return total(columns.take(y[tap], tap) for tap in range(columns.taps))


def _dense_forward(
    rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, Kept]:
    return _dense(rows, columns, x, kernel), (x, kernel)


def _dense_backward(
    rows: Sweep, columns: Sweep, kept: Kept, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    kh, kw, c, o = kernel.shape
    # The row form transposed: gather along the width, sum along the height.
    g_taps = jnp.concatenate(columns.transpose().takes(g)[::-1])
    if gathers_every_tap(rows, kernel):
        dkernel = product_over_pixels(_patches(rows, columns, x), g).reshape(kernel.shape)
    else:
        dkernel = product_over_pixels(g_taps, jnp.concatenate(rows.takes(x)))
        dkernel = dkernel.reshape(kw, o, kh, c).transpose(2, 0, 3, 1)
    dx = product(row_matrix(kernel), g_taps, 0, 0)
    dx = dx.reshape(kh, c, *dx.shape[1:])
    back = rows.transpose()
    return total(back.take(dx[kh - 1 - tap], tap) for tap in range(kh)), dkernel


_dense.defvjp(_dense_forward, _dense_backward)


def _patches(rows: Sweep, columns: Sweep, x: jax.Array) -> jax.Array:
    """What all taps read, (kh * kw * c, h, w, n) in the order of a kernel."""
    return jnp.concatenate(rows.takes(jnp.concatenate(columns.takes(x))))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _depthwise(rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _weigh(kernel, _windows(rows, columns, x))


def _depthwise_forward(
    rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, Kept]:
    return _depthwise(rows, columns, x, kernel), (x, kernel)


def _depthwise_backward(
    rows: Sweep, columns: Sweep, kept: Kept, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    dx = _weigh(kernel, _windows(rows.transpose(), columns.transpose(), g)[::-1])
    # One reduction for all taps is three times as fast as one each. It adds one by one, so the sums
    # are kept short, those of a row first: the float32 error is a fifth.
    products = [window * g for window in _windows(rows, columns, x)]
    zeros = [jnp.zeros((), x.dtype)] * len(products)
    sums = lax.reduce(products, zeros, lambda a, b: [*map(add, a, b)], (2, 3))
    return dx, jnp.stack(sums).sum(2).reshape(kernel.shape)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _windows(rows: Sweep, columns: Sweep, x: jax.Array) -> list[jax.Array]:
    """What each of the kh * kw taps reads.

    All are slices of one padded copy: each is used by itself, where `takes` is four times slower.
    """
    return [tap for row in rows.slices(columns.pad(rows.pad(x))) for tap in columns.slices(row)]


def _weigh(kernel: jax.Array, windows: list[jax.Array]) -> jax.Array:
    weights = kernel.reshape(len(windows), -1)
    return total(window * each(weight, 4) for window, weight in zip(windows, weights, strict=True))


def dropout(x: jax.Array, key: jax.Array, kept: float) -> jax.Array:
    """Of x a share `kept` of values, by a threefry key, divided by that share; the rest is 0."""
    data, own = jax.random.key_data(key), x.dtype == jnp.result_type(float)
    threefry = data.shape == (2,) and jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    if in_c(x) and own and threefry:
        stays = bernoulli(data, kept, x.shape, x.dtype)
    else:
        whole = jax.eval_shape(together, x)
        stays = portioned_as(jax.random.bernoulli(key, kept, whole.shape), x)
    return jnp.where(stays, x / kept, 0)


def moved(x_chwn: jax.Array, down: int, right: int) -> jax.Array:
    """Maps moved by so many pixels, whose edges repeat."""
    _, h, w, _ = x_chwn.shape
    pads = [(0, 0), (max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)), (0, 0)]
    wide = jnp.pad(x_chwn, pads, mode="edge")
    top, left = max(-down, 0), max(-right, 0)
    return wide[:, top : top + h, left : left + w]


@jax.custom_vjp
def statistics(x: jax.Array) -> Statistics:
    """Mean and biased variance of each channel of x (c, ...)."""
    axes = tuple(range(1, x.ndim))
    mean = x.mean(axes)
    # The mean of squares less the squared mean cancels where the mean is large, and is no faster.
    return Statistics(mean, jnp.square(x - each(mean, x.ndim)).mean(axes))


def _statistics_forward(x: jax.Array) -> tuple[Statistics, tuple[jax.Array, jax.Array]]:
    found = statistics(x)
    return found, (x, found.mean)


def _statistics_backward(
    kept: tuple[jax.Array, jax.Array], gradients: Statistics
) -> tuple[jax.Array]:
    x, mean = kept
    pixels = x[0].size
    return (Affine(mean, 2 * gradients.var / pixels, gradients.mean / pixels)(x),)


statistics.defvjp(_statistics_forward, _statistics_backward)
