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


class Pending(NamedTuple):
    """What is still to be done to x (c, ...): an affine map, then an activation, where given.

    The activation is a ReLU where the `relu` of these functions is true; with a `slope` (), what is
    below 0 is multiplied with it instead of becoming 0.
    """

    affine: Affine | None = None
    slope: jax.Array | None = None

    def before(self, x: jax.Array) -> jax.Array:
        """What the activation is done to."""
        return x if self.affine is None else self.affine(x)

    def activated(self, relu: bool, y: jax.Array) -> jax.Array:
        """The activation of what `before` gave."""
        if self.slope is not None:
            return jnp.where(y >= 0, y, self.slope * y)
        return jnp.maximum(y, 0) if relu else y

    def done(self, relu: bool, x: jax.Array) -> jax.Array:
        """Both."""
        return self.activated(relu, self.before(x))

    def through_activation(self, relu: bool, y: jax.Array, g: jax.Array) -> jax.Array:
        """The gradient of what `before` gave, y, from that of its activation."""
        if self.slope is not None:
            return jnp.where(y >= 0, g, self.slope * g)
        return jnp.where(y > 0, g, 0) if relu else g

    def scaled(self, g: jax.Array) -> jax.Array:
        """The gradient of x, from that of what `before` gave."""
        return g if self.affine is None else self.affine.scaled(g)

    def sums(self, x: jax.Array, y: jax.Array, g: jax.Array, dy: jax.Array) -> jax.Array:
        """What `gradient` is made of, and may be added up piece by piece (0 to 3, c).

        Of x, of what `before` gave, y, and of the gradients of the result and of y.
        """
        axes = tuple(range(1, x.ndim))
        rows = [] if self.affine is None else list(self.affine.sums(x, dy))
        if self.slope is not None:
            rows.append(jnp.where(y >= 0, 0, y * g).sum(axes))
        return jnp.stack(rows) if rows else self.no_sums(x)

    def no_sums(self, x: jax.Array) -> jax.Array:
        """`sums` of nothing: zeros."""
        rows = (0 if self.affine is None else 2) + (self.slope is not None)
        return jnp.zeros((rows, len(x)), x.dtype)

    def gradient(self, sums: jax.Array) -> Pending:
        """The gradient of these maps."""
        affine = None if self.affine is None else self.affine.gradient(sums[:2])
        return Pending(affine, None if self.slope is None else sums[-1].sum())


@dataclass(frozen=True)
class Maps:
    """Maps (c, h, w, n), or vectors (c, n): `values`, then what of the rest is given, in turn."""

    values: jax.Array
    statistics: Statistics | None = None  # of `values`, where a convolution has taken them
    affine: Affine | None = None
    relu: bool = False
    slope: jax.Array | None = None  # of what is below 0, instead of `relu`

    @property
    def pending(self) -> Pending:
        """What is still to be done, but for `relu`."""
        return Pending(self.affine, self.slope)

    @property
    def activated(self) -> bool:
        """Whether an activation is still to be done."""
        return self.relu or self.slope is not None

    def settled(self) -> jax.Array:
        """The values with everything done."""
        if self.affine is None and not self.activated:
            return self.values
        return _finish(self.relu, self.values, self.pending)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _finish(relu: bool, x: jax.Array, pending: Pending) -> jax.Array:
    return pending.done(relu, x)


def _finish_forward(
    relu: bool, x: jax.Array, pending: Pending
) -> tuple[jax.Array, tuple[jax.Array, Pending]]:
    return _finish(relu, x, pending), (x, pending)


def _finish_backward(
    relu: bool, kept: tuple[jax.Array, Pending], g: jax.Array
) -> tuple[jax.Array, Pending]:
    x, pending = kept
    y = pending.before(x)
    dy = pending.through_activation(relu, y, g)
    return pending.scaled(dy), pending.gradient(pending.sums(x, y, g, dy))


_finish.defvjp(_finish_forward, _finish_backward)


def each(values_c: jax.Array, ndim: int) -> jax.Array:
    """One value a channel, to go with (c, ...) of `ndim` axes."""
    return values_c.reshape(-1, *[1] * (ndim - 1))
