"""The page's JavaScript makes of a drawing what preparation.py makes of it."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawing_pages import SIDE, png
from handwriting import fifty
from javascript import needs_node, run
from PIL import Image, ImageDraw

from pennyweight.results.preparation import prepare
from pennyweight.train.look import Look

pytestmark = needs_node

MNIST = Look(light=True, extent=0.7143, centre="mass", stroke=0.1161)
DIGITS_8X8 = Look(light=True, extent=1.0, centre="box", stroke=0.1812)
WAYS = {
    "mnist": ((28, 28, 1), MNIST),
    "digits": ((8, 8, 1), DIGITS_8X8),
    "dark": ((20, 31, 1), replace(MNIST, light=False, extent=0.5, centre="box")),
    "large": ((300, 280, 1), replace(MNIST, extent=0.9)),
    "no look": ((28, 28, 1), None),
    "colours": ((32, 20, 3), None),
}
PREPARED = """
console.log(JSON.stringify(argument.map(({ grey, side, shape, look }) => {
  const levels = prepare(Uint8Array.from(grey), side, shape, look);
  return levels && [...levels];
})));
"""


def pictures() -> list[Image.Image]:
    return [Image.open(io.BytesIO(png(one.strokes, one.pen))) for one in fifty()]


def prepared(drawings: list[Image.Image], way: str) -> list[Any]:
    shape, look = WAYS[way]
    return run(
        ["preparation.js"],
        PREPARED,
        [
            {
                "grey": np.asarray(drawing).ravel().tolist(),
                "side": SIDE,
                "shape": shape,
                "look": look and look.to_json(),
            }
            for drawing in drawings
        ],
    )


@pytest.mark.parametrize("way", WAYS)
def test_handwriting_looks_the_same_to_a_level(way: str) -> None:
    shape, look = WAYS[way]
    apart = []
    for drawing, levels in zip(pictures(), prepared(pictures(), way), strict=True):
        wanted = prepare(drawing.convert("RGB"), shape, look).astype(int)
        apart.append(np.abs(np.reshape(levels, shape) - wanted))
    assert np.max(apart) <= 1
    assert np.mean(apart) < 0.01


def sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("L", (SIDE, SIDE), 255)
    return picture, ImageDraw.Draw(picture)


@pytest.mark.parametrize("way", WAYS)
def test_so_do_drawings_at_the_edge(way: str) -> None:
    """A dot, a line along a side, ink in the corners, a large digit with a dot and with a speck."""
    drawings = []
    for strokes in (
        [[(90, 90, 94, 94)]],
        [[(0, 0, SIDE, 5)]],
        [[(0, 0, 8, 8)], [(180, 180, 191, 191)], [(0, 185, 4, 191)]],
        [[(30, 60, 60, 180)], [(40, 20, 55, 35)]],
        [[(30, 10, 160, 180)], [(180, 5, 182, 7)]],
    ):
        picture, pen = sheet()
        for (box,) in strokes:
            pen.ellipse(box, fill=0)
        drawings.append(picture)
    shape, look = WAYS[way]
    for drawing, levels in zip(drawings, prepared(drawings, way), strict=True):
        wanted = prepare(drawing.convert("RGB"), shape, look).astype(int)
        assert np.abs(np.reshape(levels, shape) - wanted).max() <= 1


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_sheet_shows_nothing(way: str) -> None:
    assert prepared([sheet()[0]], way) == [None]
