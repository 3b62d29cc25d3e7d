"""Pooling with windows that sweep over pictures.

Pictures are batch-last, `chwn`: channels, height, width, batch. On a CPU, XLA's windowed reduction
and its gradient take ten times as long as arithmetic on slices, one for each tap of the window.
"""

from functools import partial, reduce
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax

from pennyweight.arch import native_pool
from pennyweight.arch.maps import Maps
from pennyweight.arch.pending import each
from pennyweight.arch.sweep import COLUMNS, ROWS, Sweep, total


def max_pool(maps: Maps, window: int, stride: int) -> Maps:
    """The largest value of each window that fits into the picture.

    What is pending stays so, done later to fewer values: a rising map keeps the largest the
    largest, and for a falling one (a negative scale) the smallest is taken. A learned slope is
    settled: a negative one makes the activation neither rising nor falling. The gradient goes to
    the first of equal values in reading order, as in `lax.reduce_window`.
    """
    rows, columns = _sweeps(maps.values, window, stride)
    if native_pool.computes(maps.values) and window**2 <= native_pool.MOST_PLACES:
        pooled = partial(
            native_pool.pooled, x=maps.values, pending=maps.pending, rows=rows, columns=columns
        )
        if maps.pending.slope is not None:
            return Maps(pooled("max"))
        return Maps(pooled("largest"), pending=maps.pending)
    maps = maps.together()
    if maps.pending.slope is not None:
        maps = Maps(maps.settled())
    values, turn = maps.values, None
    if (affine := maps.pending.affine) is not None:
        turn = each(jnp.where(affine.scale < 0, -1, 1).astype(values.dtype), values.ndim)
    if window == stride <= 3:  # one pass; for larger tiles, two passes take fewer taps
        down, across = (
            sweep.outputs(values.shape[sweep.axis]) * window for sweep in (rows, columns)
        )
        values = cast(jax.Array, _max_of_tiles(window, values[:, :down, :across], turn))
        return Maps(values, pending=maps.pending)
    # The first column of each row, then the first of the rows: reading order, with 2 * window taps.
    for sweep in (columns, rows):
        values = cast(jax.Array, _max_along(sweep, values, turn))
    return Maps(values, pending=maps.pending)


def avg_pool(maps: Maps, window: int, stride: int) -> Maps:
    """The mean of each window that fits into the picture."""
    rows, columns = _sweeps(maps.values, window, stride)
    if native_pool.computes(maps.values):
        return Maps(native_pool.pooled("mean", maps.values, maps.pending, rows, columns))
    return Maps(total(rows.takes(total(columns.takes(maps.settled())))) / window**2)


def global_average(maps: Maps) -> Maps:
    """The mean of each map, as vectors."""
    x = maps.values
    if native_pool.computes(x):
        rows, columns = (_sweep(x, axis, x.shape[axis], 1) for axis in (ROWS, COLUMNS))
        y = native_pool.pooled("mean", x, maps.pending, rows, columns)
    else:
        y = maps.settled().mean((ROWS, COLUMNS))
    return Maps(y.reshape(len(x), -1))


def _sweeps(x: jax.Array, window: int, stride: int) -> tuple[Sweep, Sweep]:
    return _sweep(x, ROWS, window, stride), _sweep(x, COLUMNS, window, stride)


def _sweep(x: jax.Array, axis: int, window: int, stride: int) -> Sweep:
    return Sweep.over(x, axis, taps=window, stride=stride, padding="VALID")


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
