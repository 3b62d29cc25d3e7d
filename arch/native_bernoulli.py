"""Yes or no by chance, in C: what `native/bernoulli.c` computes, for JAX."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def bernoulli(
    key_2: jax.Array, chance: float, shape: tuple[int, ...], dtype: DTypeLike
) -> jax.Array:
    """`jax.random.bernoulli` of the data of a threefry key, drawn from numbers of `dtype`.

    Of maps in portions, each value is what it is in maps that lie together.
    """
    call = jax.ffi.ffi_call(
        f"pennyweight_bernoulli_{jnp.dtype(dtype)}",
        jax.ShapeDtypeStruct(shape, jnp.bool_),
        vmap_method="sequential",
    )
    return call(key_2, chance=np.asarray([chance], dtype))
