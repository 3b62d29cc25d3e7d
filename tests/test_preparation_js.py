"""The page's JavaScript makes of a drawing what preparation.py makes of it."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawing_pages import SIDE, png
from handwriting import Drawn, fifty
from javascript import needs_node, run
from PIL import Image

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
    print(way, np.mean(apart), np.max(apart), [round(a.mean(), 2) for a in apart])
