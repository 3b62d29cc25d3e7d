"""Data in files of one's own: `csv:FILE`, `idx:FOLDER`, `npz:FILE` and `folder:FOLDER`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pennyweight.arch.errors import UsageError, shown
from pennyweight.train.cache import cache_folder
from pennyweight.train.csv_faults import LABEL, line_of
from pennyweight.train.csv_file import read_csv
from pennyweight.train.held_out import asked_test_part
from pennyweight.train.idx_files import idx_files, read_idx
from pennyweight.train.npz_file import read_npz
from pennyweight.train.picture_folder import parts_of, picture_files, read_pictures
from pennyweight.train.source import Batch, DataInfo, Part, one_class, path_of
from pennyweight.train.splits import TEST_PERCENT, held_out_test, others

KINDS = {  # and what each takes
    "csv": "a file with a `label` column and one for each pixel, such as csv:train.csv",
    "idx": "a folder with MNIST's four files, such as idx:mnist",
    "npz": "a file with the arrays x_train and y_train, such as npz:mnist.npz",
    "folder": "a folder with a folder of pictures for each class, such as folder:pictures",
}
_VERSION = 2  # of the readers: what an earlier one read is read again
_FEWEST = 20  # pictures: with fewer there is nothing to hold out


class Contents(NamedTuple):
    """What files hold: pictures with their labels, and a test part where there is one."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class OwnFiles:
    """Reads files of one kind. Without a test part a stratified fifth is held out, as for digits.

    With `test_percent`, so much is held out instead; 0 leaves no test set. What they hold is
    described once: finding out takes reading them.
    """

    kind: str
    path: Path
    test_percent: int | None = None

    @classmethod
    def of(cls, source: str) -> OwnFiles:
        """The reader of `csv:train.csv`, or of `csv:train.csv:test10` to hold out a tenth.

        Raises UsageError where nothing is there.
        """
        source, percent = asked_test_part(source)
        kind, _, place = source.partition(":")
        if not place:
            raise UsageError(f"{kind}: takes {KINDS[kind]}, but nothing follows it.")
        path = path_of(place)
        wanted = "file" if kind in ("csv", "npz") else "folder"
        if not (path.is_file() if wanted == "file" else path.is_dir()):
            raise UsageError(f"{kind}: takes a {wanted}, but there is none at {str(path)!r}.")
        return cls(kind, path, percent)

    @property
    def key(self) -> tuple[str, ...]:
        """Which version of which files: their names, sizes and times."""
        asked = "" if self.test_percent is None else f" test{self.test_percent}"
        seen = hashlib.sha256(f"{_VERSION} {self.path.resolve()}{asked}".encode())
        for path in self._files():
            try:
                status = path.stat()
            except OSError as error:
                raise UsageError(f"{path} must be readable, but: {error.strerror}.") from error
            seen.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        return self.kind, self.path.stem, seen.hexdigest()[:16]

    @property
    def info(self) -> DataInfo:
        """The description, from the cache where the files are as they were."""
        noted = cache_folder() / "described" / f"{'-'.join(self.key[::2])}.json"
        try:
            told = json.loads(noted.read_text())
            told |= {name: tuple(told[name]) for name in ("input_shape", "class_names")}
            return DataInfo(**told | {"name": self._name})
        except (OSError, ValueError, TypeError, KeyError):
            described = self._describe()
        try:
            noted.parent.mkdir(parents=True, exist_ok=True)
            noted.write_text(json.dumps(asdict(described)))
        except OSError:
            pass  # then it is found out again
        return described

    def read_part(self, part: Part) -> Iterator[Batch]:
        """One batch with all of `part`."""
        contents = self._read()
        numbers = self._numbers(contents)
        if contents.test is not None:
            images = contents.test[0] if part == "test" else contents.train[0]
            yield images, numbers[1 if part == "test" else 0]
            return
        held_out = self._held_out(numbers[0])
        kept = held_out if part == "test" else others(held_out, len(numbers[0]))
        yield contents.train[0][kept], numbers[0][kept]

    @property
    def _name(self) -> str:
        asked = "" if self.test_percent is None else f":test{self.test_percent}"
        return f"{self.kind}:{self.path}{asked}"

    def _held_out(self, numbers: np.ndarray) -> np.ndarray:
        percent = TEST_PERCENT if self.test_percent is None else self.test_percent
        return held_out_test(numbers, percent)

    def _files(self) -> list[Path]:
        if self.kind in ("csv", "npz"):
            return [self.path]
        if self.kind == "idx":
            return sorted(path for path in self.path.iterdir() if path.is_file())
        train, test = parts_of(self.path)
        return picture_files(train) + (picture_files(test) if test else [])

    def _read(self) -> Contents:
        if self.kind == "csv":
            images, labels = read_csv(self.path)
            if labels is None:
                raise UsageError(f"{self.path} must have a column `{LABEL}` to be learned from.")
            return Contents((images, labels), None)
        if self.kind == "npz":
            return Contents(*read_npz(self.path))
        if self.kind == "folder":
            train, test = parts_of(self.path)
            return Contents(read_pictures(train), read_pictures(test) if test else None)
        pairs = {part: idx_files(self.path, part) for part in ("train", "test")}
        if pairs["train"] is None:
            raise UsageError(
                f"{self.path} must hold train-images-idx3-ubyte and train-labels-idx1-ubyte, "
                "gzipped or not, but holds neither."
            )
        test = pairs["test"]
        return Contents(read_idx(*pairs["train"]), read_idx(*test) if test else None)

    def _describe(self) -> DataInfo:
        contents = self._read()
        if contents.test is not None and self.test_percent is not None:
            raise UsageError(
                f"{self.path} has a test part of its own: leave out :test{self.test_percent}."
            )
        shapes = {part[0].shape[1:] for part in contents if part is not None}
        if len(shapes) > 1:
            raise UsageError(
                f"{self.path} must hold test pictures of the training pictures' shape."
            )
        total = len(contents.train[1])
        if total < _FEWEST:
            raise UsageError(f"{self.path} must hold at least {_FEWEST} pictures, but has {total}.")
        numbers = self._numbers(contents)
        apart = contents.test is not None
        test = len(numbers[1]) if apart else len(self._held_out(numbers[0]))
        names = self._class_names(contents)
        if len(names) < 2:
            raise one_class(self._name)
        self._check_counts(np.bincount(numbers[0]), names, parts=3 if test and not apart else 2)
        return DataInfo(
            name=self._name,
            input_shape=contents.train[0].shape[1:],
            classes=len(names),
            class_names=names,
            train_examples=total - (0 if apart else test),
            test_examples=test,
        )

    def _check_counts(self, counts: np.ndarray, names: tuple[str, ...], parts: int) -> None:
        """Raise UsageError for a class with fewer pictures than they are divided into parts."""
        rarest = int(counts.argmin())
        if (count := counts[rarest]) >= parts:
            return
        line = line_of(self.path, names[rarest]) if self.kind == "csv" else None
        where = f" (the first in line {line})" if line else ""
        to_test = (
            ", one to choose by and one to test with" if parts == 3 else " and one to choose by"
        )
        raise UsageError(
            f"{self.path} must hold at least {parts} pictures of each class, one to learn from"
            f"{to_test}, but holds {count} of {shown(names[rarest])}{where}: correct the label, "
            "add pictures or leave it out."
        )

    def _class_names(self, contents: Contents) -> tuple[str, ...]:
        """The labels in order: of numbers if all are, as text otherwise."""
        found = {str(label) for label in np.unique(contents.train[1])}
        by_number = all(re.fullmatch(r"[0-9]{1,18}", label) for label in found)
        return tuple(sorted(found, key=int if by_number else str))

    def _numbers(self, contents: Contents) -> list[np.ndarray]:
        """The labels of each part as int32 places in the class names."""
        place = {name: number for number, name in enumerate(self._class_names(contents))}
        numbers: list[np.ndarray] = []
        for part in contents:
            if part is None:
                continue
            labels, inverse = np.unique(part[1], return_inverse=True)
            known: list[Any] = [place.get(str(label)) for label in labels]
            if None in known:
                strange = labels[known.index(None)]
                raise UsageError(
                    f"{self.path} has test pictures of the class {str(strange)!r}, which no "
                    "training picture is of."
                )
            numbers.append(np.array(known, np.int32)[inverse])
        return numbers
