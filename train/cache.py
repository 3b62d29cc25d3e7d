"""Decoded pictures on disk: each part of a data set is decoded once per machine."""

import hashlib
import io
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from pennyweight.arch.errors import UsageError
from pennyweight.train.source import Batch

Progress = Callable[[int, int], None]  # pictures decoded so far, and of how many


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """Pictures as they are kept: read-only, memory-mapped and verified."""

    images: np.ndarray  # uint8 (n, h, w, c)
    labels: np.ndarray  # int32 (n,)
    fingerprint: str


def cache_folder() -> Path:
    """Where what can be made again is kept: `$PENNYWEIGHT_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("PENNYWEIGHT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("pennyweight")


def fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """16 hexadecimal digits of SHA-256 over the pictures' and the labels' bytes."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()[:16]


def cached_arrays(
    key: tuple[str, ...],
    shape: tuple[int, int, int, int],
    batches: Callable[[], Iterator[Batch]],
    progress: Progress | None = None,
) -> Arrays:
    """The arrays stored under `key`; where they are not, or not whole, made from `batches` first.

    `shape` is that of the images. Processes that ask at once wait for the one that decodes.
    Raises `UsageError` where the cache folder cannot be written.
    """
    slug = re.sub(r"[^\w.+-]", "_", "-".join(key))
    folder = cache_folder() / "data" / slug
    stored = _read(folder, shape)
    if stored is not None:
        return stored
    with _writing(folder, shape), FileLock(f"{folder}.lock"):
        stored = _read(folder, shape)  # by the process that held the lock before
        if stored is None:
            _write(folder, shape, batches(), progress)
            stored = _read(folder, shape)
    if stored is None:
        raise UsageError(f"The cache folder {folder} does not keep what is written to it.")
    return stored


def _read(folder: Path, shape: tuple[int, ...]) -> Arrays | None:
    """What is stored in `folder`, or None where any byte of it is not as it was written."""
    try:
        images = _mapped(folder / "images.npy", np.uint8, shape)
        labels = _mapped(folder / "labels.npy", np.int32, shape[:1])
        written = (folder / "fingerprint").read_bytes().decode("ascii")
    except (OSError, ValueError):
        return None
    # The hash of 60,000 pictures of 28x28 takes 0.2 s: less than it costs to trust a file that
    # lost a page when the machine lost its power.
    found = fingerprint(images, labels)
    return Arrays(images=images, labels=labels, fingerprint=found) if found == written else None


def _mapped(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """The .npy file, read-only; `ValueError` where it is not exactly an array of this form."""
    # Not `np.load`: it parses whatever header it finds, and a damaged one raised four kinds of
    # error and leaked the open file. This one is known to the byte.
    header = _header(dtype, shape)
    with path.open("rb") as file:
        found = file.read(len(header))
    size = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
    if found != header or path.stat().st_size != size:
        raise ValueError(f"{path} is not {shape} of {np.dtype(dtype)}.")
    return np.memmap(path, dtype, mode="r", offset=len(header), shape=shape)


def _header(dtype: type[np.generic], shape: tuple[int, ...]) -> bytes:
    """What precedes the data in a .npy file (format version 1.0)."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    form = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, form)
    return file.getvalue()


def _write(
    folder: Path, shape: tuple[int, ...], batches: Iterator[Batch], progress: Progress | None
) -> None:
    """Stores the batches in `folder`, whole or not at all. The caller holds the folder's lock."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for leftover in (unfinished, folder):  # of a process that was killed; a damaged one
        if leftover.exists():
            shutil.rmtree(leftover)
    unfinished.mkdir(parents=True)
    try:
        labels = _write_images(unfinished / "images.npy", shape, batches, progress)
        (unfinished / "labels.npy").write_bytes(_header(np.int32, shape[:1]) + labels.tobytes())
        images = _mapped(unfinished / "images.npy", np.uint8, shape)
        (unfinished / "fingerprint").write_text(fingerprint(images, labels), encoding="ascii")
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _write_images(
    path: Path, shape: tuple[int, ...], batches: Iterator[Batch], progress: Progress | None
) -> np.ndarray:
    """Writes the pictures and returns the labels, int32 (n,)."""
    labels: list[np.ndarray] = []
    done = 0
    # Written, not memory-mapped: on a full disk a mapped page kills the process (SIGBUS).
    with path.open("wb") as file:
        file.write(_header(np.uint8, shape))
        for images_nhwc, labels_n in batches:
            file.write(np.ascontiguousarray(images_nhwc, dtype=np.uint8).data)
            labels.append(labels_n.astype(np.int32))
            done += len(labels_n)
            if progress:
                progress(done, shape[0])
    return np.concatenate(labels)


@contextmanager
def _writing(folder: Path, shape: tuple[int, ...]) -> Iterator[None]:
    """Turns what the disk refuses into one line; makes the folder that holds `folder`."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        megabytes = math.prod(shape) / 1e6
        raise UsageError(
            f"The cache folder {folder.parent} cannot be written ({error.strerror or error}): set "
            f"PENNYWEIGHT_CACHE to a folder with {megabytes:,.1f} MB free."
        ) from error
