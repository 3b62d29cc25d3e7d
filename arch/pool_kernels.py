"""Windows that sweep over pictures, and pooling with them.

Pictures are batch-last, `chwn`: channels, height, width, batch. On a CPU, XLA's windowed reduction
and its gradient take ten times as long as arithmetic on slices, one for each tap of the window.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Literal, Self, cast

import jax
import jax.numpy as jnp
from jax import lax

from pennyweight.arch.maps import Maps, each

Padding = Literal["SAME", "VALID"]


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


def max_pool(maps: Maps, window: int, stride: int) -> Maps:
    """The largest value of each window that fits into the picture.

    What is pending stays so, done later to fewer values: a rising map keeps the largest the
    largest, and for a falling one (a negative scale) the smallest is taken. A learned slope is
    settled first: a negative one makes the activation neither rising nor falling. The gradient goes
    to the first of equal values in reading order, as in `lax.reduce_window`.
    """
    if maps.pending.slope is not None:
        maps = Maps(maps.settled())
    values, turn = maps.values, None
    if (affine := maps.pending.affine) is not None:
        turn = each(jnp.where(affine.scale < 0, -1, 1).astype(values.dtype), values.ndim)
    sweeps = [
        Sweep.over(values, axis, taps=window, stride=stride, padding="VALID") for axis in (1, 2)
    ]
    if window == stride <= 3:  # one pass; for larger tiles, two passes take fewer taps
        down, across = (sweep.outputs(values.shape[sweep.axis]) * window for sweep in sweeps)
        values = cast(jax.Array, _max_of_tiles(window, values[:, :down, :across], turn))
        return Maps(values, pending=maps.pending)
    # The first column of each row, then the first of the rows: reading order, with 2 * window taps.
    for sweep in reversed(sweeps):
        values = cast(jax.Array, _max_along(sweep, values, turn))
    return Maps(values, pending=maps.pending)


def avg_pool(x_chwn: jax.Array, window: int, stride: int) -> jax.Array:
    """The mean of each window that fits into the picture."""
    for axis in (2, 1):
        sweep = Sweep.over(x_chwn, axis, taps=window, stride=stride, padding="VALID")
        x_chwn = total(sweep.takes(x_chwn))
    return x_chwn / window**2


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_of_tiles(side: int, x: jax.Array, turn: jax.Array | None) -> jax.Array:
    """The largest of each square tile; where `turn` is -1, by channel, the smallest."""
    return _max_of_tiles_forward(side, x, turn)[0]


def _max_of_tiles_forward(
    side: int, x: jax.Array, turn: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    x = x if turn is None else x * turn
    places = [(row, column) for row in range(side) for column in range(side)]
    taps = [lax.slice(x, (0, *place, 0), x.shape, (1, side, side, 1)) for place in places]
    largest, which = _largest(taps)
    return largest if turn is None else largest * turn, which


def _max_of_tiles_backward(side: int, which: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    # Every value of a tile at once: one pass, where a sum over taps writes each by itself first.
    place = jnp.arange(side**2, dtype=which.dtype).reshape(1, 1, side, 1, side, 1)
    tiles = jnp.where(which[:, :, None, :, None] == place, g[:, :, None, :, None], 0)
    c, down, across, n = g.shape
    return tiles.reshape(c, down * side, across * side, n), None


_max_of_tiles.defvjp(_max_of_tiles_forward, _max_of_tiles_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_along(sweep: Sweep, x: jax.Array, turn: jax.Array | None) -> jax.Array:
    """The largest along an axis; where `turn` is -1, by channel, the smallest."""
    if turn is None:
        return reduce(jnp.maximum, sweep.takes(x))
    return reduce(jnp.maximum, sweep.takes(x * turn)) * turn


def _max_along_forward(
    sweep: Sweep, x: jax.Array, turn: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    largest, which = _largest(sweep.takes(x if turn is None else x * turn))
    return largest if turn is None else largest * turn, which


def _max_along_backward(sweep: Sweep, which: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    back = sweep.transpose()
    parts = [jnp.where(which == tap, g, 0) for tap in range(sweep.taps)]
    return total(back.take(part, sweep.taps - 1 - tap) for tap, part in enumerate(parts)), None


_max_along.defvjp(_max_along_forward, _max_along_backward)


def _largest(taps: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The largest of values, and the number of the first that is.

    A gradient needs the number alone. To compare values again would be unsafe: computed twice, they
    can differ in their last bit, and then none is the largest.
    """
    largest, which = taps[0], jnp.zeros(taps[0].shape, jnp.uint16)
    for tap, value in enumerate(taps[1:], 1):
        which = jnp.where(value > largest, jnp.uint16(tap), which)
        largest = jnp.maximum(largest, value)
    return largest, which
