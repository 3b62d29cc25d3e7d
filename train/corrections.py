"""Corrected labels: `--relabel FILE.csv` changes those of training pictures, never of the test set.

A source with corrections is written `mnist relabelled by FILE.csv`: whatever takes a source takes
it, and whoever reads its name knows.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pennyweight.arch.errors import UsageError, shown
from pennyweight.arch.limits import LARGEST_TABLE, read_plain
from pennyweight.train.source import path_of

INDEX, LABEL, SPLIT, CORRECTION = "index", "label", "split", "correction"
_BETWEEN = " relabelled by "


def relabelled(source: str, path: Path | None) -> str:
    """The name of `source` with the corrections in `path`; with none, `source` itself.

    Raises UsageError where it has others already, which would be lost.

    >>> relabelled("digits", Path("fixes.csv"))
    'digits relabelled by fixes.csv'
    """
    plain, _, before = source.partition(_BETWEEN)
    if path is None:
        return source
    if before not in ("", str(path)):
        raise UsageError(
            f"--relabel {path} would take the place of the corrections in {before}: put all of "
            f"them into one file, and name --data {plain}."
        )
    return f"{plain}{_BETWEEN}{path}"


def plain_source(source: str) -> str:
    """The source without its corrections: where the pictures are.

    >>> plain_source("digits relabelled by fixes.csv"), plain_source("mnist")
    ('digits', 'mnist')
    """
    return source.partition(_BETWEEN)[0]


@dataclass(frozen=True)
class Corrections:
    """What a file of corrections says: for places in the training part, what they show."""

    path: Path
    rows: tuple[tuple[int, str | None, str], ...]  # place, label so far where told, correction
    fingerprint: str  # 16 hexadecimal digits of SHA-256 over the file's bytes

    @classmethod
    def of(cls, source: str) -> Corrections | None:
        """Those of a source, None of one without; UsageError for a file that is none."""
        path = source.partition(_BETWEEN)[2]
        return read_corrections(path_of(path)) if path else None

    def apply(self, labels: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
        """`labels` (n,), places in `class_names`, with the corrections made.

        Raises UsageError for a picture or class that is not there, and where a label so far is
        another one than the file says: then it is of other data.
        """
        place = {name: number for number, name in enumerate(class_names)}
        corrected = labels.copy()
        for index, label, correction in self.rows:
            if not 0 <= index < len(labels):
                raise UsageError(
                    f"{self.path} corrects picture {index}, but the training pictures are numbered "
                    f"from 0 to {len(labels) - 1}: use the corrections of these data."
                )
            here = class_names[labels[index]]
            if label not in (None, here):
                raise UsageError(
                    f"{self.path} says that picture {index} is labelled {shown(label)}, but it is "
                    f"labelled {here!r}: use the corrections of these data."
                )
            if correction not in place:
                raise UsageError(
                    f"{self.path} corrects picture {index} to {shown(correction)}, but the classes "
                    f"are {', '.join(class_names)}."
                )
            corrected[index] = place[correction]
        return corrected

    def to_json(self) -> dict[str, Any]:
        """What a study's settings tell of them."""
        return {
            "corrections": len(self.rows),
            "corrections_file": str(self.path),
            "corrections_fingerprint": self.fingerprint,
        }


def read_corrections(path: Path) -> Corrections:
    """The corrections in a CSV file with the columns `index` and `correction`.

    It is what `evaluate --mistakes` writes, once somebody has filled in its last column; rows in
    which that is empty count for nothing. Where there is a column `label`, it must be the label so
    far; where there is a column `split`, none that counts may be of the test set.
    """
    try:
        content = read_plain(path, LARGEST_TABLE)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"The corrections {path} cannot be read ({error.strerror or error}): bring the file "
            "back, or run where its path leads to it."
        ) from error
    except UnicodeDecodeError:
        raise UsageError(f"--relabel {path} must be a CSV file, but it is no UTF-8 text.") from None
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True, restkey="")
        names = [name.strip() for name in reader.fieldnames or ()]
        if lacking := [name for name in (INDEX, CORRECTION) if name not in names]:
            raise UsageError(
                f"--relabel {path} must have the columns `{INDEX}` and `{CORRECTION}`, but lacks "
                f"`{lacking[0]}`: `pennyweight evaluate --mistakes` writes such a file."
            )
        reader.fieldnames = names
        rows = _rows(path, reader)
    except csv.Error as error:
        raise UsageError(f"--relabel {path} must be a CSV file, but: {error}.") from error
    if not rows:
        raise UsageError(f"--relabel {path} has no row with a `{CORRECTION}`: fill some in.")
    return Corrections(path, tuple(rows), hashlib.sha256(content).hexdigest()[:16])


def filled_in(path: Path) -> bool:
    """Whether somebody may have filled in corrections there: unless it is a file without any."""
    try:
        text = read_plain(path, LARGEST_TABLE).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text), strict=True)
        return CORRECTION not in (reader.fieldnames or ()) or any(row[CORRECTION] for row in reader)
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError, csv.Error):
        return True


def _rows(path: Path, reader: csv.DictReader[str]) -> list[tuple[int, str | None, str]]:
    rows: dict[int, tuple[int, str | None, str]] = {}
    for row in reader:
        told = f"--relabel {path}, line {reader.line_num}:"
        correction = (row[CORRECTION] or "").strip()
        if not correction:
            continue
        index = (row[INDEX] or "").strip()
        if not (index.isascii() and index.isdigit() and len(index) <= 9):
            raise UsageError(f"{told} `{INDEX}` must be a picture's number, but is {shown(index)}.")
        if (row.get(SPLIT) or "").strip() == "test":
            raise UsageError(
                f"{told} this picture is of the test set, whose labels stay as they are: leave it "
                "out."
            )
        label = row.get(LABEL)
        found = int(index), None if label is None else label.strip(), correction
        if rows.setdefault(int(index), found)[2] != correction:
            raise UsageError(
                f"{told} picture {index} is corrected to {shown(correction)}, but above to "
                f"{shown(rows[int(index)][2])}: leave one of the two out."
            )
    return list(rows.values())
