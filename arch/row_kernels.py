"""A convolution over all channels with what stands around it, one row of pictures at a time.

Between two convolutions of a network lie arithmetic on every value (normalisation, activation) and
sums over all values (the statistics of the next normalisation). Done on whole pictures, each of
them reads and writes the memory. Done on the rows that the matrix product needs next, or has just
given, they find these in the processor's cache.

Pictures are `chwn` as in `kernels`; a row is (c, w, n), and the columns of a `Kind` sweep its axis
1. Optimisation barriers stand where a fused loop would compute a value once for every tap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax

from pennyweight.arch.maps import Maps
from pennyweight.arch.pending import Pending, Statistics
from pennyweight.arch.piecewise import (
    Kept,
    Kind,
    Result,
    forward,
    gradient_of_output,
    gradients_of_input,
)
from pennyweight.arch.products import (
    gathers_every_tap,
    product,
    product_over_pixels,
    row_matrix,
)
from pennyweight.arch.sweep import Sweep, total

Read = Callable[[jax.Array], jax.Array]  # a row by its number
Gradients = tuple[jax.Array, jax.Array, jax.Array]  # of input and kernel, and `Pending.sums`


def conv(maps: Maps, kernel_hwio: jax.Array, rows: Sweep, columns: Sweep) -> Maps:
    """The convolution of what is in `maps`, with its statistics."""
    kind = Kind(rows, replace(columns, axis=1))
    return Maps(*cast(Result, _conv(kind, maps.values, maps.pending, kernel_hwio)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(kind: Kind, x: jax.Array, pending: Pending, kernel: jax.Array) -> Result:
    o, size = kernel.shape[3], x.shape[1]
    read, row_of = _reader(x, pending), _product(kind.columns, kernel)
    shape = (o, kind.rows.outputs(size), kind.columns.outputs(x.shape[2]), x.shape[3])

    def step(i: jax.Array, so_far: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        y, moments = so_far
        taps = jnp.concatenate(_taps(kind.rows, read, size, i))
        row = lax.optimization_barrier(row_of(taps))
        return _put(y, row, i), _pooled(moments, i, row)

    start = jnp.zeros(shape, x.dtype), jnp.zeros((2, o), x.dtype)
    y, moments = lax.fori_loop(0, shape[1], step, start)
    return y, Statistics(*moments)


def _backward(kind: Kind, kept: Kept, gradients: Result) -> tuple[jax.Array, Pending, jax.Array]:
    x, pending, kernel, result = kept
    y, back = result[0], kind.transpose()
    g, of_y = gradient_of_output(gradients, result)
    by_patches = gathers_every_tap(kind.columns, kernel)
    product_back = _product_back(back.columns, kernel)

    def read(i: jax.Array) -> jax.Array:
        """A row of the gradient of y, that through its statistics included."""
        return _at(g, i) if of_y is None else _at(g, i) + of_y(_at(y, i))

    def step(i: jax.Array, so_far: Gradients) -> Gradients:
        dx, dkernel, sums = so_far
        taps = jnp.concatenate(_taps(back.rows, read, y.shape[1], i)[::-1])
        raw = _at(x, i)
        z = pending.before(raw)
        if not by_patches:
            read_by_taps = _gathered(kind.columns, pending.activated(z))
            dkernel = dkernel + product_over_pixels(taps, read_by_taps)
        row, more = gradients_of_input(pending, raw, z, product_back(taps))
        return _put(dx, row, i), dkernel, sums + more

    kh, kw, c, o = kernel.shape
    start = jnp.zeros_like(x), jnp.zeros((kh * o, kw * c), x.dtype), pending.no_sums(x)
    dx, dkernel, sums = lax.fori_loop(0, x.shape[1], step, start)
    dkernel = dkernel.reshape(kh, o, kw, c).transpose(0, 2, 3, 1)
    if by_patches:
        dkernel = _dkernel_by_patches(kind, x, pending, kernel, read)
    return dx, pending.gradient(sums), dkernel


_conv.defvjp(partial(forward, _conv), _backward, symbolic_zeros=True)


def _dkernel_by_patches(
    kind: Kind, x: jax.Array, pending: Pending, kernel: jax.Array, g: Read
) -> jax.Array:
    """By itself: such a convolution is mostly a network's first, whose input needs no gradient."""
    kh, kw, c, o = kernel.shape
    size, read = x.shape[1], _reader(x, pending)

    def step(i: jax.Array, dkernel: jax.Array) -> jax.Array:
        taps = jnp.concatenate(_taps(kind.rows, read, size, i))
        return dkernel + product_over_pixels(g(i), _gathered(kind.columns, taps))

    start = jnp.zeros((o, kw * kh * c), x.dtype)
    dkernel = lax.fori_loop(0, kind.rows.outputs(size), step, start)
    return dkernel.reshape(o, kw, kh, c).transpose(2, 1, 3, 0)


