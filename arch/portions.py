"""Maps in portions of their pictures, (c, portions, h, w, pictures of a portion): for kernels in C.

Of each channel, what one thread works on lies in one piece so, and stays in its core's cache from
one layer to the next. Maps (c, h, w, n) are one portion.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

MOST = 64  # pictures of a portion: enough for long rows, and few for the caches
VECTOR = 16  # pictures in a vector of the kernels in C
LARGE = 256  # pixels: of smaller pictures two halves of a batch of MOST take longer than the whole
_FEW = 16  # portions that are put together piece by piece


def portioned(x_chwn: jax.Array) -> jax.Array:
    """Maps in portions of equal size, where there can be more than one, and not of single vectors.

    Two of the latter are well where they are all.
    """
    _, h, w, n = x_chwn.shape
    most = min(MOST, n // 2) if h * w >= LARGE else MOST
    least = 2 * VECTOR if n > MOST else VECTOR
    sizes = (size for size in range(most, least - 1, -1) if n % size == 0 == size % VECTOR)
    size = next(sizes, n)
    return x_chwn if size == n else _cut(x_chwn, size)


def portioned_as(x_chwn: jax.Array, other: jax.Array) -> jax.Array:
    """Values in such portions as others of the same shape are in; as they are where those are."""
    return _cut(x_chwn, other.shape[-1]) if other.ndim == 5 else x_chwn


def _cut(x: jax.Array, size: int) -> jax.Array:
    c, h, w, _ = x.shape
    return x.reshape(c, h, w, -1, size).transpose(0, 3, 1, 2, 4)


def together(x: jax.Array) -> jax.Array:
    """Maps (c, h, w, n) of those in portions; all else as it is. Differentiable in reverse mode."""
    return _joined(x.shape[-1], x) if x.ndim == 5 else x


# XLA copies what is concatenated in runs, but programs grow with every portion. The gradient of a
# concatenation would pad, and add up.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _joined(size: int, x: jax.Array) -> jax.Array:
    del size  # of a portion
    c, portions, h, w, _ = x.shape
    if portions > _FEW:
        return x.transpose(0, 2, 3, 1, 4).reshape(c, h, w, -1)
    return jnp.concatenate([x[:, portion] for portion in range(portions)], -1)


def _joined_forward(size: int, x: jax.Array) -> tuple[jax.Array, None]:
    return _joined(size, x), None


def _joined_backward(size: int, _: None, g: jax.Array) -> tuple[jax.Array]:
    return (_cut(g, size),)


_joined.defvjp(_joined_forward, _joined_backward)


def portions_of(shape: tuple[int, ...]) -> int:
    """How many portions maps of a shape have."""
    return shape[1] if len(shape) == 5 else 1
