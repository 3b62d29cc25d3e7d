"""What a data set is before any picture is read: its description, and the form of a reader.

Shapes: n pictures, h x w pixels, c channels.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from pennyweight.arch.errors import UsageError

Part = Literal["train", "test"]
Batch = tuple[np.ndarray, np.ndarray]  # uint8 (n, h, w, c) and int32 (n,)


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """A data set's description, known without decoding a picture."""

    name: str  # as the user writes it: the source
    input_shape: tuple[int, int, int]  # height, width, channels
    classes: int
    class_names: tuple[str, ...]
    train_examples: int  # of which a part becomes the validation set
    test_examples: int

    def examples(self, part: Part) -> int:
        """How many pictures `part` has."""
        return self.train_examples if part == "train" else self.test_examples


def one_class(source: str) -> UsageError:
    """What to raise where nothing can be learned."""
    return UsageError(
        f"The training pictures of {source} are all of one class, and telling classes apart takes "
        "two: use other data."
    )


def path_of(place: str) -> Path:
    """Where the path within a source leads: behind a colon, the shell leaves `~` as it is."""
    return Path(os.path.expanduser(place))  # `Path.expanduser` raises for a user whom nobody knows


class Source(Protocol):
    """A reader of one kind of data. Adding a kind is one such class and a line in `data.py`."""

    @property
    def info(self) -> DataInfo:
        """The description."""
        ...

    @property
    def key(self) -> tuple[str, ...]:
        """Words that change whenever the pictures may have changed: name, version, files."""
        ...

    def read_part(self, part: Part) -> Iterator[Batch]:
        """Decodes `info.examples(part)` pictures, in batches and always in the same order."""
        ...
