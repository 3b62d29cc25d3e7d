"""Windows that sweep over pictures (channels, ..., height, width, batch), one axis each."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal, Self

import jax
import jax.numpy as jnp
from jax import lax

Padding = Literal["SAME", "VALID"]

ROWS, COLUMNS = -3, -2  # the axes of maps


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How a window sweeps one axis of its input, with zeros around and between the values."""

    axis: int
    taps: int  # positions of the window
    dilation: int  # from one tap to the next
    stride: int  # from one output to the next
    low: int  # zeros before the input
    high: int  # zeros after it; a negative number leaves its end unread
    between: int = 0  # zeros from one value to the next

    @classmethod
    def over(
        cls, x: jax.Array, axis: int, *, taps: int, stride: int, padding: Padding, dilation: int = 1
    ) -> Self:
        """The sweep along an axis of x; SAME is XLA's: ceil(size / stride) outputs, odd zero last.

        Raises ValueError for a number below 1, and where a VALID window does not fit.
        """
        if min(taps, stride, dilation) < 1:
            raise ValueError(
                "window, stride and dilation must be at least 1, "
                f"but got {taps=}, {stride=}, {dilation=}."
            )
        size, reach = x.shape[axis], (taps - 1) * dilation
        out = -(-size // stride) if padding == "SAME" else (size - reach - 1) // stride + 1
        if out < 1:
            raise ValueError(
                f"a VALID window must fit into its input, but spans {reach + 1} of {size} "
                "positions: take a smaller window or SAME padding."
            )
        missing = (out - 1) * stride + reach + 1 - size
        low = max(missing, 0) // 2
        high = missing - low
        return cls(axis=axis, taps=taps, dilation=dilation, stride=stride, low=low, high=high)

    @property
    def reach(self) -> int:
        """From the first tap to the last."""
        return (self.taps - 1) * self.dilation

    def outputs(self, size: int) -> int:
        """How many outputs there are over `size` values."""
        spread = size + (size - 1) * self.between
        return (spread + self.low + self.high - self.reach - 1) // self.stride + 1

    def transpose(self) -> Self:
        """The sweep of the gradient: its tap i gives back what tap `taps - 1 - i` took."""
        return type(self)(
            axis=self.axis,
            taps=self.taps,
            dilation=self.dilation,
            stride=1,
            low=self.reach - self.low,
            high=self.reach - self.high,
            between=self.stride - 1,
        )

    def take(self, x: jax.Array, tap: int) -> jax.Array:
        """What one tap reads, one value for each output."""
        before = tap * self.dilation
        x = self._pad(x, self.low - before, self.high - self.reach + before)
        return lax.slice_in_dim(x, 0, None, self.stride, self.axis)

    def takes(self, x: jax.Array) -> list[jax.Array]:
        """`take` for every tap."""
        return [self.take(x, tap) for tap in range(self.taps)]

    def pad(self, x: jax.Array) -> jax.Array:
        """x among its zeros, of which every tap reads a slice."""
        return self._pad(x, self.low, self.high)

    def slices(self, padded: jax.Array) -> list[jax.Array]:
        """The same as `takes`, from a padded copy."""
        last = padded.shape[self.axis] - self.reach
        starts = [tap * self.dilation for tap in range(self.taps)]
        return [
            lax.slice_in_dim(padded, start, last + start, self.stride, self.axis)
            for start in starts
        ]

    def _pad(self, x: jax.Array, low: int, high: int) -> jax.Array:
        config = [(0, 0, 0)] * x.ndim
        config[self.axis] = (low, high, self.between)
        return lax.pad(x, jnp.zeros((), x.dtype), config)


def total(parts: Iterable[jax.Array]) -> jax.Array:
    """The sum, without the zero that `sum` starts from."""
    return reduce(add, parts)
