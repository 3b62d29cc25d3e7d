"""Convolutions in C, with what stands around them: what `native/convolution.c` computes, for JAX.

One call normalises and activates its input, convolves it, and takes the statistics of its output
where they are wanted; another gives all gradients. A row of pictures at a time stays in the
processor's cache, so maps are read and written once. Where there are any, `native_library` says.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal

from pennyweight.arch.maps import Maps
from pennyweight.arch.native_calls import affine_rows, gradient_of, inputs, told
from pennyweight.arch.pending import Pending, Statistics
from pennyweight.arch.piecewise import Result, gradient_of_output
from pennyweight.arch.sweep import Sweep


class Kind(NamedTuple):
    """What is static about a convolution."""

    rows: Sweep
    columns: Sweep
    depthwise: bool
    measured: bool  # whether statistics of the output are taken or, for the gradient, used


Wanted = tuple[None, ...]  # of one None where what comes in needs a gradient, so of no array
Kept = tuple[jax.Array, Pending, jax.Array, Result, Wanted]


def conv(
    maps: Maps,
    kernel_hwio: jax.Array,
    rows: Sweep,
    columns: Sweep,
    *,
    depthwise: bool,
    measured: bool,
) -> Maps:
    """The convolution of what is in `maps`, with its statistics if it is to be `measured`."""
    kind = Kind(rows, columns, depthwise, measured)
    return Maps(*cast(Result, _conv(kind, maps.values, maps.pending, kernel_hwio)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(kind: Kind, x: jax.Array, pending: Pending, kernel: jax.Array) -> Result:
    outputs, sizes = kernel.shape[3], _sizes(kind, x)
    call = jax.ffi.ffi_call(
        f"pennyweight_conv_{x.dtype}",
        (_like(x, outputs, *x.shape[1:-3], *sizes, x.shape[-1]), _like(x, 2, outputs)),
        vmap_method="sequential",
    )
    y, (mean, var) = call(*inputs(x, pending), kernel, kind=_told(kind, pending, sizes))
    return y, Statistics(mean, var) if kind.measured else None


def _forward(
    kind: Kind, x: CustomVJPPrimal, pending: Pending, kernel: CustomVJPPrimal
) -> tuple[Result, Kept]:
    values = jax.tree.map(lambda primal: primal.value, (x, pending, kernel))
    result = cast(Result, _conv(kind, *values))
    # What the input's normalisation and slope need comes with the gradient of the input.
    perturbed = any(primal.perturbed for primal in jax.tree.leaves((x, pending)))
    return result, cast(Kept, (*values, result, (None,) if perturbed else ()))


def _backward(kind: Kind, kept: Kept, gradients: Result) -> tuple[jax.Array, Pending, jax.Array]:
    x, pending, kernel, result, wanted = kept
    g, of_y = gradient_of_output(gradients, result)
    y, channels = result[0], len(x)
    call = jax.ffi.ffi_call(
        f"pennyweight_conv_gradient_{x.dtype}",
        (x if wanted else _like(x, 1), kernel, _like(x, 3, channels)),
        vmap_method="sequential",
    )
    rest = kernel, y, g, affine_rows(of_y, y)
    kind = kind._replace(measured=of_y is not None)
    kind_told = _told(kind, pending, y.shape[-3:-1], wanted=bool(wanted))
    dx, dkernel, sums = call(*inputs(x, pending), *rest, kind=kind_told)
    return (dx if wanted else jnp.zeros_like(x)), gradient_of(pending, sums), dkernel


_conv.defvjp(_forward, _backward, symbolic_zeros=True)


def _sizes(kind: Kind, x: jax.Array) -> tuple[int, int]:
    """Rows and columns of the output."""
    return kind.rows.outputs(x.shape[-3]), kind.columns.outputs(x.shape[-2])


def _like(x: jax.Array, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, x.dtype)


def _told(
    kind: Kind, pending: Pending, sizes: tuple[int, ...], *, wanted: bool = False
) -> np.ndarray:
    """The static part as C reads it: see `kind_of` there."""
    rows, columns = kind.rows, kind.columns
    window = rows.stride, rows.dilation, rows.low, columns.low, kind.depthwise
    return np.array([*window, *told(pending), *sizes, kind.measured, wanted], np.int64)
