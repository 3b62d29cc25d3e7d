"""Compiled programs on disk, each under everything that decides it: nothing is traced twice.

JAX's own persistent cache is keyed by the lowered program, so a process would trace and lower for
half a second what it then reads in a tenth of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import platform
import threading
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from pennyweight.arch.native_library import is_own
from pennyweight.train.cores import thread_count
from pennyweight.train.sources import sources

MOST_BYTES = 1_000_000_000  # in the folder: the least recently used go first
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
_DIGEST_BYTES = 32


class ProgramStore:
    """A folder of compiled programs. What cannot be read or written is compiled: nothing fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, deciding: object) -> Any | None:
        """The program kept under `deciding`, whose `repr` says all about it; None if there is none.

        One is found only by the sources, libraries, flags and kind of machine that compiled it.
        """
        path = self._path(deciding)
        try:
            with path.open("rb") as file:
                if not is_own(os.fstat(file.fileno())):
                    return None
                data = file.read()
            digest, kept = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if hashlib.sha256(kept).digest() != digest:
                return None
            # Pickled code, which the user wrote: trusted as much as the installed package is.
            program = serialize_executable.deserialize_and_load(*pickle.loads(kept))
        except Exception:
            return None
        with contextlib.suppress(OSError):  # of a folder that is only read
            _touch(path)
        return program

    def put(self, deciding: object, program: Any) -> None:
        """Keep `program`, whole or not at all."""
        try:
            kept = pickle.dumps(serialize_executable.serialize(program))
            self._folder.mkdir(0o700, parents=True, exist_ok=True)
            unfinished = self._folder / f"{os.getpid()}-{threading.get_ident()}.unfinished"
            try:
                unfinished.touch(0o600)
                unfinished.write_bytes(hashlib.sha256(kept).digest() + kept)
                _touch(unfinished)
                unfinished.replace(self._path(deciding))
            finally:
                unfinished.unlink(missing_ok=True)
            self._make_room()
        except Exception:
            return

    def _path(self, deciding: object) -> Path:
        key = hashlib.sha256(repr((_setting(), deciding)).encode())
        return self._folder / key.hexdigest()

    def _make_room(self) -> None:
        found = [(path.stat(), path) for path in self._folder.iterdir()]
        size = sum(stat.st_size for stat, _ in found)
        for stat, path in sorted(found, key=lambda each: each[0].st_mtime):
            if size <= MOST_BYTES:
                return
            path.unlink(missing_ok=True)
            size -= stat.st_size


def _touch(path: Path) -> None:
    """Note that it was used now: in nanoseconds, where the system counts in milliseconds."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


@lru_cache
def _setting() -> tuple[object, ...]:
    """What decides a program beside what it is asked for."""
    devices = jax.local_devices()
    # The platform is that of the devices, whoever chose it.
    settings = {name: value for name, value in jax.config.values.items() if name != "jax_platforms"}
    return (
        _SOURCES,
        [version(library) for library in _LIBRARIES],
        [(device.platform, device.device_kind) for device in devices],
        devices[0].client.platform_version,
        (platform.machine(), _instructions()),
        thread_count(),
        os.environ.get("XLA_FLAGS"),
        sorted(map(str, settings.items())),
    )


_SOURCES = sources()  # on import, as what is imported is what compiles


def _instructions() -> str:
    """The instructions that this processor has, where the system says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
