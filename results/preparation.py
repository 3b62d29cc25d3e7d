"""Pictures as people have them, made to look like those that a network learned from.

One way for all: `predict` reads files through it, and the drawing page what was drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.train.look import Look, thickness

if TYPE_CHECKING:
    from PIL.Image import Image

COARSE = 1_024  # pixels across, to which a large JPEG may be opened

_WORKING_SIDE = 256  # pixels: enough for what becomes 28, and soon done
_SMALLEST_SIDE = 80  # pixels: smaller pictures are enlarged first
_FITTED_SIDE = 48  # pixels, of these for the background
_BEARS_A_CURVE = 0.6  # share of the points that lie on the paper
_SPECK = 0.02  # of the largest piece of ink: smaller pieces are dirt
_FAINT = 0.05  # contrast: below that a picture shows nothing
_THIN = 0.7  # of the strokes that were learned: thinner ones are made thicker


class BlankPictureError(UsageError):
    """Nothing in a picture stands out from its background."""


def prepare(picture: Image, shape: tuple[int, int, int], look: Look | None) -> np.ndarray:
    """uint8 (h, w, c) of that shape, as the network would have met the picture in training.

    With a `look` the ink is found, whatever its polarity, size and place, and whatever the light on
    the paper; without one, the middle of the picture fills the frame. A picture of that very shape
    with ink on the right background stays as it is. Raises BlankPictureError
    where nothing stands out from the background.
    """
    if look is None:
        return _filling(picture, shape)
    height, width, _ = shape
    if picture.size == (width, height) and _is_as_learned(picture, look):
        return np.asarray(picture.convert("L"))[:, :, None]
    ink = _ink(_grey(picture))
    ink = _thickened(_cropped(ink), look)
    scale = look.extent * min(height / ink.shape[0], width / ink.shape[1])
    small = _scaled(ink, scale)
    small *= 255 / max(small.max(), 1e-9)
    levels = _placed(small, (height, width), look)
    levels = levels if look.light else 255 - levels
    return levels.round().astype(np.uint8)[:, :, None]


def _is_as_learned(picture: Image, look: Look) -> bool:
    levels = np.asarray(picture.convert("L"))
    sides = np.concatenate([levels[:, 0], levels[:, -1]])  # of digits that fill it in height
    paper, ink = (0, levels.max()) if look.light else (255, levels.min())
    return bool(np.median(sides) == paper and abs(int(ink) - paper) > 128)


def _filling(picture: Image, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    height, width, channels = shape
    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.BOX)
    levels = np.asarray(fitted.convert("L" if channels == 1 else "RGB"))
    return levels.reshape(height, width, -1)


def _grey(picture: Image) -> np.ndarray:
    """Levels from 0 to 1 (h, w), at a size to work at."""
    from PIL import Image

    grey = picture.convert("L")
    if (side := max(grey.size)) < _SMALLEST_SIDE:  # so that edges lie between its pixels
        times = -(-_SMALLEST_SIDE // side)
        grey = grey.resize((times * grey.width, times * grey.height), Image.Resampling.BICUBIC)
    grey.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BOX)
    return np.asarray(grey, np.float64) / 255


def _ink(grey: np.ndarray) -> np.ndarray:
    """How much ink is where (h, w), from 0 to 1: whatever stands out from the background."""
    from scipy import ndimage

    apart = grey - _background(grey)
    # Ink covers less than its background, so it makes the longer tail.
    apart = apart if (apart * apart * apart).sum() >= 0 else -apart  # `**` takes 50 times as long
    contrast = ndimage.uniform_filter(apart, 3).max()  # of more than a grain of noise
    if contrast < _FAINT:
        raise BlankPictureError(
            "nothing in the picture stands out from its background: draw with more contrast."
        )
    level = _between(apart[apart > contrast / 8])
    pieces, count = cast(tuple[np.ndarray, int], ndimage.label(apart > level, np.ones((3, 3))))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = (sizes >= _SPECK * sizes.max())[pieces] & (pieces > 0)
    near = ndimage.binary_dilation(kept, np.ones((3, 3)))  # with its soft edge
    full = np.quantile(apart[kept], 0.75)
    return np.where(near, np.clip(apart / full, 0, 1), 0)


def _background(grey: np.ndarray) -> np.ndarray:
    """The paper under the ink: a surface of at most the second degree through what is close to it.

    It begins at the level that is most frequent, above all along the border, and grows from there.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in grey.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y])
    step = 1 + max(grey.shape) // _FITTED_SIDE  # fewer points give the same surface
    values = grey[::step, ::step].ravel()
    points = terms[:, ::step, ::step].reshape(len(terms), -1).T
    at_border = np.abs(points[:, 1:3]).max(1) > 0.8
    counts, edges = np.histogram(values, 32, (0, 1), weights=np.where(at_border, 3, 1))
    level = edges[np.convolve(counts, [1, 2, 1], "same").argmax()] + 1 / 64
    solution = np.array([level, *np.zeros(len(terms) - 1)])
    close = np.abs(values - level) < 0.1
    for used in (3, 3, 3, 6, 6, 6):
        # Too few points bear no curve: it would follow the ink.
        used = used if close.mean() > _BEARS_A_CURVE else 3
        if close.sum() < 2 * used:
            break
        solution = np.zeros(len(terms))
        # Normal equations take well under a tenth of the time, and are well posed for these terms.
        known = points[close, :used]
        solution[:used], *_ = np.linalg.lstsq(known.T @ known, known.T @ values[close], rcond=None)
        apart = np.abs(values - points @ solution)
        close = apart <= max(4 * np.median(apart[close]), 0.03)
    return np.tensordot(solution, terms, 1)


def _between(values: np.ndarray) -> float:
    """The level that parts values into two groups best (Otsu, IEEE Trans. SMC 9, 62-66, 1979)."""
    if np.ptp(values) < 1e-6:
        return float(values[0]) / 2
    counts, edges = np.histogram(values, 64)
    middles = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(apart[:-1])])


def _cropped(ink: np.ndarray) -> np.ndarray:
    rows, columns = (np.flatnonzero((ink > 0.5).any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thickened(ink: np.ndarray, look: Look) -> np.ndarray:
    """Lines much thinner than those that were learned would fade when scaled down."""
    from scipy import ndimage

    missing = _THIN * look.stroke * max(ink.shape) - thickness(ink > 0.5)
    if missing < 1:
        return ink
    reach = int(np.ceil(missing / 2))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return ndimage.grey_dilation(np.pad(ink, reach), footprint=x * x + y * y <= reach * reach + 1)


def _scaled(ink: np.ndarray, scale: float) -> np.ndarray:
    from PIL import Image

    height, width = (max(1, round(side * scale)) for side in ink.shape)
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(ink.astype(np.float32)).resize((width, height), way))


def _placed(small: np.ndarray, size: tuple[int, int], look: Look) -> np.ndarray:
    """The ink in an empty picture, its mass or its box in the middle, and nothing cut off."""
    frame = np.zeros(size)
    starts = []
    for axis, (whole, part) in enumerate(zip(size, small.shape, strict=True)):
        middle = (part - 1) / 2
        if look.centre == "mass":
            middle = small.sum(1 - axis) @ np.arange(part) / small.sum()
        start = round((whole - 1) / 2 - middle, 4)  # symmetric ink makes ties of it
        starts.append(int(np.clip(round(start), 0, whole - part)))
    (top, left), (height, width) = starts, small.shape
    frame[top : top + height, left : left + width] = small
    return frame
