"""What convolutions that go piece by piece share: their form, and the rules of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from pennyweight.arch.pending import Affine, Pending, Statistics
from pennyweight.arch.sweep import Sweep

Result = tuple[jax.Array, Statistics | None]  # the output and its statistics, where taken
Kept = tuple[jax.Array, Pending, jax.Array, Result]  # input, what it waits for, kernel, result


class Kind(NamedTuple):
    """What is static about a convolution."""

    rows: Sweep
    columns: Sweep

    def transpose(self) -> Kind:
        """How the gradient sweeps."""
        return Kind(self.rows.transpose(), self.columns.transpose())


def forward(conv: Callable[..., Any], kind: Kind, *primals: Any) -> tuple[Result, Kept]:
    """The forward rule of `conv` (kind, input, what it waits for, kernel), with symbolic zeros."""
    x, pending, kernel = jax.tree.map(lambda primal: primal.value, primals)
    result = conv(kind, x, pending, kernel)
    return result, (x, pending, kernel, result)


def gradient_of_output(gradients: Result, result: Result) -> tuple[jax.Array, Affine | None]:
    """The gradient of an output y, and what those of its statistics add to it, a map of y.

    The map is None where no statistics were taken, or nothing used them.
    """
    (g, through), (y, statistics) = gradients, result
    g = _instantiated(g, y)
    if statistics is None or through is None:  # none without the other
        return g, None
    if all(isinstance(gradient, SymbolicZero) for gradient in through):
        return g, None
    mean = statistics.mean
    of_mean, of_var = (_instantiated(gradient, mean) for gradient in through)
    pixels = y[0].size
    return g, Affine(mean, of_var * (2 / pixels), of_mean / pixels)


def gradients_of_input(
    pending: Pending, x: jax.Array, y: jax.Array, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The gradient of a piece of the input, x, and `Pending.sums`.

    From what the affine map made of x, y, and the gradient of its activation. What both are made of
    is computed once.
    """
    if pending.slope is not None:
        g = lax.optimization_barrier(g)
    dy = pending.back(y, g)
    if pending.slope is None and pending.affine is not None:
        dy = lax.optimization_barrier(dy)
    return pending.scaled(dy), pending.sums(x, y, g, dy)


def _instantiated(gradient: jax.Array | SymbolicZero, value: jax.Array) -> jax.Array:
    """The gradient of a value, as an array of zeros where nothing used it."""
    return jnp.zeros_like(value) if isinstance(gradient, SymbolicZero) else gradient
