"""Two ways to compute the same, compared by their values and gradients."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.pending import Affine, Pending

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


def pending_of(activation: str | None, slope: jax.Array, *affine: jax.Array) -> Pending:
    """An affine map, of its three rows, and an activation."""
    return replace(ACTIVATIONS[activation](slope), affine=Affine(*affine) if affine else None)


def textbook(
    activation: str | None, x: jax.Array, slope: jax.Array, *affine: jax.Array
) -> jax.Array:
    """What `pending_of` the same is, done."""
    if affine:
        mean, scale, shift = (row[:, None, None, None] for row in affine)
        x = (x - mean) * scale + shift
    return textbook_activation(activation, x, slope)


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


def assert_each_alone(function: Callable[..., jax.Array], *arrays: jax.Array) -> None:
    """A population gets the values and gradients that each of it gets by itself, in float64."""
    both = partial(value_and_gradients, function)
    together, single = quickly(jax.vmap(both))(*arrays), quickly(both)
    for i in range(len(arrays[0])):
        for ours, theirs in zip(together, single(*(array[i] for array in arrays)), strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-10, atol=1e-10)


def assert_exact(found: Iterable[jax.Array], exact: Iterable[jax.Array], within: float) -> None:
    """Values of float32 are within a share of the largest of those of float64."""
    for our, their in zip(found, map(np.asarray, exact), strict=True):
        assert our.dtype == np.float32
        assert np.abs(np.asarray(our, np.float64) - their).max() < within * np.abs(their).max()
