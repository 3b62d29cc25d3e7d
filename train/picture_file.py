"""A picture in a file of anybody's: opened safely, upright, opaque, and of 8 bits."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_PICTURE_FILE, MOST_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # an MPO is opened as a JPEG

_LOOKED_AT = 256  # pixels across, of what is transparent


def open_picture(
    content: bytes, name: str, *, largest: int = MOST_PIXELS, coarse: int | None = None
) -> Image:
    """The picture in a file's `content`, upright, in shades of grey ("L") or in colour ("RGB").

    What is transparent shows a background that contrasts with what is not. A large JPEG may be
    opened smaller, down to `coarse` pixels across, which takes less time. Raises UsageError for
    what is no picture, is empty, or has more than `largest` pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise UsageError(f"{name} is empty: name a PNG, JPEG or WebP picture.")
    if len(content) > LARGEST_PICTURE_FILE:
        raise UsageError(
            f"{name} has more than {LARGEST_PICTURE_FILE:,} bytes: name a smaller picture."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is stricter than Pillow's warning
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = picture.size
            if width * height > largest:
                raise UsageError(
                    f"{name} has {width}x{height} pixels, and {largest:,} are the most: "
                    "scale it down."
                )
            if coarse:
                picture.draft(None, (coarse, coarse))
            picture.load()
            picture = ImageOps.exif_transpose(picture)
        return _opaque(picture)
    except UsageError:
        raise
    except UnidentifiedImageError:
        raise UsageError(f"{name} is no picture: name a PNG, JPEG or WebP file.") from None
    except Image.DecompressionBombError:
        raise UsageError(
            f"{name} has more pixels than {largest:,}, which are the most: scale it down."
        ) from None
    except Exception:  # of a stranger's file: Pillow's readers raise every kind
        raise UsageError(f"{name} is a damaged picture: name another.") from None


def _opaque(picture: Image) -> Image:
    from PIL import Image

    if picture.mode in ("1", "L", "I", "I;16", "I;16L", "I;16B", "F"):
        return _eight_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    small = picture.copy()
    small.thumbnail((_LOOKED_AT, _LOOKED_AT))
    rgba = np.asarray(small, np.float64)
    alpha = rgba[..., 3]
    lightness = (rgba[..., :3].mean(2) * alpha).sum() / max(alpha.sum(), 1)
    paper = (255, 255, 255, 255) if lightness < 128 else (0, 0, 0, 255)
    return Image.alpha_composite(Image.new("RGBA", picture.size, paper), picture).convert("RGB")


def _eight_bits(picture: Image) -> Image:
    """Shades of grey of any depth as 8 bits; Pillow would cut off what is brighter than 255."""
    from PIL import Image

    if picture.mode in ("1", "L"):
        return picture.convert("L")
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    levels = np.nan_to_num(np.asarray(picture, np.float32))
    lowest, highest = levels.min(), levels.max()
    scaled = (levels - lowest) / (highest - lowest or 1) * 255
    return Image.fromarray(scaled.astype(np.uint8))
