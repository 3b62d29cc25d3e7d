"""Exporting a trained network as a bundle: a folder that classifies pictures without Pennyweight.

A bundle appears only when its `model.py`, in a fresh process that cannot import Pennyweight, has
given the logits of the network itself. Until then it is in a hidden folder, which never stays.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import RunError, UsageError
from pennyweight.arch.network import Tree
from pennyweight.results.bundle import MANIFEST, Facts, bundle_files, is_bundle
from pennyweight.train.classifier import Classifier

TOLERANCE = 1e-4  # absolute, of a logit


class ExportError(RunError):
    """The bundle does not compute what the network does; the message says how. Nothing was kept."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How an export proved itself."""

    pictures: int
    largest_difference: float  # between a logit of the network and the bundle's
    seconds: float  # of the whole export


def export_bundle(
    folder: Path,
    *,
    architecture: Architecture,
    params: Tree,
    statistics: Tree,
    facts: Facts,
    check_images: np.ndarray,
    force: bool = False,
) -> Verification:
    """Write a trained network as the bundle `folder`, checked on uint8 `check_images` (n, h, w, c).

    With `force` the folder may hold a bundle already: its files are replaced, and others stay.
    Raises UsageError where a bundle may not or cannot be written, ExportError when `model.py` fails
    or a logit differs from the network's by more than `TOLERANCE`, and ValueError when `facts` are
    not about this architecture or there are no pictures.
    """
    start = time.perf_counter()
    if not len(check_images):
        raise ValueError("`check_images` must hold at least one picture, but it is empty.")
    files = bundle_files(architecture, params, statistics, facts)
    try:
        _check_place(folder, force)
        # In `folder` or above it: on the same disk, so that moving the bundle copies nothing.
        with tempfile.TemporaryDirectory(prefix=".export-", dir=_nearest(folder)) as work:
            bundle = Path(work, "bundle")
            bundle.mkdir()
            for name, content in files.items():
                (bundle / name).write_bytes(content)
            found = _bundle_logits(bundle, check_images, Path(work))
            network = Classifier(architecture, params, statistics, facts.mean, facts.std)
            wanted = network.logits(check_images)
            difference = _largest_difference(wanted, found)
            _install(bundle, folder)
    except OSError as error:
        raise UsageError(
            f"The bundle {folder} cannot be written: {error.strerror or error}. "
            "Make room there, or name another folder."
        ) from error
    return Verification(
        pictures=len(check_images),
        largest_difference=difference,
        seconds=time.perf_counter() - start,
    )


def _check_place(folder: Path, force: bool) -> None:
    """Raise UsageError where there is anything that we may not replace."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"A bundle is a folder, but {folder} is a file: name another.")
    if not any(folder.iterdir()):
        return
    if not is_bundle(folder):
        raise UsageError(
            f"A bundle needs a new or empty folder, but {folder} holds something else: "
            "name another."
        )
    if not force:
        raise UsageError(
            f"A bundle needs a new or empty folder, but {folder} holds a bundle: name another, "
            "or replace it with --force (in Python, force=True)."
        )


def _nearest(folder: Path) -> Path:
    """`folder`, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


_FRESH_PROCESS = """
import sys

sys.modules["pennyweight"] = None  # importing it fails, as where it is not installed
bundle, images, logits = sys.argv[1:]
sys.path.insert(0, bundle)

import model
import numpy as np

np.save(logits, model.load(bundle)(np.load(images)))
"""


def _bundle_logits(bundle: Path, images: np.ndarray, work: Path) -> np.ndarray:
    """The logits (n, classes) of the bundle's `model.py`, in a process of its own."""
    np.save(work / "images.npy", images)
    paths = [str(path) for path in (bundle, work / "images.npy", work / "logits.npy")]
    run = subprocess.run(
        # Isolated from our folder and environment, and leaving no bytecode in the bundle.
        [sys.executable, "-I", "-B", "-c", _FRESH_PROCESS, *paths],
        # On the CPU, as this process may hold all the memory of other devices; and the last line of
        # a traceback is to be the error, not JAX's remark on what it left out.
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_TRACEBACK_FILTERING": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
        raise ExportError(f"The exported model.py fails in a fresh process: {last}")
    return np.load(work / "logits.npy", allow_pickle=False)


def _largest_difference(wanted: np.ndarray, found: np.ndarray) -> float:
    differences = np.abs(wanted - found).max(axis=1)
    largest = float(differences.max())
    if not largest <= TOLERANCE:  # nor may it be NaN
        raise ExportError(
            f"The exported model.py must give the network's logits to {TOLERANCE:g}, but one of "
            f"picture {differences.argmax()} (of {len(found)}) differs by {largest:.3g}."
        )
    return largest


def _install(bundle: Path, folder: Path) -> None:
    """Move the verified `bundle` to where it was asked for."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        bundle.rename(folder)
        return
    # File by file, as the user may be in that folder; the manifest, with the others' hashes, last.
    for path in sorted(bundle.iterdir(), key=lambda path: path.name == MANIFEST):
        path.replace(folder / path.name)
