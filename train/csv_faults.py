"""What is wrong with a CSV file of pictures, and in which of its lines.

Files are read fast, by `csv_file.py`; only one that is refused is read again, row by row.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pennyweight.arch.errors import UsageError, shown

LABEL = "label"
LONGEST_HEADER = 2_000_000  # characters
_LEVELS = frozenset(map(str, range(256)))


def fault(path: Path) -> UsageError:
    """The first fault of the rows below a header that is right, with its line."""
    if path.is_file():  # a pipe cannot be read again
        rows = _rows(path)
        _, names = next(rows)
        for line, row in rows:
            if told := _fault_of(row, names, line):
                return UsageError(f"{path} must {told}")
    return UsageError(f"{path} must hold whole numbers in full rows, but holds something else.")


def line_of(path: Path, label: str) -> int | None:
    """The line of the first picture with this label, in a file that is right."""
    rows = _rows(path)
    at = next(rows)[1].index(LABEL)
    return next((line for line, row in rows if row[at].strip() == label), None)


def about_columns(names: Sequence[str]) -> str:
    """What to do where the columns that are no label are not the pixels of a square picture.

    >>> about_columns(["Label", "pixel0"])
    "rename 'Label' to `label`"
    >>> about_columns(["label", "id", "pixel0", "pixel1", "pixel2"])
    "'id' is named like no pixel: leave it out"
    """
    if LABEL not in names:
        for name in names:
            if name.lower() == LABEL:
                return f"rename {shown(name)} to `{LABEL}`"
    stems = {name: re.sub(r"[0-9]+", "", name) for name in names if name != LABEL}
    usual, count = Counter(stems.values()).most_common(1)[0] if stems else ("", 0)
    odd = [name for name, stem in stems.items() if stem != usual]
    if not odd or count <= len(odd):
        return "the others belong in another file"
    rename = "" if LABEL in names else f", or rename it to `{LABEL}` if it holds the classes"
    return f"{shown(odd[0])} is named like no pixel: leave it out{rename}"


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it begins in, from the header on; blank lines are none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield 1, [name.strip() for name in next(csv.reader([file.readline(LONGEST_HEADER)]))]
        reader = csv.reader(file)
        line = 2
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 2
        except csv.Error as error:
            raise UsageError(f"{path} must be a CSV file, but line {line}: {error}.") from None


def _fault_of(row: Sequence[str], names: Sequence[str], line: int) -> str | None:
    """What the row must do and does not; None of one that is right."""
    if len(row) != len(names):
        return f"have a field for each of its {len(names)} columns, but line {line} has {len(row)}."
    for name, value in zip(names, row, strict=True):
        if name == LABEL:
            if not value.strip():
                return f"have a label in every row, but line {line} has none."
        elif value not in _LEVELS and not _is_level(value):
            return (
                f"hold whole levels from 0 to 255, but line {line} has {shown(value)} as "
                f"{shown(name)}{_about_level(value)}."
            )
    return None


def _is_level(value: str) -> bool:
    """Whether it is one in other words, such as ` +07`."""
    return bool(re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip())) and 0 <= int(value) <= 255


def _about_level(value: str) -> str:
    try:
        fraction = 0 <= float(value) <= 1
    except ValueError:
        return ""
    return ": multiply levels from 0 to 1 by 255, and round them" if fraction else ""
