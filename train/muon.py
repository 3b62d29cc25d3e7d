"""Muon: the matrices of convolutions move by orthogonal steps, all other weights as with Adam.

A step along the momentum alone mostly moves the few directions in which it is largest. Made
orthogonal, it moves all alike (Jordan et al., "Muon: An optimizer for hidden layers in neural
networks", 2024), as far on average as Adam does (Liu et al., arXiv:2502.16982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

MOMENTUM = 0.95
LENGTH = 0.2  # of a step, the root of its mean square: Adam's is about that

# Five rounds take singular values from 0.002 on to between 0.7 and 1.2 (Jordan et al.).
_ROUNDS = 5
_CUBIC = (3.4445, -4.7750, 2.0315)
_LEAST = 1e-8


@dataclass(frozen=True, eq=False)
class Matrices:
    """Where a weight vector holds the matrices of convolutions, from inputs to channels.

    They are padded to one shape, the longer side last. A place without a weight has the index
    after the last weight, and a weight without a place has that after the last place.
    """

    weights: np.ndarray  # (matrices, rows, columns): by place, a weight's index
    places: np.ndarray  # (weights,): by weight, the index of its place

    @classmethod
    def of(cls, kernels: Sequence[np.ndarray], size: int) -> Matrices:
        """Of a vector of `size` weights: `kernels` are the indices of each, (..., channels)."""
        flat = [kernel.reshape(-1, kernel.shape[-1]) for kernel in kernels]
        wide = [matrix if len(matrix) <= matrix.shape[1] else matrix.T for matrix in flat]
        rows, columns = (max((m.shape[axis] for m in wide), default=0) for axis in (0, 1))
        weights = np.full((len(wide), rows, columns), size, np.int32)
        for filled, matrix in zip(weights, wide, strict=True):
            filled[: len(matrix), : matrix.shape[1]] = matrix
        places = np.full(size + 1, weights.size, np.int32)
        places[weights] = np.arange(weights.size).reshape(weights.shape)
        return cls(weights, places[:size])


def muon(matrices: Matrices | None) -> optax.GradientTransformation:
    """The direction of steps of a weight vector with those `matrices`; None suffices to begin."""
    adam, momentum = optax.scale_by_adam(), optax.trace(MOMENTUM, nesterov=True)

    def init(params: Any) -> Any:
        return adam.init(params), momentum.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        assert matrices is not None
        others, adams = adam.update(updates, state[0], params)
        moved, momenta = momentum.update(updates, state[1], params)
        steps = _stepped(matrices, cast(jax.Array, moved))
        inside = matrices.places < matrices.weights.size
        return jnp.where(inside, steps, cast(jax.Array, others)), (adams, momenta)

    return optax.GradientTransformation(init, update)


def _stepped(matrices: Matrices, moved: jax.Array) -> jax.Array:
    """The steps of the weights in `matrices` along `moved`, 0 for the others."""
    x_mrc = jnp.append(moved, 0)[matrices.weights]
    # As long for a padded matrix as for itself, whose rows and columns are those that learn.
    rows, columns = ((x_mrc != 0).any(axis).sum(1) for axis in (2, 1))
    length = LENGTH * jnp.sqrt(jnp.maximum(rows, columns).astype(moved.dtype))
    steps = length[:, None, None] * orthogonal(x_mrc)
    return jnp.append(steps.ravel(), 0)[matrices.places]


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
    """In float32, whatever precision the network computes in."""
    return jnp.einsum(axes, a, b, precision="highest")
