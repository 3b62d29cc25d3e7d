"""Pictures of digits set in type: plain ones, and the same as people's files have them."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 200  # pixels
VARIANTS = ((130, 0.0), (150, 0.15), (110, -0.1))  # size of the type in pixels, slant
DIGITS = [(digit, variant) for variant in range(len(VARIANTS)) for digit in range(10)]


def digit(number: int, variant: int) -> Image.Image:
    """A white digit on black, in the middle."""
    size, slant = VARIANTS[variant]
    picture = Image.new("L", (SIDE, SIDE), 0)
    font, middle = ImageFont.load_default(size=size), (SIDE / 2, SIDE / 2)
    ImageDraw.Draw(picture).text(middle, str(number), fill=255, font=font, anchor="mm")
    matrix = (1, slant, -slant * SIDE / 2, 0, 1, 0)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def saved(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """The picture as a file's content."""
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def photographed(ink: Image.Image) -> bytes:
    """Dark ink on paper that gets darker towards a corner, with noise."""
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    paper = 235 - 80 * x - 50 * y * y + np.random.default_rng(0).normal(0, 4, ink.size)
    levels = paper * (1 - 0.75 * np.asarray(ink) / 255)
    return saved(Image.fromarray(levels.clip(0, 255).astype(np.uint8)), "JPEG", quality=90)


def inverted(ink: Image.Image) -> bytes:
    """Black on white."""
    return saved(Image.fromarray(255 - np.asarray(ink)))


def off_centre(ink: Image.Image) -> bytes:
    """In the corner of a much wider picture."""
    wide = Image.new("L", (3 * SIDE, 2 * SIDE), 0)
    wide.paste(ink, (2 * SIDE + 20, SIDE + 15))
    return saved(wide)


def large(ink: Image.Image) -> bytes:
    """Of some megapixels."""
    return saved(ink.resize((2_400, 2_400), Image.Resampling.BICUBIC))


def tiny(ink: Image.Image) -> bytes:
    """Of 20 pixels."""
    return saved(ink.resize((20, 20), Image.Resampling.BOX))


def transparent(ink: Image.Image) -> bytes:
    """Dark ink on nothing, whose hidden colour is that of the ink."""
    picture = Image.new("RGBA", ink.size, (20, 20, 60, 0))
    picture.putalpha(ink)
    return saved(picture)


def cmyk(ink: Image.Image) -> bytes:
    """A JPEG for printing: black ink on white paper."""
    paper = Image.fromarray(255 - np.asarray(ink)).convert("RGB").convert("CMYK")
    return saved(paper, "JPEG", quality=92)


def turned(ink: Image.Image) -> bytes:
    """Stored on its side, with the EXIF tag that says so, as phones do."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    sideways = ink.transpose(Image.Transpose.ROTATE_90)
    return saved(sideways, "JPEG", exif=exif, quality=92)


WAYS: dict[str, Callable[[Image.Image], bytes]] = {
    way.__name__: way
    for way in (photographed, inverted, off_centre, large, tiny, transparent, cmyk, turned)
}
