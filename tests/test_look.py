"""How the pictures of a data set show their subject, measured."""

import numpy as np
import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.train.data import load_training_set
from pennyweight.train.look import Look, look_of, thickness


def squares(side: int, at: list[tuple[int, int]], level: int = 255, paper: int = 0) -> np.ndarray:
    """Pictures of 20x20 pixels, each with one filled square."""
    images = np.full((len(at), 20, 20, 1), paper, np.uint8)
    for image, (top, left) in zip(images, at, strict=True):
        image[top : top + side, left : left + side] = level
    return images


@pytest.mark.parametrize(("level", "paper"), [(255, 0), (0, 255), (30, 190)])
def test_polarity_and_extent_are_those_of_the_ink(level: int, paper: int) -> None:
    found = look_of(squares(8, [(3, 5), (6, 6), (7, 2)], level, paper))
    assert found is not None
    assert found.light == (level > paper)
    assert found.extent == 8 / 20
    assert found.stroke == pytest.approx(2 * 64 / 32 / 8)


def test_what_lies_still_is_the_centre() -> None:
    images = squares(6, [(7, 7)] * 4)
    tails = images.copy()
    for number, tail in enumerate(tails):  # ever longer to the right: the box's middle moves more
        tail[9, 13 : 13 + number] = 255
    assert look_of(tails).centre == "mass"  # type: ignore[union-attr]
    weights = images.copy()
    for number, image in enumerate(weights):  # darker at one side: the box stays
        image[7:13, 7:10] = 255 - 40 * number
    assert look_of(weights).centre == "box"  # type: ignore[union-attr]


def test_the_digits_fill_their_frame_with_light_ink() -> None:
    found = look_of(load_training_set("digits").images)
    assert found is not None
    assert (found.light, found.extent, found.centre) == (True, 1.0, "box")


def test_colours_busy_backgrounds_and_empty_pictures_have_no_look() -> None:
    random = np.random.default_rng(0)
    assert look_of(random.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)) is None
    assert look_of(random.integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)) is None
    assert look_of(np.zeros((5, 16, 16, 1), np.uint8)) is None


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_long_bar_is_as_thick_as_it_is_wide(width: int) -> None:
    mask = np.zeros((200, 20), dtype=bool)
    mask[:, 4 : 4 + width] = True
    assert thickness(mask) == pytest.approx(width, rel=0.03)
    assert thickness(np.zeros((4, 4), dtype=bool)) == 0


def test_a_look_comes_back_from_json_and_nothing_else_does() -> None:
    look = Look(light=True, extent=0.7, centre="mass", stroke=0.1)
    assert Look.from_json(look.to_json()) == look
    for change in ({"extent": 0}, {"extent": "1"}, {"centre": "left"}, {"light": 1}, {"more": 1}):
        with pytest.raises(UsageError, match=r"^How a network's pictures look must be"):
            Look.from_json(look.to_json() | change)
