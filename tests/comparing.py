"""Two ways to compute the same, compared by their values and gradients."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.pending import Pending

# Hundreds of programs that run once: these options compile one in a fifth of the time.
quickly = partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False},
)

ACTIVATIONS: dict[str | None, Callable[[jax.Array], Pending]] = {
    None: lambda slope: Pending(),
    "relu": lambda slope: Pending(leak=0.0),
    "leak": lambda slope: Pending(leak=0.1),
    "slope": lambda slope: Pending(slope=slope),
}


def textbook_activation(activation: str | None, z: jax.Array, slope: jax.Array) -> jax.Array:
    """At 0 the gradient of a ReLU is 0, and that of the others 1."""
    if activation is None:
        return z
    if activation == "relu":
        return jax.nn.relu(z)
    return jnp.where(z >= 0, z, (0.1 if activation == "leak" else slope) * z)


def draw(*shape: int, seed: int = 0) -> jax.Array:
    """Normal values in the default precision."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype=float)


def value_and_gradients(function: Callable[..., jax.Array], *arrays: jax.Array) -> list[jax.Array]:
    value, gradients_of = jax.vjp(function, *arrays)
    return [value, *gradients_of(draw(*value.shape, seed=1))]


def assert_same(
    ours: Callable[..., jax.Array], theirs: Callable[..., jax.Array], *arrays: jax.Array
) -> None:
    """Values and gradients agree to 1e-10, in float64."""

    def both(*arrays: jax.Array) -> list[list[jax.Array]]:
        return [value_and_gradients(function, *arrays) for function in (ours, theirs)]

    for our, their in zip(*quickly(both)(*arrays), strict=True):
        assert our.dtype == np.float64
        np.testing.assert_allclose(our, their, rtol=1e-10, atol=1e-10)
