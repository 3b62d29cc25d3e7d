"""Random affine changes of pictures: rotation, shear, scale and shift in one bilinear reading.

Shapes: n pictures, h rows, w columns, c channels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.native_calls import in_c
from pennyweight.arch.sweep import total
from pennyweight.train.recipe import Recipe


class Affine(NamedTuple):
    """Where each picture is read: row and column shifts in shares of the side, and a 2x2 matrix."""

    matrix: jax.Array | np.ndarray  # (..., 2, 2): from output to input, rows first
    shift: jax.Array | np.ndarray  # (..., 2)


def draw_affine(random: np.random.Generator, shape: tuple[int, ...], recipe: Recipe) -> Affine:
    """One change for each picture of `shape`, uniform within the recipe's strengths, either way."""
    draws = random.uniform(-1, 1, (5, *shape)).astype(np.float32)
    angle = draws[0] * np.float32(np.deg2rad(recipe.rotation))
    slope = np.tan(draws[1] * np.float32(np.deg2rad(recipe.shear)))
    size = 1 + draws[2] * np.float32(recipe.scale)
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    rows = np.stack([cosine - sine * slope, -sine], -1)
    columns = np.stack([sine + cosine * slope, cosine], -1)
    shift = np.stack([draws[3], draws[4]], -1) * np.float32(recipe.shift)
    return Affine(np.stack([rows, columns], -2), shift)


def warp(images_nhwc: jax.Array, order_b: jax.Array | np.ndarray, affine_b: Affine) -> jax.Array:
    """The uint8 pictures that `order` names, each read through its own map about its centre.

    What is read between pixels is bilinear, and in the type of the map; 0 beyond the edges.
    """
    kind = affine_b.matrix.dtype
    if in_c(affine_b.matrix):
        shape = jax.ShapeDtypeStruct((len(order_b), *images_nhwc.shape[1:]), kind)
        call = jax.ffi.ffi_call(f"pennyweight_warp_{kind}", shape, vmap_method="sequential")
        return call(images_nhwc, order_b, *affine_b)
    return _warped(images_nhwc.at[order_b].get(mode="promise_in_bounds"), affine_b)


def _warped(images_nhwc: jax.Array, affine_n: Affine) -> jax.Array:
    n, h, w, c = images_nhwc.shape
    kind = affine_n.matrix.dtype
    y = (jnp.arange(h, dtype=kind) - (h - 1) / 2)[None, :, None]
    x = (jnp.arange(w, dtype=kind) - (w - 1) / 2)[None, None, :]
    m, t = affine_n.matrix[:, :, :, None, None], affine_n.shift[:, :, None, None]
    rows = m[:, 0, 0] * y + m[:, 0, 1] * x + t[:, 0] * h + (h - 1) / 2
    columns = m[:, 1, 0] * y + m[:, 1, 1] * x + t[:, 1] * w + (w - 1) / 2
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = rows - top, columns - left
    top, left = top.astype(jnp.int32), left.astype(jnp.int32)
    # Two zero pixels around stand for everything outside: indices clipped into them read 0.
    bordered = jnp.pad(images_nhwc, ((0, 0), (2, 2), (2, 2), (0, 0))).astype(jnp.uint32)
    # All four neighbours in one word: on a CPU, reading at computed places is slow.
    over, under = bordered[:, :-1], bordered[:, 1:]
    pairs = over | (under << 8)
    words = (pairs[:, :, :-1] | (pairs[:, :, 1:] << 16)).reshape(-1, c)
    high, wide = h + 3, w + 3
    corner = (jnp.clip(top, -2, h) + 2) * wide + jnp.clip(left, -2, w) + 2
    places = corner + jnp.arange(n, dtype=jnp.int32)[:, None, None] * (high * wide)
    word = words.at[places].get(mode="promise_in_bounds")
    shares = [(1 - down) * (1 - right), down * (1 - right), (1 - down) * right, down * right]
    parts = [
        jnp.asarray(share)[..., None] * ((word >> (8 * place)) & 255).astype(share.dtype)
        for place, share in enumerate(shares)
    ]
    return total(parts)
