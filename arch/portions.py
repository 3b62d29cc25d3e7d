"""Maps in portions of their pictures, (c, portions, h, w, pictures of a portion): for kernels in C.

Of each channel, what one thread works on lies in one piece so, and stays in its core's cache from
one layer to the next. Maps (c, h, w, n) are one portion.
"""

from __future__ import annotations

import jax

MOST = 64  # pictures of a portion: enough for long rows, and few for the caches
LEAST = 16  # what a vector of the kernels in C holds
LARGE = 256  # pixels: of smaller pictures two halves of a batch of MOST take longer than the whole


def portioned(x_chwn: jax.Array) -> jax.Array:
    """Maps in portions of equal size, where there can be more than one."""
    c, h, w, n = x_chwn.shape
    most = min(MOST, n // 2) if h * w >= LARGE else MOST
    size = next((size for size in range(most, 0, -1) if n % size == 0 == size % LEAST), n)
    if size == n:
        return x_chwn
    return x_chwn.reshape(c, h, w, -1, size).transpose(0, 3, 1, 2, 4)


def together(x: jax.Array) -> jax.Array:
    """Maps (c, h, w, n) of those in portions, or as they are."""
    if x.ndim == 4:
        return x
    c, _, h, w, _ = x.shape
    return x.transpose(0, 2, 3, 1, 4).reshape(c, h, w, -1)


def portions_of(shape: tuple[int, ...]) -> int:
    """How many portions maps of a shape have."""
    return shape[1] if len(shape) == 5 else 1
