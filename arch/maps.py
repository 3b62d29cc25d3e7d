"""Feature maps on their way through a network, with what is still to be done to them.

Normalisation and activation are a few operations on every value: carried out at once they would
read and write the memory for nothing. So they wait. A convolution that goes piece by piece carries
them out on its way, a max pool leaves them to what follows it, and any other layer settles them
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Affine(NamedTuple):
    """x -> (x - mean) * scale + shift, with one value a channel each (c,)."""

    mean: jax.Array
    scale: jax.Array
    shift: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        """Of x (c, ...)."""
        mean, scale, shift = (each(values, x.ndim) for values in self)
        return (x - mean) * scale + shift

    def backward(self, x: jax.Array, g: jax.Array) -> tuple[jax.Array, Affine]:
        """The gradients of x and of this map, from the gradient of what it gave for x."""
        return self.scaled(g), self.gradient(self.sums(x, g))

    def scaled(self, g: jax.Array) -> jax.Array:
        """The gradient of x."""
        return g * each(self.scale, g.ndim)

    def sums(self, x: jax.Array, g: jax.Array) -> jax.Array:
        """What `gradient` is made of, and may be added up piece by piece (2, c)."""
        axes = tuple(range(1, x.ndim))
        return jnp.stack([(g * (x - each(self.mean, x.ndim))).sum(axes), g.sum(axes)])

    def gradient(self, sums: jax.Array) -> Affine:
        """The gradient of this map."""
        dscale, dshift = sums
        # Autodiff would add up the gradient of x for the mean, which is known from the shift.
        return Affine(-self.scale * dshift, dscale, dshift)


class Statistics(NamedTuple):
    """Mean and biased variance by channel (c,)."""

    mean: jax.Array
    var: jax.Array


@dataclass(frozen=True)
class Maps:
    """Maps (c, h, w, n), or vectors (c, n): `values`, then `affine`, then a ReLU, where given."""

    values: jax.Array
    statistics: Statistics | None = None  # of `values`, where a convolution has taken them
    affine: Affine | None = None
    relu: bool = False

    @property
    def pending(self) -> bool:
        """Whether something is still to be done."""
        return self.affine is not None or self.relu

    def settled(self) -> jax.Array:
        """The values with everything done."""
        return finish(self.values, self.affine, self.relu)


def finish(x: jax.Array, affine: Affine | None, relu: bool) -> jax.Array:
    """relu(affine(x)), or less."""
    if affine is not None:
        return _finish(relu, x, affine)
    return jax.nn.relu(x) if relu else x  # whose gradient at 0 is 0, as that of `_finish`


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _finish(relu: bool, x: jax.Array, affine: Affine) -> jax.Array:
    y = affine(x)
    return jnp.maximum(y, 0) if relu else y


def _finish_forward(
    relu: bool, x: jax.Array, affine: Affine
) -> tuple[jax.Array, tuple[jax.Array, Affine]]:
    return _finish(relu, x, affine), (x, affine)


def _finish_backward(
    relu: bool, kept: tuple[jax.Array, Affine], g: jax.Array
) -> tuple[jax.Array, Affine]:
    x, affine = kept
    return affine.backward(x, jnp.where(affine(x) > 0, g, 0) if relu else g)


_finish.defvjp(_finish_forward, _finish_backward)


def each(values_c: jax.Array, ndim: int) -> jax.Array:
    """One value a channel, to go with (c, ...) of `ndim` axes."""
    return values_c.reshape(-1, *[1] * (ndim - 1))
