"""Muon: the matrices of convolutions move by orthogonal steps, all other weights as with Adam.

A step along the momentum mostly moves the few directions in which it is largest. Made orthogonal,
it moves all alike (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024),
as far on average as Adam does (Liu et al., arXiv:2502.16982).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

MOMENTUM = 0.95
LENGTH = 0.2  # of a step, the root of its mean square: Adam's is about that

# Five rounds take singular values from 0.002 on to between 0.68 and 1.2 (Jordan et al.).
_ROUNDS = 5
_CUBIC = (3.4445, -4.7750, 2.0315)
_LEAST = 1e-8


def matrices_of(kernels: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Kernels of a vector of `size` weights as matrices (matrices, rows, columns) of its indices.

    `kernels` are the indices of each, (..., channels). They become matrices from what goes in to
    channels, or the other way round where that is wider, padded to one shape with `size`.
    """
    flat = [kernel.reshape(-1, kernel.shape[-1]) for kernel in kernels]
    wide = [min(matrix, matrix.T, key=len) for matrix in flat]
    rows, columns = (max((m.shape[axis] for m in wide), default=0) for axis in (0, 1))
    padded = np.full((len(wide), rows, columns), size, np.int32)
    for filled, matrix in zip(padded, wide, strict=True):
        filled[: len(matrix), : matrix.shape[1]] = matrix
    return padded


NO_MATRICES = matrices_of([], 0)


def muon(matrices_mrc: np.ndarray = NO_MATRICES) -> optax.GradientTransformation:
    """The direction of steps of a weight vector, which are those of Adam outside the matrices."""
    adam, momentum = optax.scale_by_adam(), optax.trace(MOMENTUM, nesterov=True)

    def init(params: Any) -> Any:
        return adam.init(params), momentum.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        others, adams = adam.update(updates, state[0], params)
        moved, momenta = momentum.update(updates, state[1], params)
        x_mrc = cast(jax.Array, moved).at[matrices_mrc].get(mode="fill", fill_value=0)
        steps = cast(jax.Array, others).at[matrices_mrc].set(_steps(x_mrc), mode="drop")
        return steps, (adams, momenta)

    return optax.GradientTransformation(init, update)


def _steps(x_mrc: jax.Array) -> jax.Array:
    """Orthogonal steps along these matrices.

    What never had a gradient, as the rows and columns that a frame pads with, does not count.
    """
    rows, columns = ((x_mrc != 0).any(axis).sum(1) for axis in (2, 1))
    length = LENGTH * jnp.sqrt(jnp.maximum(rows, columns).astype(x_mrc.dtype))
    return length[:, None, None] * orthogonal(x_mrc)


def orthogonal(x_mrc: jax.Array) -> jax.Array:
    """Matrices (m, r, c), r <= c, with singular values of about 1, on the same singular vectors.

    Newton and Schulz's iteration, in a form that need not converge. Zeros stay zeros.
    """
    linear, cubic, quintic = _CUBIC
    norm = jnp.sqrt(jnp.square(x_mrc).sum((1, 2), keepdims=True))
    x_mrc = x_mrc / (norm + _LEAST)
    for _ in range(_ROUNDS):
        square = _product("mrc,mqc->mrq", x_mrc, x_mrc)
        change = cubic * square + quintic * _product("mrq,mqs->mrs", square, square)
        x_mrc = linear * x_mrc + _product("mrq,mqc->mrc", change, x_mrc)
    return x_mrc


def _product(axes: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """In the weights' own precision, whatever the network computes in."""
    return jnp.einsum(axes, a, b, precision="highest")
