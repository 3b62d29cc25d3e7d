"""A depthwise convolution with what stands around it, one channel at a time.

As in `row_kernels`, and for the same reason, what is read next is what was just written. Here the
piece is a channel's whole pictures, since no channel needs another: (1, h, w, n).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
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
from pennyweight.arch.products import product_over_pixels
from pennyweight.arch.sweep import Sweep, total

BLOCK = 14  # rows of a matrix product in the kernel's gradient: more are mostly computed in vain


def conv(maps: Maps, kernel_hwio: jax.Array, rows: Sweep, columns: Sweep) -> Maps:
    """The convolution of what is in `maps` with a kernel (kh, kw, 1, c), with its statistics."""
    kind = Kind(rows, columns)
    return Maps(*cast(Result, _conv(kind, maps.values, maps.pending, kernel_hwio)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(kind: Kind, x: jax.Array, pending: Pending, kernel: jax.Array) -> Result:
    channels = x, pending.affine, kernel[:, :, 0].transpose(2, 0, 1)

    def of_channel(i: jax.Array) -> tuple[jax.Array, ...]:
        x, affine, weights = _channel(channels, i)
        z = replace(pending, affine=affine).done(x)
        y = lax.optimization_barrier(_weigh(kind, weights[0], z))
        mean = y.mean()
        return y[0], mean, jnp.square(y - mean).mean()

    y, mean, var = lax.map(of_channel, jnp.arange(len(x)))
    return y, Statistics(mean, var)


def _backward(kind: Kind, kept: Kept, gradients: Result) -> tuple[jax.Array, Pending, jax.Array]:
    x, pending, kernel, result = kept
    y, back = result[0], kind.transpose()
    g, of_y = gradient_of_output(gradients, result)
    channels = x, pending.affine, kernel[:, :, 0].transpose(2, 0, 1), y, g, of_y

    def of_channel(i: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, affine, weights, y, g, of_y = _channel(channels, i)
        here = replace(pending, affine=affine)
        g = lax.optimization_barrier(g if of_y is None else g + of_y(y))
        z = here.before(x)
        dweights = _dweights(kind, here.activated(z), g)
        dx, sums = gradients_of_input(here, x, z, _weigh(back, weights[0, ::-1, ::-1], g))
        return dx[0], sums[:, 0], dweights

    dx, sums, dweights = lax.map(of_channel, jnp.arange(len(x)))
    return dx, pending.gradient(sums.T), dweights.transpose(1, 2, 0)[:, :, None]


_conv.defvjp(partial(forward, _conv), _backward, symbolic_zeros=True)


def _channel(arrays: Any, i: jax.Array) -> Any:
    """Channel i of arrays (c, ...), as (1, ...)."""
    return jax.tree.map(lambda array: lax.dynamic_slice_in_dim(array, i, 1), arrays)


def _weigh(kind: Kind, weights: jax.Array, z: jax.Array) -> jax.Array:
    """What the kernel (kh, kw) makes of a channel."""
    padded = lax.optimization_barrier(kind.columns.pad(kind.rows.pad(z)))
    return total(
        window * weights[a, b]
        for a, row in enumerate(kind.rows.slices(padded))
        for b, window in enumerate(kind.columns.slices(row))
    )


def _dweights(kind: Kind, z: jax.Array, g: jax.Array) -> jax.Array:
    """Of each tap (kh, kw): the sum over pixels of g times what the tap read.

    XLA's loops add one by one. So much faster are its matrix products that one of all rows of g
    with all rows of z is worth its price, though a tap wants one pair in a dozen.
    """
    rows, columns = kind.rows, kind.columns
    padded = lax.optimization_barrier(columns.pad(rows.pad(z)))[0]
    dweights = []
    for first in range(0, g.shape[1], BLOCK):
        some = g[0, first : first + BLOCK]
        read = padded[first * rows.stride :]
        read = read[: (len(some) - 1) * rows.stride + rows.reach + 1][None]
        pairs = jnp.stack([product_over_pixels(some, tap[0]) for tap in columns.slices(read)])
        wanted = np.zeros((rows.taps, len(some), read.shape[1]), bool)
        for tap, number in np.ndindex(wanted.shape[:2]):
            wanted[tap, number, number * rows.stride + tap * rows.dilation] = True
        dweights.append(jnp.where(wanted[:, None], pairs[None], 0).sum((2, 3)))
    return total(dweights)
