"""Pictures in a CSV file: a header, a `label` column, and a column for each pixel."""

from __future__ import annotations

import csv
import io
import math
import warnings
from pathlib import Path
from typing import TextIO

import numpy as np

from pennyweight.arch.errors import UsageError, shown
from pennyweight.train.csv_faults import LABEL, LONGEST_HEADER, about_columns, fault

_MOST_LABELS = 10_000
_DIVIDERS = {";": "semicolons", "\t": "tabs"}  # of programs that are not asked for commas


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 pictures (n, side, side, 1) in the rows' order, and their labels as text (n,).

    The labels are None where there is no such column: then every column is a pixel. Raises
    UsageError for what is no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = _header(path, file)
            at = names.index(LABEL) if LABEL in names else None
            side = _side(path, names, at)
            codes: dict[str, int] = {}
            values = _numbers(file, at, codes)
        if values is None:
            raise fault(path)
        _check_labels(path, codes)
        if not len(values):
            raise UsageError(f"{path} must have a row for each picture, but has none.")
        pixels = values if at is None else np.delete(values, at, axis=1)
        if pixels.shape[1] != side**2 or "" in codes or pixels.min() < 0 or pixels.max() > 255:
            raise fault(path)
    except OSError as error:
        raise UsageError(f"{path} must be a CSV file, but: {error.strerror or error}.") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} must be a CSV file, but it is no UTF-8 text.") from None
    images = pixels.astype(np.uint8).reshape(-1, side, side, 1)
    return images, None if at is None else np.array(list(codes))[values[:, at]]


def _header(path: Path, file: TextIO) -> list[str]:
    line = file.readline(LONGEST_HEADER)
    if not line.strip():
        found = "its first line" if line else "it"
        raise UsageError(f"{path} must begin with the columns' names, but {found} is empty.")
    try:
        names = [name.strip() for name in next(csv.reader(io.StringIO(line)), [])]
    except csv.Error:
        raise UsageError(
            f"{path} must begin with the columns' names, but begins otherwise."
        ) from None
    for divider, called in _DIVIDERS.items():
        if len(names) == 1 and divider in line:
            raise UsageError(
                f"{path} must have commas between its columns, but has {called}: save it with "
                "commas."
            )
    if len(names) > 1 and all(name.lstrip("-").isdigit() for name in names):
        raise UsageError(
            f"{path} must begin with the columns' names, such as `{LABEL},pixel0,pixel1`, but "
            f"begins with {shown(line[:20])}."
        )
    if names.count(LABEL) > 1:
        raise UsageError(f"{path} must have one column `{LABEL}`, but has {names.count(LABEL)}.")
    return names


def _side(path: Path, names: list[str], at: int | None) -> int:
    pixels = len(names) - (at is not None)
    side = math.isqrt(pixels)
    if not pixels or side * side != pixels:
        without = "" if at is not None else f" and no column `{LABEL}`"
        raise UsageError(
            f"{path} must have a column for each pixel of a square picture, such as 784 for 28x28, "
            f"but has {pixels:,}{without}: {about_columns(names)}."
        )
    return side


def _numbers(file: TextIO, at: int | None, codes: dict[str, int]) -> np.ndarray | None:
    """All fields as int16 (n, columns); labels, in column `at`, as what `codes` gets for them.

    None where they are not whole numbers, or not in full rows: NumPy counts rows, not lines, now
    from 0 and now from 1.
    """

    def code(label: str) -> int:
        # Of more, an int16 could not hold the code: it is refused afterwards.
        return min(codes.setdefault(label.strip(), len(codes)), _MOST_LABELS)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a file without rows: ours is clearer
            return np.loadtxt(
                file,
                np.int16,
                comments=None,  # or what follows a `#` would be left out without a word
                delimiter=",",
                converters=None if at is None else {at: code},
                quotechar='"',
                ndmin=2,
            )
    except UnicodeDecodeError:
        raise
    except ValueError:
        return None


def _check_labels(path: Path, codes: dict[str, int]) -> None:
    if len(codes) > _MOST_LABELS:
        raise UsageError(
            f"{path} must have a class in its column `{LABEL}`, but that has more than "
            f"{_MOST_LABELS:,} different ones: is it a number of the picture?"
        )
