"""Pooling in C, and settling what is pending: what `native/pool.c` computes, for JAX.

One call normalises and activates its input and pools it, adds another map or takes statistics;
another gives all gradients. Maps are read and written once, where XLA goes over them for each of
its sums. Where there are any, `native_library` says.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.native_calls import affine_rows, gradient_of, in_c, inputs, told
from pennyweight.arch.pending import Pending, Statistics
from pennyweight.arch.piecewise import Result, gradient_of_output
from pennyweight.arch.sweep import Sweep

Function = Literal["mean", "max", "largest"]
_NUMBERS: dict[Function, int] = {"mean": 0, "max": 1, "largest": 2}  # as C has them

_MOST_PLACES = 2**16  # of a window: they are numbered with 16 bits

Kept = tuple[jax.Array, Pending, Result, jax.Array]  # input, what it waits for, result, places


class Kind(NamedTuple):
    """What is static about a pooling."""

    function: Function = "mean"
    window: tuple[int, int] = (1, 1)  # rows and columns
    stride: tuple[int, int] = (1, 1)
    plus: bool = False  # whether another map is added
    statistics: bool = False  # whether they are wanted


def computes(x: jax.Array, *window: Sweep) -> bool:
    """Whether maps such as x are settled in C, or pooled in such windows."""
    return x.ndim == 4 and in_c(x) and math.prod(sweep.taps for sweep in window) <= _MOST_PLACES


def settled(
    x_chwn: jax.Array, pending: Pending, plus: jax.Array | None = None, *, statistics: bool = False
) -> Result:
    """x with everything done and `plus` added, and its statistics: of whatever, if not wanted."""
    kind = Kind(plus=plus is not None, statistics=statistics)
    return cast(Result, _pool(kind, x_chwn, pending, plus))


def pooled(
    function: Function, x_chwn: jax.Array, pending: Pending, rows: Sweep, columns: Sweep
) -> jax.Array:
    """The mean or the largest of each window, which sweep without zeros around x.

    "largest" does not do what is pending, and is the smallest where its scale is negative.
    """
    kind = Kind(function, (rows.taps, columns.taps), (rows.stride, columns.stride))
    return cast(Result, _pool(kind, x_chwn, pending, None))[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pool(kind: Kind, x: jax.Array, pending: Pending, plus: jax.Array | None) -> Result:
    return _forward(kind, x, pending, plus)[0]


def _forward(
    kind: Kind, x: jax.Array, pending: Pending, plus: jax.Array | None
) -> tuple[Result, Kept]:
    sides = zip(x.shape[1:3], kind.window, kind.stride, strict=True)
    high, wide = ((size - taps) // stride + 1 for size, taps, stride in sides)
    shape = (len(x), high, wide, x.shape[3])
    call = jax.ffi.ffi_call(
        f"pennyweight_pool_{x.dtype}",
        (
            jax.ShapeDtypeStruct(shape, x.dtype),
            jax.ShapeDtypeStruct((1,) if kind.function == "mean" else shape, jnp.uint16),
            jax.ShapeDtypeStruct((2, len(x)), x.dtype),
        ),
        vmap_method="sequential",
    )
    added = jnp.zeros(1, x.dtype) if plus is None else plus
    y, which, (mean, var) = call(*inputs(x, pending), added, kind=_told(kind, pending, shape))
    result = y, Statistics(mean, var)
    return result, (x, pending, result, which)


def _backward(
    kind: Kind, kept: Kept, gradients: Result
) -> tuple[jax.Array, Pending, jax.Array | None]:
    x, pending, result, which = kept
    y = result[0]
    g, of_y = gradient_of_output(gradients, result) if kind.statistics else (gradients[0], None)
    call = jax.ffi.ffi_call(
        f"pennyweight_pool_gradient_{x.dtype}",
        (jax.ShapeDtypeStruct(x.shape, x.dtype), jax.ShapeDtypeStruct((3, len(x)), x.dtype)),
        vmap_method="sequential",
    )
    rest = y, g, which, affine_rows(of_y, y)
    dx, sums = call(*inputs(x, pending), *rest, kind=_told(kind, pending, y.shape))
    return dx, gradient_of(pending, sums), g if kind.plus else None


_pool.defvjp(_forward, _backward)


def _told(kind: Kind, pending: Pending, shape: tuple[int, ...]) -> np.ndarray:
    """The static part as C reads it: see `pool_of` there."""
    settling = told(pending) if kind.function != "largest" else (pending.affine is not None, 0)
    number, sizes = _NUMBERS[kind.function], shape[1:3]
    numbers = (number, *kind.window, *kind.stride, *settling, kind.plus, kind.statistics, *sizes)
    return np.array(numbers, np.int64)
