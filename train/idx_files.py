"""MNIST's own form: four IDX files in a folder, gzipped or not (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError

_PARTS = {"train": "train", "test": "t10k"}
_LARGEST = 2_000_000_000  # bytes of a file, unpacked
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
    content = _content(path)
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTES, dimensions])
    if content[:4] != magic:
        raise UsageError(
            f"{path} must begin with the magic number {magic.hex()}, but begins with "
            f"{content[:4].hex() or 'nothing'}: it is another file, or damaged."
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header].ljust(header - 4, b"\0"))
    size = math.prod(shape)
    if size < 1 or len(content) != header + size:
        raise UsageError(
            f"{path} says that it holds {'x'.join(map(str, shape))} values, but has "
            f"{max(len(content) - header, 0):,}: it is damaged or was cut off."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageError(f"{path} must be gzipped, but it is damaged or was cut off.") from None
    except OSError as error:
        raise UsageError(f"{path} must be readable, but: {error.strerror or error}.") from error
    if len(content) > _LARGEST:
        raise UsageError(f"{path} must unpack to at most {_LARGEST:,} bytes.")
    return content
