"""MNIST's own form: four IDX files in a folder, gzipped or not (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import most_data

_PARTS = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTES = 8  # the third byte of an IDX file: what its values are


def idx_files(folder: Path, part: str) -> tuple[Path, Path] | None:
    """The files with the pictures and the labels of a part; None where there is neither.

    Raises UsageError where one of the two is missing.
    """
    found = [_find(folder, _PARTS[part], kind) for kind in ("images", "labels")]
    images, labels = found
    if images and labels:
        return images, labels
    if not images and not labels:
        return None
    there, missing = (images, "labels") if images else (labels, "images")
    raise UsageError(f"{there} needs the file with its {missing} beside it, but there is none.")


def read_idx(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, h, w, 1) and int32 (n,); UsageError for what is no pair of such files."""
    pictures, numbers = _array(images, 3), _array(labels, 1)
    if len(pictures) != len(numbers):
        raise UsageError(
            f"{images} has {len(pictures):,} pictures, but {labels} has {len(numbers):,} labels."
        )
    return pictures[..., None], numbers.astype(np.int32)


def _find(folder: Path, part: str, kind: str) -> Path | None:
    dimensions = 3 if kind == "images" else 1
    for dash in ("-", "."):  # some copies have a dot there
        for end in ("", ".gz"):
            path = folder / f"{part}-{kind}{dash}idx{dimensions}-ubyte{end}"
            if path.is_file():
                return path
    return None


def _array(path: Path, dimensions: int) -> np.ndarray:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(path, file.read(4 + 4 * dimensions), dimensions)
            size = math.prod(shape)
            content = file.read(size + 1)  # no more than it says: it may unpack to anything
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageError(f"{path} must be gzipped, but it is damaged or was cut off.") from None
    except OSError as error:
        raise UsageError(f"{path} must be readable, but: {error.strerror or error}.") from error
    if len(content) != size:
        found = f"{len(content):,}" if len(content) < size else "more"
        raise UsageError(
            f"{path} says that it holds {'x'.join(map(str, shape))} values, but has {found}: it is "
            "damaged or was cut off."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    """What a file says that it holds; UsageError where it holds nothing, or too much."""
    magic = bytes([0, 0, _UNSIGNED_BYTES, dimensions])
    if header[:4] != magic:
        raise UsageError(
            f"{path} must begin with the magic number {magic.hex()}, but begins with "
            f"{header[:4].hex() or 'nothing'}: it is another file, or damaged."
        )
    shape = struct.unpack(f">{dimensions}I", header[4:].ljust(4 * dimensions, b"\0"))
    told = "x".join(map(str, shape))
    if not (size := math.prod(shape)):
        raise UsageError(
            f"{path} says that it holds {told} values, which is none: it is damaged or was cut off."
        )
    if size > (most := most_data(path.stat().st_size)):
        raise UsageError(f"{path} must hold at most {most:,} values, but says {told}.")
    return shape
