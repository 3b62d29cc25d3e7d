"""The matrix products that convolutions are made of, whole or row by row."""

import jax
from jax import lax

from pennyweight.arch.pool_kernels import Sweep


def gathers_every_tap(sweep: Sweep, kernel: jax.Array) -> bool:
    """Whether gathering all taps moves less memory than the row form, as with one input channel.

    The row form also computes the columns that a stride skips.
    """
    kh, kw, c, o = kernel.shape
    return sweep.stride > 1 or kh * kw * c + o < kh * c + kw * o


def row_matrix(kernel: jax.Array) -> jax.Array:
    """The kernel as (kw * o, kh * c)."""
    kh, kw, c, o = kernel.shape
    return kernel.transpose(1, 3, 0, 2).reshape(kw * o, kh * c)


def product(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> jax.Array:
    """The sum of products over an axis of each."""
    return lax.dot_general(a, b, (((axis_a,), (axis_b,)), ((), ())))


def product_over_pixels(a: jax.Array, b: jax.Array) -> jax.Array:
    """The same over all axes but the first."""
    # Flattened, since XLA would first transpose both to contract several axes.
    return product(a.reshape(len(a), -1), b.reshape(len(b), -1), 1, 1)
