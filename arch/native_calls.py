"""What calls of kernels in C share: how they are told of the maps that go in, and what they say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.native_library import native
from pennyweight.arch.pending import Affine, Pending


def in_c(x: jax.Array | np.ndarray) -> bool:
    """Whether there are kernels in C for values like those of x."""
    return jax.default_backend() == "cpu" and native(jnp.finfo(x.dtype).bits)


def inputs(x: jax.Array, pending: Pending) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The input, and the affine map and the slope that are pending: of whatever, where none is."""
    below = pending.slope if pending.slope is not None else pending.leak or 0
    return x, affine_rows(pending.affine, x), jnp.asarray(below, x.dtype)


def affine_rows(affine: Affine | None, x: jax.Array) -> jax.Array:
    """A map of values like those of x as (3, channels): of whatever, where there is none."""
    return jnp.zeros(1, x.dtype) if affine is None else jnp.stack(affine)


def told(pending: Pending) -> tuple[bool, int]:
    """Whether there is an affine map, and which activation, as `native/maps.h` numbers them."""
    activation = 0 if not pending.activates else 1 if pending.leak == 0 else 2
    return pending.affine is not None, activation


def gradient_of(pending: Pending, sums_3c: jax.Array) -> Pending:
    """The gradient of what is pending, from C's sums of scale, shift and slope."""
    rows = ([0, 1] if pending.affine is not None else []) + [2] * (pending.slope is not None)
    return pending.gradient(sums_3c[np.array(rows, int)])