def _reader(x: jax.Array, pending: Pending) -> Read:
    """The rows of the input, with what is pending done."""
    return lambda i: pending.done(_at(x, i))


def _at(x: jax.Array, i: jax.Array) -> jax.Array:
    return lax.dynamic_index_in_dim(x, i, 1, keepdims=False, allow_negative_indices=False)


def _put(x: jax.Array, row: jax.Array, i: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(x, row, i, 1, allow_negative_indices=False)


def _taps(sweep: Sweep, read: Read, size: int, i: jax.Array) -> list[jax.Array]:
    """The rows that the taps read for output i, zero outside the picture's `size` rows."""
    rows, apart = [], sweep.between + 1
    for tap in range(sweep.taps):
        place = i * sweep.stride + tap * sweep.dilation - sweep.low
        if (sweep.low, sweep.high, apart, sweep.taps) == (0, 0, 1, 1):  # 1x1: always inside
            rows.append(read(place))
            continue
        index = place // apart
        inside = (index >= 0) & (index < size) & (place % apart == 0)
        rows.append(jnp.where(inside, read(jnp.clip(index, 0, size - 1)), 0))
    return rows


def _pooled(pooled: jax.Array, rows: jax.Array, row: jax.Array) -> jax.Array:
    """Moments (2, o) of `rows` rows and one more (law of total variance): no squares that cancel.

    They are one array, as sums elsewhere: each array that a loop updates is compiled by itself.
    """
    mean, var = pooled
    row_mean = row.mean((1, 2))
    row_var = jnp.square(row - row_mean[:, None, None]).mean((1, 2))
    part = 1 / (rows + 1).astype(row.dtype)
    apart = row_mean - mean
    within = var + part * (row_var - var)
    return jnp.stack([mean + part * apart, within + part * (1 - part) * jnp.square(apart)])


def _product(columns: Sweep, kernel: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """What makes an output row (o, w, n) from the rows of its taps (kh * c, w, n)."""
    if not gathers_every_tap(columns, kernel):
        # Gather the taps along the height only; those along the width become a sum of shifted
        # outputs.
        return partial(_shifted, columns, lax.optimization_barrier(row_matrix(kernel)))
    matrix = lax.optimization_barrier(kernel.transpose(3, 1, 0, 2).reshape(kernel.shape[3], -1))

    def gathered(taps: jax.Array) -> jax.Array:
        return product(matrix, _gathered(columns, taps), 1, 0)

    return gathered


def _product_back(columns: Sweep, kernel: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """What makes a row of the gradient of the input from those of the output's that read it."""
    kh, kw, c, o = kernel.shape
    matrix = kernel[:, ::-1].transpose(1, 2, 0, 3).reshape(kw * c, kh * o)
    return partial(_shifted, columns, lax.optimization_barrier(matrix))


def _shifted(columns: Sweep, matrix: jax.Array, taps: jax.Array) -> jax.Array:
    y = product(matrix, taps.reshape(len(taps), -1), 1, 0)
    y = y.reshape(columns.taps, -1, *taps.shape[1:])
    return total(columns.take(y[tap], tap) for tap in range(columns.taps))


def _gathered(columns: Sweep, row: jax.Array) -> jax.Array:
    """What the taps along the width read, (kw * c, w, n)."""
    return jnp.concatenate(columns.slices(lax.optimization_barrier(columns.pad(row))))
