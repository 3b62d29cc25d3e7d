"""Pictures in an NPZ file: arrays of pictures and labels, with a test part or without."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError

# As Keras, MedMNIST and people name them: pictures and labels.
_TRAIN = (
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("images", "labels"),
    ("x", "y"),
)
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"))
_LARGEST = 8_000_000_000  # bytes, unpacked
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that Python does not know
    MemoryError,  # a header that promises what is not there
    AttributeError,  # a member that is no array
)

Part = tuple[np.ndarray, np.ndarray]


def read_npz(path: Path) -> tuple[Part, Part | None]:
    """(train, test) as uint8 (n, h, w, c) and labels (n,), whole numbers or text; test may be None.

    Raises UsageError for what is no such file. Nothing in it can run code: pickles are refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise UsageError(f"{path} must unpack to at most {_LARGEST:,} bytes.")
        with np.load(path, allow_pickle=False) as arrays:
            names = set(arrays.files)
            train = next((pair for pair in _TRAIN if names.issuperset(pair)), None)
            test = next((pair for pair in _TEST if names.issuperset(pair)), None)
            if train is None:
                raise UsageError(
                    f"{path} must hold the arrays {' or '.join(map(' and '.join, _TRAIN))}, but "
                    f"holds {', '.join(sorted(names)) or 'none'}."
                )
            found = [pair and (arrays[pair[0]], arrays[pair[1]]) for pair in (train, test)]
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


def _checked(path: Path, images: np.ndarray, labels: np.ndarray) -> Part:
    labels = labels.reshape(len(labels)) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.size == 0 or labels.shape != images.shape[:1]:
        raise UsageError(
            f"{path} must hold pictures (n, height, width) or (n, height, width, channels) and a "
            f"label for each, but holds {images.shape} and {labels.shape}."
        )
    if images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise UsageError(
            f"{path} must hold whole levels from 0 to 255, but holds {images.dtype} from "
            f"{images.min():g} to {images.max():g}: scale them and store them as uint8."
        )
    if labels.dtype.kind not in "iuU":
        raise UsageError(f"{path} must hold labels as whole numbers or text, not {labels.dtype}.")
    return images.astype(np.uint8), labels
