"""Pictures as people have them are made to look like those that a network learned from."""

import contextlib
import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typeset import DIGITS, SIDE, WAYS, digit, saved

from pennyweight.arch.errors import UsageError
from pennyweight.results.preparation import prepare
from pennyweight.train.data import load_training_set
from pennyweight.train.look import Look, look_of
from pennyweight.train.picture_file import open_picture

MNIST = Look(light=True, extent=0.7143, centre="mass", stroke=0.1156)
DIGITS_8X8 = Look(light=True, extent=1.0, centre="box", stroke=0.1812)
SHAPE = (28, 28, 1)


def seen(content: bytes, look: Look | None = MNIST) -> np.ndarray:
    return prepare(open_picture(content, "a.png"), SHAPE, look)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The best correlation where one may lie a pixel aside: mass is centred to whole pixels."""
    moved = [np.roll(one, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(np.corrcoef(each.ravel(), other.ravel())[0, 1] for each in moved)


@pytest.mark.parametrize("way", WAYS)
def test_a_digit_looks_alike_however_its_file_has_it(way: str) -> None:
    for number in range(10):
        alike = likeness(seen(saved(digit(number, 0))), seen(WAYS[way](digit(number, 0))))
        assert alike > (0.8 if way == "tiny" else 0.85), (way, number, alike)


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("centre", ["mass", "box"])
def test_what_is_seen_has_the_look_that_was_asked_for(light: bool, centre: str) -> None:
    look = Look(light=light, extent=0.6, centre=centre, stroke=0.1)  # type: ignore[arg-type]
    images = np.stack([seen(WAYS["off_centre"](digit(*which)), look) for which in DIGITS])
    found = look_of(images)
    assert found is not None
    assert found.light == light
    assert found.extent == pytest.approx(0.6, abs=1.5 / 28)
    assert found.centre == centre


def test_a_subject_that_fills_the_frame_fills_it_again() -> None:
    images = np.stack([seen(saved(digit(*which)), DIGITS_8X8) for which in DIGITS])
    assert images.shape == (len(DIGITS), *SHAPE)
    found = look_of(images)
    assert found is not None
    assert found.extent == 1


def test_thin_lines_are_made_thick_enough_to_be_seen() -> None:
    thin = Image.new("L", (SIDE, SIDE), 255)
    for place in range(40, 160):
        thin.putpixel((place, place), 0)
    assert (seen(saved(thin)) > 128).sum() >= 20


@pytest.mark.parametrize("light", [True, False])
def test_a_picture_as_they_were_learned_from_stays_as_it_is(light: bool) -> None:
    images = load_training_set("digits").images[:200]
    images = images if light else 255 - images
    look = replace(DIGITS_8X8, light=light)
    pictures = [Image.fromarray(image[..., 0]) for image in images]
    same = [(prepare(p, (8, 8, 1), look) == i).all() for p, i in zip(pictures, images, strict=True)]
    assert np.mean(same) > 0.95  # not those whose ink reaches both sides
    turned = prepare(Image.fromarray(255 - images[0, ..., 0]), (8, 8, 1), look)
    assert np.corrcoef(turned.ravel(), images[0].ravel())[0, 1] > 0.9


def test_specks_of_dirt_do_not_move_the_digit() -> None:
    dirty = digit(4, 0)
    for place in ((3, 3), (190, 8), (12, 180)):
        dirty.putpixel(place, 255)
    np.testing.assert_array_equal(seen(saved(dirty)), seen(saved(digit(4, 0))))


def test_colours_are_kept_where_a_network_learned_from_colours() -> None:
    picture = Image.new("RGB", (64, 32), (200, 30, 60))
    found = prepare(open_picture(saved(picture), "a.png"), (16, 16, 3), None)
    assert found.shape == (16, 16, 3)
    assert found.reshape(-1, 3).tolist() == [[200, 30, 60]] * 256


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_of_a_file_is_read(mode: str) -> None:
    levels = np.asarray(digit(3, 0))
    if mode == "I;16":
        picture = Image.fromarray(levels.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(levels).convert(mode)
    form = "TIFF" if mode in ("CMYK", "F", "I") else "PNG"
    found = seen(saved(picture, form)).astype(float).ravel()
    plain = seen(saved(digit(3, 0))).astype(float).ravel()
    assert np.corrcoef(plain, found)[0, 1] > 0.98


@given(st.binary(max_size=300))
def test_bytes_that_are_no_picture_are_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"is empty|is no picture|is a damaged picture"):
        open_picture(content, "a.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_torn_file_is_refused_or_still_a_picture(form: str) -> None:
    whole = saved(digit(8, 1), form)
    for end in range(1, len(whole), max(1, len(whole) // 60)):
        with contextlib.suppress(UsageError):  # and nothing else
            assert open_picture(whole[:end], "a.png").mode in ("L", "RGB")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(UsageError, match=r"^a.png has more pixels than 100,000,000"):
        open_picture(bomb(60_000, 60_000), "a.png")
    with pytest.raises(UsageError, match=r"^a.png has 12000x9000 pixels, and 100,000,000 are"):
        open_picture(bomb(12_000, 9_000), "a.png")


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_shows_nothing(level: int) -> None:
    with pytest.raises(UsageError, match=r"^nothing in the picture stands out .* more contrast"):
        seen(saved(Image.new("L", (80, 60), level)))


def test_paper_alone_shows_nothing() -> None:
    y, x = np.mgrid[0:1:90j, 0:1:120j]
    paper = 220 - 60 * x - 30 * y + np.random.default_rng(0).normal(0, 1.5, x.shape)
    with pytest.raises(UsageError, match="nothing in the picture stands out"):
        seen(saved(Image.fromarray(paper.astype(np.uint8))))


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_no_picture_is_too_small_to_be_looked_at(
    width: int, height: int, data: st.DataObject
) -> None:
    size = width * height
    levels = data.draw(st.lists(st.integers(0, 255), min_size=size, max_size=size))
    content = io.BytesIO()
    picture = Image.fromarray(np.array(levels, np.uint8).reshape(height, width))
    picture.save(content, "PNG")
    with contextlib.suppress(UsageError):  # where nothing stands out
        assert seen(content.getvalue()).shape == SHAPE
