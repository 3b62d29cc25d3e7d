"""How the pictures of a data set show their subject: what other pictures must be made to look like.

Shapes: n pictures, h x w pixels, c channels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from pennyweight.arch.errors import UsageError, shown

Centre = Literal["mass", "box"]

_LOOKED_AT = 2_000  # pictures: their medians change little after that
_PLAIN = 0.6  # share of a picture's border that must be of the background's level
_CONTRAST = 64  # levels from the background on which a pixel is ink


@dataclass(frozen=True, kw_only=True)
class Look:
    """Ink on a plain background, as MNIST has it: its polarity, size and place."""

    light: bool  # whether the ink is lighter than the background
    extent: float  # the longer side of the ink's box, as a share of the picture's
    centre: Centre  # whether the ink's mass or its box lies in the middle
    stroke: float  # how thick the ink is, as a share of the longer side of its box

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> Self:
        """Raises UsageError for what is no look."""
        with contextlib.suppress(TypeError):  # a field of another name or type
            look = cls(**description)
            known = type(look.light) is bool and look.centre in get_args(Centre)
            if known and 0 < look.extent <= 1 and 0 < look.stroke <= 1:
                return look
        raise UsageError(
            "How a network's pictures look must be light, extent, centre and stroke, but got "
            f"{shown(description)}."
        )


def look_of(images_nhwc: np.ndarray) -> Look | None:
    """The look of uint8 pictures; None for colours, and where the background is not plain.

    >>> stroke = np.zeros((1, 20, 20, 1), np.uint8)
    >>> stroke[:, 5:15, 8:12] = 255
    >>> look_of(stroke)
    Look(light=True, extent=0.5, centre='mass', stroke=0.2857)
    """
    if images_nhwc.shape[3] != 1:
        return None
    step = max(1, len(images_nhwc) // _LOOKED_AT)
    pictures = images_nhwc[::step, ..., 0].astype(np.float64)
    edges = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])
    border = np.concatenate(edges, axis=1)
    background = np.median(border)
    if (np.abs(border - background) < _CONTRAST / 2).mean() < _PLAIN:
        return None
    ink = pictures - background
    light = bool(ink.sum() > 0)
    found = [_measured(np.maximum(one if light else -one, 0)) for one in ink]
    measured = np.array([each for each in found if each is not None])
    if not len(measured):
        return None
    extent, stroke = np.median(measured[:, :2], axis=0)
    by_mass, by_box = measured[:, 2:4].var(axis=0).sum(), measured[:, 4:].var(axis=0).sum()
    return Look(
        light=light,
        extent=round(float(extent), 4),
        centre="mass" if by_mass <= by_box else "box",
        stroke=round(float(stroke), 4),
    )


def thickness(ink_hw: np.ndarray) -> float:
    """How thick the lines of a mask (h, w) are, in pixels: twice the area by the outline."""
    padded = np.pad(ink_hw, 1).astype(np.int8)
    outline = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    return 2 * np.count_nonzero(ink_hw) / outline if outline else 0.0


def _measured(ink_hw: np.ndarray) -> tuple[float, ...] | None:
    """Of one picture: extent, stroke, and the middle of its ink by mass and by box."""
    mask = ink_hw > _CONTRAST
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    whole = ink_hw.sum()
    mass = [(ink_hw.sum(1 - axis) @ np.arange(ink_hw.shape[axis])) / whole for axis in (0, 1)]
    box = [(line[0] + line[-1]) / 2 for line in (rows, columns)]
    extent = max(height / ink_hw.shape[0], width / ink_hw.shape[1])
    return extent, thickness(mask) / max(height, width), *mass, *box
