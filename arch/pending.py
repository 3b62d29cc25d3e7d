"""What is still to be done to feature maps: normalisation and activation, and their gradients."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pending:
    """What is still to be done to x (c, ...): an affine map, then an activation, where given."""

    affine: Affine | None = None
    slope: jax.Array | None = None  # (): what is below 0 is multiplied with it
    leak: float | None = field(default=None, metadata={"static": True})  # so, and not learned

    def __post_init__(self) -> None:
        if self.slope is not None and self.leak is not None:
            raise ValueError("An activation has a learned slope or a leak, and not both.")

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return self.affine is None and not self.activates

    @property
    def activates(self) -> bool:
        """Whether there is an activation."""
        return self._below is not None

    @property
    def _below(self) -> jax.Array | float | None:
        """What is below 0 is multiplied with this by the activation."""
        return self.leak if self.slope is None else self.slope

    def before(self, x: jax.Array) -> jax.Array:
        """What the activation is done to."""
        return x if self.affine is None else self.affine(x)

    def activated(self, y: jax.Array) -> jax.Array:
        """The activation of what `before` gave."""
        if self._below is None:
            return y
        return jnp.maximum(y, 0) if self.leak == 0 else jnp.where(y >= 0, y, self._below * y)

    def done(self, x: jax.Array) -> jax.Array:
        """All of it, of x."""
        return self.activated(self.before(x))

    def back(self, y: jax.Array, g: jax.Array) -> jax.Array:
        """The gradient of what `before` gave, y, from that of its activation."""
        if self._below is None:
            return g
        if self.leak == 0:  # 0 itself is the flat part
            return jnp.where(y > 0, g, 0)
        return jnp.where(y >= 0, g, self._below * g)

    def scaled(self, dy: jax.Array) -> jax.Array:
        """The gradient of x, from that of what `before` gave."""
        return dy if self.affine is None else self.affine.scaled(dy)

    def sums(self, x: jax.Array, y: jax.Array, g: jax.Array, dy: jax.Array) -> jax.Array:
        """What `gradient` is made of, and may be added up piece by piece (0 to 3, c).

        Of x, of what `before` gave, y, and of the gradients of the activation and of y.
        """
        rows = [] if self.affine is None else list(self.affine.sums(x, dy))
        if self.slope is not None:
            rows.append(jnp.where(y >= 0, 0, y * g).sum(tuple(range(1, y.ndim))))
        return jnp.stack(rows) if rows else self.no_sums(x)

    def no_sums(self, x: jax.Array) -> jax.Array:
        """`sums` of nothing: zeros."""
        rows = (0 if self.affine is None else 2) + (self.slope is not None)
        return jnp.zeros((rows, len(x)), x.dtype)

    def gradient(self, sums: jax.Array) -> Pending:
        """The gradient of the affine map and the slope."""
        affine = None if self.affine is None else self.affine.gradient(sums[:2])
        return replace(self, affine=affine, slope=None if self.slope is None else sums[-1].sum())


def each(values_c: jax.Array, ndim: int) -> jax.Array:
    """One value a channel, to go with (c, ...) of `ndim` axes."""
    return values_c.reshape(-1, *[1] * (ndim - 1))
