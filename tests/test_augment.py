"""Pictures are turned, sheared, scaled and shifted as a reference does it, and within bounds."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convolutions import taking
from scipy import ndimage, stats
from training import STILL, quickly

from pennyweight.train.augment import Affine, draw_affine, warp
from pennyweight.train.recipe import Recipe

pytestmark = pytest.mark.usefixtures("strict_dtypes")

DRAWS = 4_096

Read = Callable[[np.ndarray, Affine], jax.Array]


@pytest.fixture(params=["whole", "in C"])
def read(request: pytest.FixtureRequest) -> Iterator[Read]:
    """`warp` of pictures that lie the other way round."""
    program = quickly(lambda *given: warp(*given))  # not what another form has compiled

    def read(images: np.ndarray, affine: Affine) -> jax.Array:
        order = np.arange(len(images), dtype=np.int32)[::-1]
        return program(images[::-1], order, affine)

    with taking(request.param):
        yield read


def draw(seed: int, count: int, **chosen: float) -> Affine:
    """Changes of `count` pictures, of strength 0 unless `chosen`."""
    return draw_affine(np.random.default_rng(seed), (count,), Recipe(**{**STILL, **chosen}))


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(1, 256, shape, np.uint8)


def same_for_all(matrix: list[list[float]], shift: list[float], n: int) -> Affine:
    return Affine(jnp.tile(jnp.float32(matrix), (n, 1, 1)), jnp.tile(jnp.float32(shift), (n, 1)))


def drawn(seed: int = 0, **chosen: float) -> tuple[np.ndarray, np.ndarray]:
    """(matrices, shifts) of many pictures."""
    affine = draw(seed, DRAWS, **chosen)
    return np.asarray(affine.matrix), np.asarray(affine.shift)


IDENTITY = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("shape", [(3, 4, 6, 2), (2, 5, 5, 1), (1, 1, 1, 3), (2, 28, 28, 1)])
def test_without_strength_pictures_stay_exactly_as_they_are(
    read: Read, shape: tuple[int, ...]
) -> None:
    images = random_images(*shape)
    affine = draw(1, shape[0])
    np.testing.assert_array_equal(read(images, affine), images)


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, -2), (-3, 1), (4, 0), (0, 6), (9, 9)])
def test_a_shift_by_whole_pixels_moves_pixels_and_brings_in_zeros(
    read: Read, down: int, right: int
) -> None:
    h, w = 4, 6
    images = random_images(2, h, w, 2)
    wanted = np.zeros_like(images)
    for y in range(h):
        for x in range(w):
            if 0 <= y + down < h and 0 <= x + right < w:
                wanted[:, y, x] = images[:, y + down, x + right]
    affine = same_for_all(IDENTITY, [down / h, right / w], 2)
    np.testing.assert_allclose(read(images, affine), wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_by_quarters_is_that_of_numpy(read: Read, side: int, quarters: int) -> None:
    images = random_images(3, side, side, 2)
    cosine, sine = [(0, 1), (-1, 0), (0, -1)][quarters - 1]
    affine = same_for_all([[cosine, -sine], [sine, cosine]], [0, 0], 3)
    wanted = np.rot90(images, -quarters, axes=(1, 2))
    np.testing.assert_array_equal(read(images, affine), wanted)


@pytest.mark.parametrize("shape", [(60, 7, 5, 2), (60, 8, 8, 1)])
def test_any_affine_reads_what_scipy_reads(read: Read, shape: tuple[int, ...]) -> None:
    """Among them some far outside, some that shrink a picture to nothing, and some that blow up."""
    n, h, w, c = shape
    random = np.random.default_rng(0)
    images = random_images(*shape)
    size = np.exp(random.uniform(-3, 3, n))
    matrix = (random.normal(size=(n, 2, 2)) * size[:, None, None]).astype(np.float32)
    shift = (random.normal(size=(n, 2)) * np.exp(random.uniform(-4, 3, (n, 1)))).astype(np.float32)
    found = read(images, Affine(jnp.asarray(matrix), jnp.asarray(shift)))
    centre = np.array([(h - 1) / 2, (w - 1) / 2])
    inside = 0
    for i in range(n):
        m = matrix[i].astype(np.float64)
        offset = centre + shift[i] * (h, w) - m @ centre
        for k in range(c):
            wanted = ndimage.affine_transform(
                images[i, :, :, k].astype(np.float64), m, offset, order=1, mode="grid-constant"
            )
            inside += np.count_nonzero(wanted)
            # Positions are rounded to float32: by up to 2e-6 of a side, times 255 a pixel.
            np.testing.assert_allclose(found[i, :, :, k], wanted, atol=0.05)
    assert 0.1 < inside / images.size < 0.9


def test_in_double_precision_both_forms_read_the_same() -> None:
    images = random_images(20, 19, 35, 3)
    affine = draw(3, 20, rotation=180, shear=40, scale=0.6, shift=0.4)
    order = np.random.default_rng(0).integers(0, 20, 50).astype(np.int32)
    found = []
    with jax.enable_x64(True):
        exact = Affine(*(np.asarray(each, np.float64)[order] for each in affine))
        for form in ("whole", "in C"):
            with taking(form):
                found.append(quickly(lambda *given: warp(*given))(images, order, exact))
    assert found[0].dtype == np.float64
    np.testing.assert_allclose(*found, rtol=0, atol=1e-10)
    assert np.abs(found[0]).max() > 100


def test_what_lies_outside_is_black(read: Read) -> None:
    images = np.full((2, 6, 6, 1), 255, np.uint8)
    far = read(images, same_for_all(IDENTITY, [0, 3], 2))
    np.testing.assert_array_equal(far, np.zeros((2, 6, 6, 1)))
    # Shrunk to half its sides, a white picture keeps a quarter of its mass.
    small = read(images, same_for_all([[2.0, 0.0], [0.0, 2.0]], [0, 0], 2))
    np.testing.assert_allclose(small.sum((1, 2, 3)), np.full(2, 255 * 9), rtol=1e-6)


def test_a_picture_is_changed_by_its_own_map_alone(read: Read) -> None:
    images = random_images(5, 6, 6, 1)
    affine = draw(2, 5, rotation=60, scale=0.3, shift=0.2)
    together = np.asarray(read(images, affine))
    others = np.where(np.arange(5) == 3, 1, 2).astype(np.uint8)
    changed = Affine(affine.matrix * others[:, None, None], affine.shift * others[:, None])
    apart = np.asarray(read(images // others[:, None, None, None], changed))
    np.testing.assert_array_equal((together == apart).all((1, 2, 3)), np.arange(5) == 3)
    assert len(np.unique(affine.matrix[:, 0, 0])) == 5


def assert_uniform(values: np.ndarray, most: float) -> None:
    """Within `most` either way, and as an even draw: a false alarm once in 1,000 keys."""
    assert np.abs(values).max() <= most * (1 + 1e-6)
    assert stats.kstest(values / most, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_rotation_is_an_even_draw_of_angles_and_keeps_lengths() -> None:
    matrix, shift = drawn(rotation=17)
    np.testing.assert_allclose(
        matrix @ matrix.swapaxes(1, 2), np.tile(np.eye(2), (DRAWS, 1, 1)), atol=1e-6
    )
    assert_uniform(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]), np.deg2rad(17))
    assert not shift.any()


def test_shear_is_an_even_draw_of_angles_and_keeps_areas() -> None:
    matrix, shift = drawn(shear=28)
    np.testing.assert_array_equal(matrix[:, 0], np.tile([1, 0], (DRAWS, 1)))
    np.testing.assert_array_equal(matrix[:, 1, 1], 1)
    assert_uniform(np.arctan(matrix[:, 1, 0]), np.deg2rad(28))
    assert not shift.any()


def test_scale_is_an_even_draw_of_sizes() -> None:
    matrix, shift = drawn(scale=0.9)
    np.testing.assert_array_equal(matrix[:, 0, 0], matrix[:, 1, 1])
    assert not matrix[:, [0, 1], [1, 0]].any()
    assert_uniform(1 / matrix[:, 0, 0].astype(np.float64) - 1, 0.9)
    assert not shift.any()


def test_shift_is_an_even_draw_in_both_directions() -> None:
    matrix, shift = drawn(shift=0.07)
    np.testing.assert_array_equal(matrix, np.tile(np.eye(2), (DRAWS, 1, 1)))
    assert_uniform(shift[:, 0], 0.07)
    assert_uniform(shift[:, 1], 0.07)


def test_the_changes_of_a_picture_are_drawn_independently() -> None:
    matrix, shift = drawn(rotation=17, shear=17, scale=0.3, shift=0.1)
    angle = np.arctan2(-matrix[:, 0, 1], matrix[:, 1, 1])
    zoom = np.hypot(matrix[:, 0, 1], matrix[:, 1, 1])
    slope = (matrix[:, :, 0] * matrix[:, :, 1]).sum(1) / zoom**2
    together = np.corrcoef([angle, zoom, slope, shift[:, 0], shift[:, 1]])
    assert np.abs(together - np.eye(5)).max() < 5 / np.sqrt(DRAWS)
    assert np.abs(angle).max() <= np.deg2rad(17) * (1 + 1e-5)
    assert np.abs(1 / zoom - 1).max() <= 0.3 * (1 + 1e-5)
    assert np.abs(np.arctan(slope)).max() <= np.deg2rad(17) * (1 + 1e-5)


def test_draws_follow_from_the_seed() -> None:
    (first, _), (again, _), (other, _) = drawn(rotation=1), drawn(rotation=1), drawn(1, rotation=1)
    np.testing.assert_array_equal(first, again)
    assert not np.isin(other, first).all()
