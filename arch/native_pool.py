"""Pooling in C, and settling what is pending: what `native/pool.c` computes, for JAX.

One call normalises and activates its input and pools it, adds another map or takes statistics;
another gives all gradients. Maps are read and written once, where XLA goes over them for each of
its sums. Where there are any, `native_library` says.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.native_calls import affine_rows, gradient_of, in_c, inputs, told
from pennyweight.arch.pending import Pending, Statistics
from pennyweight.arch.piecewise import Result, gradient_of_output
from pennyweight.arch.portions import portions_of
from pennyweight.arch.sweep import COLUMNS, ROWS, Sweep

Function = Literal["mean", "max", "largest"]
_NUMBERS: dict[Function, int] = {"mean": 0, "max": 1, "largest": 2}  # as C has them

MOST_PLACES = 2**16  # of a window whose largest value is wanted: 16 bits number them

# What is kept for the gradient, but for what that does not need: input, what it waits for, the
# statistics of the output, places of the largest values.
Kept = tuple[jax.Array, Pending, Statistics | None, jax.Array]


class Kind(NamedTuple):
    """What is static about a pooling."""

    shape: tuple[int, ...]  # of the input
    rows: Sweep
    columns: Sweep
    function: Function = "mean"
    plus: bool = False  # whether another map is added
    statistics: bool = False  # whether they are wanted: of windows of one value, nothing added

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the output."""
        *first, h, w, n = self.shape
        return *first, self.rows.outputs(h), self.columns.outputs(w), n


def computes(x: jax.Array) -> bool:
    """Whether maps such as x are pooled and settled in C."""
    return x.ndim >= 4 and in_c(x)


def settled(x: jax.Array, pending: Pending, plus: jax.Array | None = None) -> jax.Array:
    """x with everything done, and `plus` added."""
    kind = Kind(x.shape, *_each(x), plus=plus is not None)
    return cast(Result, _pool(kind, x, pending, plus))[0]


def measured(x: jax.Array, pending: Pending) -> Result:
    """x with everything done, and its statistics."""
    kind = Kind(x.shape, *_each(x), statistics=True)
    return cast(Result, _pool(kind, x, pending, None))


def _each(x: jax.Array) -> tuple[Sweep, Sweep]:
    """Windows of one value, along rows and columns."""
    sweep = partial(Sweep.over, x, taps=1, stride=1, padding="VALID")
    return sweep(ROWS), sweep(COLUMNS)


def pooled(
    function: Function, x: jax.Array, pending: Pending, rows: Sweep, columns: Sweep
) -> jax.Array:
    """The mean or the largest of each window, which sweep without zeros around x.

    "largest" does not do what is pending, and is the smallest where its scale is negative.
    """
    kind = Kind(x.shape, rows, columns, function)
    return cast(Result, _pool(kind, x, pending, None))[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pool(kind: Kind, x: jax.Array, pending: Pending, plus: jax.Array | None) -> Result:
    return _called(kind, x, pending, plus, places=False)[0]


def _forward(
    kind: Kind, x: jax.Array, pending: Pending, plus: jax.Array | None
) -> tuple[Result, Kept]:
    (y, statistics), which = _called(kind, x, pending, plus, places=kind.function != "mean")
    nothing = jnp.zeros(1, x.dtype)
    settles = kind.function != "largest" and (kind.statistics or not pending.nothing)
    return (y, statistics), (x if settles else nothing, pending, statistics, which)


def _called(
    kind: Kind, x: jax.Array, pending: Pending, plus: jax.Array | None, *, places: bool
) -> tuple[Result, jax.Array]:
    call = jax.ffi.ffi_call(
        f"pennyweight_pool_{x.dtype}",
        (
            jax.ShapeDtypeStruct(kind.output, x.dtype),
            jax.ShapeDtypeStruct(kind.output if places else (1,), jnp.uint16),
            jax.ShapeDtypeStruct((2, len(x)), x.dtype),
        ),
        vmap_method="sequential",
    )
    added = jnp.zeros(1, x.dtype) if plus is None else plus
    kind_told = _told(kind, pending, places=places)
    y, which, (mean, var) = call(*inputs(x, pending), added, kind=kind_told)
    return (y, Statistics(mean, var) if kind.statistics else None), which


def _backward(
    kind: Kind, kept: Kept, gradients: Result
) -> tuple[jax.Array, Pending, jax.Array | None]:
    x, pending, statistics, which = kept
    g, of_y = gradient_of_output(gradients, (gradients[0], statistics))
    c = kind.shape[0]
    call = jax.ffi.ffi_call(
        f"pennyweight_pool_gradient_{g.dtype}",
        (jax.ShapeDtypeStruct(kind.shape, g.dtype), jax.ShapeDtypeStruct((3, c), g.dtype)),
        vmap_method="sequential",
    )
    rest = g, which, affine_rows(of_y, g)
    dx, sums = call(*inputs(x, pending), *rest, kind=_told(kind, pending))
    return dx, gradient_of(pending, sums), g if kind.plus else None


_pool.defvjp(_forward, _backward)


def _told(kind: Kind, pending: Pending, *, places: bool = False) -> np.ndarray:
    """The static part as C reads it: see `pool_of` there."""
    rows, columns = kind.rows, kind.columns
    window = rows.taps, columns.taps, rows.stride, columns.stride
    sizes = (kind.shape[0], portions_of(kind.shape), *kind.shape[-3:], *kind.output[-3:-1], *window)
    settling = told(pending) if kind.function != "largest" else (pending.affine is not None, 0)
    flags = (*settling, kind.plus, kind.statistics, places)
    return np.array([*sizes, _NUMBERS[kind.function], *flags], np.int64)
