"""A bundle's probe: pictures that the network learned from, and what it says of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle_reader import read_content

PROBE_FILE = "probe.npz"
_LARGEST = 100_000_000  # bytes, unpacked


def pack_probe(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of `PROBE_FILE`, the same for the same arrays."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def read_probe(folder: Path) -> dict[str, np.ndarray]:
    """Of the bundle in `folder`: uint8 `images` (n, h, w, c), and `logits` (n, classes).

    Where the bundle has quantised forms, theirs are `quantised`. Raises UsageError for a probe that
    is damaged, or that unpacks to too much.
    """
    content = read_content(folder, PROBE_FILE)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST:,} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            probe = dict(arrays)
        pictures = len(probe["images"])
        if probe["images"].dtype == np.uint8 and pictures == len(probe["logits"]) > 0:
            return probe
        reason = "its arrays do not belong together"
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error)
    raise UsageError(
        f"{folder / PROBE_FILE} is damaged ({reason}): copy the bundle again from where it was "
        "whole, or export it again."
    )
