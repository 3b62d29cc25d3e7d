"""Pooling, and settling what is pending, against XLA's own operations, in float64."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import (
    ACTIVATIONS,
    assert_each_alone,
    assert_exact,
    assert_same,
    draw,
    pending_of,
    quickly,
    textbook,
    value_and_gradients,
)
from jax import lax

from pennyweight.arch import pool_kernels
from pennyweight.arch.kernels import statistics
from pennyweight.arch.maps import Maps
from pennyweight.arch.pending import Pending
from pennyweight.arch.portions import portioned, together

pytestmark = [
    pytest.mark.usefixtures("strict_dtypes", "float64", "form"),
    pytest.mark.parametrize("form", ["whole", "in C"], indirect=True),
]
WINDOWS = [(1, 1), (2, 2), (2, 1), (3, 2), (3, 3), (2, 3), (4, 3), (7, 7)]


def max_pool(x: jax.Array, window: int, stride: int) -> jax.Array:
    return pool_kernels.max_pool(Maps(x), window, stride).values


def avg_pool(x: jax.Array, window: int, stride: int) -> jax.Array:
    return pool_kernels.avg_pool(Maps(x), window, stride).values


def xla_pool(x: jax.Array, window: int, stride: int, *, largest: bool) -> jax.Array:
    start, operation = (-np.inf, lax.max) if largest else (0.0, lax.add)
    y = lax.reduce_window(
        x,
        np.asarray(start, x.dtype)[()],
        operation,
        (1, window, window, 1),
        (1, stride, stride, 1),
        "VALID",
    )
    return y if largest else y / window**2


@pytest.mark.parametrize("largest", [True, False], ids=["max", "average"])
@pytest.mark.parametrize(("window", "stride"), WINDOWS)
def test_pooling_and_its_gradient_are_those_of_xla(window: int, stride: int, largest: bool) -> None:
    pool = max_pool if largest else avg_pool
    assert_same(
        partial(pool, window=window, stride=stride),
        partial(xla_pool, window=window, stride=stride, largest=largest),
        draw(2, 9, 8, 3),
    )


@pytest.mark.parametrize("slope", [None, 1.0])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (2, 1), (3, 2), (3, 1), (4, 3)])
def test_the_gradient_of_a_tie_goes_to_the_first_in_reading_order(
    window: int, stride: int, slope: float | None
) -> None:
    pending = Pending() if slope is None else Pending(slope=jnp.asarray(slope))
    ties = jnp.asarray(np.random.default_rng(0).integers(0, 3, (2, 9, 8, 5)), dtype=float)
    assert_same(
        lambda x: pool_kernels.max_pool(Maps(x, pending=pending), window, stride).settled(),
        partial(xla_pool, window=window, stride=stride, largest=True),
        ties,
    )


def test_the_gradient_of_a_window_of_equal_values_is_the_upper_left() -> None:
    gradient = quickly(jax.grad(lambda x: max_pool(x, 2, 2).sum()))(jnp.zeros((1, 4, 4, 1)))
    np.testing.assert_array_equal(
        gradient[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    )


SLOPE = -0.3  # learned ones may fall
SCALES = 1.5, -0.5, 1e-3, -2.0  # a falling map makes the smallest the largest


def pending_arrays(affine: bool) -> list[jax.Array]:
    """A slope, and the rows of an affine map or none."""
    rows = [draw(4, seed=3), jnp.asarray(SCALES), draw(4, seed=4)]
    return [jnp.asarray(SLOPE), *(rows if affine else [])]


POOLS: dict[str, Callable[..., Maps]] = {
    "max": pool_kernels.max_pool,
    "average": pool_kernels.avg_pool,
    "global": lambda maps, window, stride: pool_kernels.global_average(maps),
}


@pytest.mark.parametrize("batch", [3, 16, 37, 96])
@pytest.mark.parametrize("affine", [True, False], ids=["mapped", "as it is"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("pool", "window", "stride"),
    [*((pool, *sizes) for pool in ("max", "average") for sizes in WINDOWS), ("global", 0, 0)],
)
def test_pooling_does_what_is_pending(
    pool: str, window: int, stride: int, activation: str | None, affine: bool, batch: int
) -> None:
    """Of whole vectors of pictures and of a part, of maps with pixels that no window reaches.

    In portions where they can be.
    """

    def ours(x: jax.Array, *settling: jax.Array) -> jax.Array:
        maps = Maps(portioned(x), pending=pending_of(activation, *settling))
        y = POOLS[pool](maps, window, stride).settled()
        return y if pool == "global" else together(y)

    def xlas(x: jax.Array, *settling: jax.Array) -> jax.Array:
        y = textbook(activation, x, *settling)
        if pool == "global":
            return y.mean((1, 2))
        return xla_pool(y, window, stride, largest=pool == "max")

    assert_same(ours, xlas, draw(4, 9, 8, batch), *pending_arrays(affine))


@pytest.mark.parametrize("batch", [3, 16, 37, 96])
@pytest.mark.parametrize("affine", [True, False], ids=["mapped", "as it is"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_settled_is_added_to_another_and_measured(
    activation: str | None, affine: bool, batch: int, form: str
) -> None:
    """With gradients of the input, all that is pending, what is added, and by the statistics."""

    def ours(x: jax.Array, plus: jax.Array, *settling: jax.Array) -> jax.Array:
        maps = Maps(portioned(x), pending=pending_of(activation, *settling))
        measured = maps.measured()
        in_passing = form == "in C" and not maps.pending.nothing
        assert (measured.statistics is not None) == in_passing
        taken = measured.statistics or statistics(measured.values)
        other, whole = Maps(portioned(plus)), Maps(plus)
        sums = maps.added(other), other.added(maps), maps.added(maps), maps.added(whole)
        first, *rest = (together(found.settled()).ravel() for found in (measured, *sums))
        return jnp.concatenate([first, *taken, *rest])

    def xlas(x: jax.Array, plus: jax.Array, *settling: jax.Array) -> jax.Array:
        y = textbook(activation, x, *settling)
        taken = y.mean((1, 2, 3)), y.var((1, 2, 3))
        return jnp.concatenate(
            [y.ravel(), *taken, *((y + other).ravel() for other in (plus, plus, y, plus))]
        )

    x, plus = draw(4, 9, 8, batch) + 3, draw(4, 9, 8, batch, seed=5)
    assert_same(ours, xlas, x, plus, *pending_arrays(affine))


@pytest.mark.parametrize("window", [(2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("slope", [None, 0.2])
def test_what_is_no_number_stays_in_sight(window: tuple[int, int], slope: float | None) -> None:
    """A training that diverged is known by its loss."""
    pending = Pending() if slope is None else Pending(slope=jnp.asarray(slope))
    pool = quickly(lambda x: pool_kernels.max_pool(Maps(x, pending=pending), *window).settled())
    for place in np.ndindex(window[0], window[0]):
        found = pool(draw(1, 8, 8, 2).at[0, place[0], place[1], 1].set(jnp.nan))
        assert np.isnan(found[0, 0, 0, 1])
        assert not np.isnan(found[..., 0]).any()


@pytest.mark.parametrize("what", ["max", "average", "measured", "added"])
def test_in_a_population_each_has_a_slope_of_its_own(what: str) -> None:
    def done(x: jax.Array, slope: jax.Array) -> jax.Array:
        maps = Maps(x, pending=Pending(slope=slope))
        if what == "measured":
            measured = maps.measured()
            mean, var = measured.statistics or statistics(measured.values)
            return measured.values * (mean + var)[:, None, None, None]
        return (maps.added(maps) if what == "added" else POOLS[what](maps, 2, 2)).settled()

    x, slope = draw(3, 2, 8, 6, 5), draw(3, seed=2)
    assert_each_alone(done, x, slope)


@pytest.mark.parametrize("batch", [96, 20 * 64])
def test_a_population_is_put_together_from_its_portions(batch: int) -> None:
    """Few portions and many."""
    x = draw(2, 2, 16, 16, batch)
    assert portioned(x[0]).ndim == 5
    assert_each_alone(lambda x: together(portioned(x)) * x, x)


@pytest.mark.parametrize(("window", "numbered"), [(256, True), (257, False)])
def test_in_c_the_values_of_a_window_are_numbered_or_xla_pools(
    window: int, numbered: bool, form: str
) -> None:
    x = draw(1, 258, 258, 1)
    pooled = partial(max_pool, window=window, stride=1)
    in_c = "pennyweight_pool" in jax.jit(pooled).lower(x).as_text()
    assert in_c == (numbered and form == "in C")
    expected = x[:, :window, :window].max()
    assert quickly(pooled)(x)[0, 0, 0, 0] == expected


@pytest.mark.parametrize("batch", [20, 32])
@pytest.mark.parametrize("pool", POOLS)
def test_float32_stays_float32_and_is_as_exact_as_it_can_be(pool: str, batch: int) -> None:
    x = np.asarray(draw(2, 60, 60, batch), np.float32)

    def pooled(x: jax.Array) -> jax.Array:
        return POOLS[pool](Maps(x, pending=Pending(leak=0.1)), 3, 2).settled()

    with jax.enable_x64(False):
        found = jax.jit(partial(value_and_gradients, pooled))(x)
    exact = jax.jit(partial(value_and_gradients, pooled))(x.astype(np.float64))
    assert_exact(found, exact, 1e-6)


def test_a_pooling_window_larger_than_the_picture_says_why() -> None:
    with pytest.raises(ValueError, match="spans 4 of 3 positions"):
        max_pool(draw(1, 3, 3, 1), 4, 4)
