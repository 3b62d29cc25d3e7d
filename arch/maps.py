"""Feature maps on their way through a network, with what is still to be done to them.

Normalisation and activation are a few operations on every value: carried out at once they would
read and write the memory for nothing. So they wait. A convolution that goes piece by piece carries
them out on its way, as in C does all that pools, adds or measures; a max pool leaves them to what
follows it unless a slope is learned; any other layer settles them first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax

from pennyweight.arch import native_pool
from pennyweight.arch.pending import Pending, Statistics
from pennyweight.arch.portions import portioned, together


@dataclass(frozen=True)
class Maps:
    """Maps (c, h, w, n), or vectors (c, n): `values`, to which what is `pending` is to be done.

    For kernels in C maps may be in `portions`.
    """

    values: jax.Array
    statistics: Statistics | None = None  # of `values`, where what made them has taken them
    pending: Pending = field(default_factory=Pending)

    @classmethod
    def of(cls, images_nhwc: jax.Array) -> Maps:
        """The maps that a network begins with."""
        return cls.made(images_nhwc.transpose(3, 1, 2, 0))

    @classmethod
    def made(cls, values: jax.Array) -> Maps:
        """Of values that are not in portions."""
        return cls(portioned(values) if native_pool.computes(values) else values)

    def together(self) -> Maps:
        """The same, not in portions."""
        return replace(self, values=together(self.values))

    def settled(self) -> jax.Array:
        """The values with everything done."""
        if self.pending.nothing:
            return self.values
        if native_pool.computes(self.values):
            return native_pool.settled(self.values, self.pending)
        return _finish(self.values, self.pending)

    def measured(self) -> Maps:
        """Settled, with statistics where they are there, or can be taken in passing."""
        if self.pending.nothing:
            return self
        if native_pool.computes(self.values):
            return Maps(*native_pool.measured(self.values, self.pending))
        return Maps(self.settled())

    def added(self, other: Maps) -> Maps:
        """The sum of both."""
        if self.values.ndim != other.values.ndim:
            return self.together().added(other.together())
        if native_pool.computes(self.values):
            first, second = (self, other) if other.pending.nothing else (other, self)
            if not first.pending.nothing:
                return Maps(native_pool.settled(first.values, first.pending, second.settled()))
        return Maps(self.settled() + other.settled())

    def activated(self, *, leak: float | None = None, slope: jax.Array | None = None) -> Maps:
        """The same, and then what is below 0 multiplied with `leak` or `slope`."""
        maps = Maps(self.settled()) if self.pending.activates else self
        return replace(maps, pending=replace(maps.pending, leak=leak, slope=slope))


@jax.custom_vjp
def _finish(x: jax.Array, pending: Pending) -> jax.Array:
    return pending.done(x)


def _finish_forward(x: jax.Array, pending: Pending) -> tuple[jax.Array, tuple[jax.Array, Pending]]:
    return _finish(x, pending), (x, pending)


def _finish_backward(kept: tuple[jax.Array, Pending], g: jax.Array) -> tuple[jax.Array, Pending]:
    x, pending = kept
    y = pending.before(x)
    dy = pending.back(y, g)
    return pending.scaled(dy), pending.gradient(pending.sums(x, y, g, dy))


_finish.defvjp(_finish_forward, _finish_backward)
