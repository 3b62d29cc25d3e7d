"""Convolutions in C, with what stands around them: what `native/convolution.c` computes, for JAX.

One call normalises and activates its input, convolves it, and takes the statistics of its output;
another gives all gradients. A row of pictures at a time stays in the processor's cache, so maps are
read and written once. Where there are any, `native_library` says.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal

from pennyweight.arch.maps import Affine, Maps, Pending, Statistics
from pennyweight.arch.piecewise import Result, gradient_of_output
from pennyweight.arch.pool_kernels import Sweep


class Kind(NamedTuple):
    """What is static about a convolution."""

    rows: Sweep
    columns: Sweep
    depthwise: bool


Wanted = tuple[None, ...]  # of one None where what comes in needs a gradient, so of no array
Kept = tuple[jax.Array, Pending, jax.Array, Result, Wanted]


def conv(
    maps: Maps, kernel_hwio: jax.Array, rows: Sweep, columns: Sweep, *, depthwise: bool
) -> Maps:
    """The convolution of what is in `maps`, with its statistics."""
    kind = Kind(rows, columns, depthwise)
    return Maps(*cast(Result, _conv(kind, maps.values, maps.pending, kernel_hwio)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(kind: Kind, x: jax.Array, pending: Pending, kernel: jax.Array) -> Result:
    outputs, sizes = kernel.shape[3], _sizes(kind, x)
    call = jax.ffi.ffi_call(
        f"pennyweight_conv_{x.dtype}",
        (_like(x, outputs, *sizes, x.shape[3]), _like(x, 2, outputs)),
        vmap_method="sequential",
    )
    y, (mean, var) = call(*_inputs(x, pending), kernel, kind=_told(kind, pending, sizes))
    return y, Statistics(mean, var)


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
    told = _told(kind, pending, y.shape[1:3], through=of_y is not None, wanted=bool(wanted))
    dx, dkernel, sums = call(*_inputs(x, pending), kernel, y, g, _rows(of_y, y), kind=told)
    rows = ([0, 1] if pending.affine is not None else []) + [2] * (pending.slope is not None)
    gradient = pending.gradient(sums[np.array(rows, int)])
    return (dx if wanted else jnp.zeros_like(x)), gradient, dkernel


_conv.defvjp(_forward, _backward, symbolic_zeros=True)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def dropout(kept: float, x: jax.Array, key_2: jax.Array) -> jax.Array:
    """What `kernels.dropout` is, of the data of its key."""
    call = jax.ffi.ffi_call(
        f"pennyweight_dropout_{x.dtype}",
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        vmap_method="sequential",
    )
    share = np.asarray(kept, x.dtype)
    return call(x, key_2, shares=np.stack([share, 1 / share]))


def _dropout_forward(kept: float, x: jax.Array, key_2: jax.Array) -> tuple[jax.Array, jax.Array]:
    return dropout(kept, x, key_2), key_2


def _dropout_backward(kept: float, key_2: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    return dropout(kept, g, key_2), None  # it is linear, and draws the same values again


dropout.defvjp(_dropout_forward, _dropout_backward)


def _sizes(kind: Kind, x: jax.Array) -> tuple[int, int]:
    """Rows and columns of the output."""
    return kind.rows.outputs(x.shape[1]), kind.columns.outputs(x.shape[2])


def _like(x: jax.Array, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, x.dtype)


def _inputs(x: jax.Array, pending: Pending) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The input, the affine map and the slope that are pending, of whatever where none is."""
    below = pending.slope if pending.slope is not None else pending.leak or 0
    return x, _rows(pending.affine, x), jnp.asarray(below, x.dtype)


def _rows(affine: Affine | None, x: jax.Array) -> jax.Array:
    """A map of x as (3, channels)."""
    return jnp.zeros((3, len(x)), x.dtype) if affine is None else jnp.stack(affine)


def _told(
    kind: Kind,
    pending: Pending,
    sizes: tuple[int, ...],
    *,
    through: bool = False,
    wanted: bool = False,
) -> np.ndarray:
    """The static part as C reads it: see `kind_of` there."""
    rows, columns = kind.rows, kind.columns
    activation = 0 if not pending.activates else 1 if pending.leak == 0 else 2
    window = rows.stride, rows.dilation, rows.low, columns.low, kind.depthwise
    affine = pending.affine is not None
    return np.array([*window, affine, activation, *sizes, through, wanted], np.int64)
