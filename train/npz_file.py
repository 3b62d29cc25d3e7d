"""Pictures in an NPZ file: arrays of pictures and labels, with a test part or without."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import most_data

# As Keras, MedMNIST and people name them: pictures and labels.
_TRAIN = (
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("images", "labels"),
    ("x", "y"),
)
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"))
_CHANNELS = (1, 3, 4)  # grey, or colours with or without transparency
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that Python does not know
    MemoryError,  # a header that promises what is not there
    lzma.LZMAError,
)

Part = tuple[np.ndarray, np.ndarray]


def read_npz(path: Path) -> tuple[Part, Part | None]:
    """(train, test) as uint8 (n, h, w, c) and labels (n,), whole numbers or text; test may be None.

    Raises UsageError for what is no such file. Nothing in it can run code: pickles are refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > (most := most_data(path.stat().st_size)):
            raise UsageError(f"{path} must unpack to at most {most:,} bytes.")
        with np.load(path, allow_pickle=False) as arrays:
            names = set(arrays.files)
            train = next((pair for pair in _TRAIN if names.issuperset(pair)), None)
            test = next((pair for pair in _TEST if names.issuperset(pair)), None)
            if train is None:
                raise UsageError(
                    f"{path} must hold the arrays {' or '.join(map(' and '.join, _TRAIN))}, but "
                    f"holds {', '.join(sorted(names)) or 'none'}."
                )
            found = [
                pair and (_member(arrays, pair[0]), _member(arrays, pair[1]))
                for pair in (train, test)
            ]
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path} must be an NPZ file, but: {error.strerror or error}.") from error
    except _DAMAGED as error:
        reason = "it holds Python objects" if "pickle" in str(error) else "it is none, or damaged"
        raise UsageError(f"{path} must be an NPZ file of plain arrays, but {reason}.") from None
    first, second = (part and _checked(path, *part) for part in found)
    assert first is not None
    return first, second


def _member(arrays: Mapping[str, object], name: str) -> np.ndarray:
    if not isinstance(found := arrays[name], np.ndarray):
        raise ValueError(f"{name} is no array")
    return found


def _checked(path: Path, images: np.ndarray, labels: np.ndarray) -> Part:
    labels = labels.reshape(len(labels)) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.size == 0 or labels.shape != images.shape[:1]:
        raise UsageError(
            f"{path} must hold pictures (n, height, width) or (n, height, width, channels) and a "
            f"label for each, but holds {images.shape} and {labels.shape}."
        )
    if images.shape[3] not in _CHANNELS:
        raise UsageError(
            f"{path} must hold pictures (n, height, width, channels) with 1, 3 or 4 channels, but "
            f"holds {images.shape}: move the channels last."
        )
    whole = images.dtype.kind in "iu"
    if not whole or images.min() < 0 or images.max() > 255:
        range_ = f" from {images.min()} to {images.max()}" if whole else ""
        raise UsageError(
            f"{path} must hold whole levels from 0 to 255, but holds {images.dtype}{range_}: scale "
            "them and store them as uint8."
        )
    if labels.dtype.kind not in "iuU":
        raise UsageError(f"{path} must hold labels as whole numbers or text, not {labels.dtype}.")
    return images.astype(np.uint8), labels
