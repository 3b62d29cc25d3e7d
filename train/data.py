"""The data: described, loaded and divided. The test pictures are behind `door.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.train.cache import Progress, cached_arrays, fingerprint
from pennyweight.train.corrections import Corrections, plain_source
from pennyweight.train.digits import Digits
from pennyweight.train.held_out import without_test_part
from pennyweight.train.own_files import KINDS, OwnFiles
from pennyweight.train.source import Batch, DataInfo, Part, Source, one_class, path_of
from pennyweight.train.splits import Split, split
from pennyweight.train.tfds import find_prepared, prepared_names

__all__ = [
    "DataInfo",
    "Dataset",
    "Split",
    "available",
    "check_test_set",
    "check_unseen",
    "describe",
    "load_training_set",
    "normalisation",
    "overlap",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """One part of a data set, decoded; the arrays are read-only and memory-mapped."""

    source: str
    images: np.ndarray  # uint8 (n, h, w, c)
    labels: np.ndarray  # int32 (n,), from 0 to len(class_names) - 1
    class_names: tuple[str, ...]
    fingerprint: str  # 16 hexadecimal digits of SHA-256 over the images' and the labels' bytes
    strata: np.ndarray  # the labels as they came: corrected ones move no picture to another part

    def split(self, seed: int) -> Split:
        """What is learned from and what is chosen by, of a training part."""
        return split(self.strata, seed)


def available() -> list[str]:
    """The sources that are here now; one that is prepared in an unreadable form is among them."""
    return ["digits", *prepared_names()]


def describe(source: str) -> DataInfo:
    """Shape, classes and sizes of `source`, in milliseconds: nothing is decoded.

    Raises `UsageError`, without touching a network, where the source is unknown, not prepared,
    damaged or of a kind that has no reader.
    """
    Corrections.of(source)  # which cannot be told to fit before the labels are read
    return _data_reader(source).info


def check_test_set(source: str) -> None:
    """Raise UsageError where a source has none; found out before anything is trained for it."""
    if not describe(source).test_examples:
        raise UsageError(f"{source} has no test set: leave out :test0, and a fifth is held out.")


def overlap(source: str, other: str) -> bool:
    """Whether a test picture of one may be a training picture of the other.

    So it is where the same pictures are divided otherwise. Corrected labels change no picture.

    >>> overlap("digits", "digits:fold3"), overlap("csv:a.csv", "csv:b.csv")
    (True, False)
    >>> overlap("csv:a.csv", "csv:./a.csv:test10"), overlap("csv:a.csv", "csv:./a.csv")
    (True, False)
    """
    (here, divided), (there, otherwise) = map(_divided, (source, other))
    return here == there and divided != otherwise


def check_unseen(name: str, theirs: str, source: str, remedy: str) -> None:
    """Raise UsageError where what learned from `theirs` may know test pictures of `source`."""
    if overlap(theirs, source):
        raise UsageError(
            f"{name} learned from {theirs}, which may have test pictures of {source}: {remedy}."
        )


def _divided(source: str) -> tuple[str, str]:
    """The pictures of a source, whatever path they are named by, and how they are divided."""
    source = plain_source(source)
    if source.startswith("digits:"):
        return "digits", source
    files = without_test_part(source)
    kind, colon, place = files.partition(":")
    named = f"{kind}:{path_of(place).resolve()}" if colon and kind in KINDS else files
    return named, source.removeprefix(files)


def load_training_set(source: str, *, progress: Progress | None = None) -> Dataset:
    """The training part, of which the validation set is yet to be split off.

    Decoded once per machine (`progress` is told how far it is), from then on memory-mapped.
    Raises `UsageError` as `describe` does, for data that nothing can be learned from, and for
    corrections of other data.
    """
    dataset = _load_part(source, "train", progress)
    if corrections := Corrections.of(source):
        labels = corrections.apply(dataset.labels, dataset.class_names)
        labels.setflags(write=False)
        digest = fingerprint(dataset.images, labels)
        dataset = replace(dataset, labels=labels, fingerprint=digest)
    if np.unique(dataset.labels).size < 2:
        raise one_class(source)
    return dataset


def normalisation(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of uint8 (n, h, w, c) images, per channel, on the 0-1 scale.

    Pass the training split alone. A channel without any contrast gets a deviation of 1.

    >>> normalisation(np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        # Counts are exact, so the result depends neither on the machine nor on the batch size,
        # and `bincount` makes 8 bytes of each pixel: not of all pictures at once.
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 1_000):
            pixels = images[start : start + 1_000, ..., channel]
            counts += np.bincount(pixels.ravel(), minlength=256)
        shares = counts / counts.sum()
        mean = float(shares @ levels)
        means.append(mean)
        deviations.append(float(np.sqrt(shares @ (levels - mean) ** 2)) or 1.0)
    return tuple(means), tuple(deviations)


def _load_test_set(source: str, *, progress: Progress | None = None) -> Dataset:
    """The test part, for `door.py` alone, which writes each reading down; a test sees to that.

    Its labels are as they came, whatever corrects the training part's.
    """
    check_test_set(source)
    return _load_part(source, "test", progress)


def _load_part(source: str, part: Part, progress: Progress | None) -> Dataset:
    reader = _data_reader(source)
    info = reader.info
    arrays = cached_arrays(
        (*reader.key, part),
        (info.examples(part), *info.input_shape),
        lambda: (_checked(batch, info) for batch in reader.read_part(part)),
        progress,
    )
    return Dataset(
        source=source,
        images=arrays.images,
        labels=arrays.labels,
        strata=arrays.labels,
        class_names=info.class_names,
        fingerprint=arrays.fingerprint,
    )


def _checked(batch: Batch, info: DataInfo) -> Batch:
    strange = batch[1][(batch[1] < 0) | (batch[1] >= info.classes)]
    if strange.size:  # some data sets are published with the test labels left out, as -1
        raise UsageError(
            f"A label of {info.name} is {strange[0]}, and its {info.classes} classes are numbered "
            f"from 0 to {info.classes - 1}: use data whose pictures are all labelled."
        )
    return batch


def _data_reader(source: str) -> Source:
    source = plain_source(source)
    kind, colon, _ = source.partition(":")
    if colon and kind in KINDS:
        return OwnFiles.of(source)
    if source == "digits" or source.startswith("digits:fold"):
        return Digits.of(source)
    return find_prepared(source)
