"""A bundle's probe: pictures that the network learned from, and what it says of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError, in_a_line
from pennyweight.arch.limits import LARGEST_IN_BUNDLE
from pennyweight.results.bundle_reader import read_listed

PROBE_FILE = "probe.npz"
_LARGEST = LARGEST_IN_BUNDLE  # bytes, unpacked


def pack_probe(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of `PROBE_FILE`, the same for the same arrays."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def read_probe(
    folder: Path, manifest: Mapping[str, Any], architecture: Architecture
) -> dict[str, np.ndarray]:
    """Of the bundle in `folder`: uint8 `images` (n, h, w, c), and `logits` (n, classes).

    Where the bundle has quantised forms, theirs are `quantised`. Raises UsageError for a probe that
    is damaged, of another network, or that unpacks to too much.
    """
    content = read_listed(folder, manifest, PROBE_FILE)
    try:
        return _checked(_unpacked(content), architecture)
    except Exception as error:  # of a stranger's file: zipfile and NumPy raise every kind
        raise UsageError(
            f"{folder / PROBE_FILE} is damaged ({in_a_line(error)}): copy the bundle again from "
            "where it was whole, or export it again."
        ) from error


def _unpacked(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > _LARGEST:
            raise ValueError(f"it unpacks to more than {_LARGEST:,} bytes")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _checked(probe: dict[str, np.ndarray], architecture: Architecture) -> dict[str, np.ndarray]:
    pictures = len(probe["images"])
    if not pictures or "logits" not in probe:
        raise ValueError("it has no pictures or no logits")
    for name, array in probe.items():
        shape = architecture.input_shape if name == "images" else (architecture.classes,)
        dtype = np.uint8 if name == "images" else np.float32
        if (array.dtype, array.shape) != (dtype, (pictures, *shape)):
            raise ValueError(f"its {name} are {array.dtype} {array.shape}")
    return probe
