"""The convolutions in C (`native_kernels.c`): compiled once on each machine, and known to XLA.

They are compiled where they are used, by the system's C compiler and for its very processor, as
vectors twice as wide are twice as fast. Without a compiler all goes as well, but slower: networks
are then computed with XLA's own operations.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

SOURCE = "native_kernels.c"
TARGETS = ("pennyweight_conv", "pennyweight_conv_gradient")

_CHOICE = "PENNYWEIGHT_KERNELS"  # "xla": not these, whatever there is
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno")
_SHARED = ("-fno-trapping-math", "-shared", "-fPIC")
_COMPILE_S = 120

_loaded: list[str] = []  # the library's digest, once XLA knows it


def use_native_kernels(folder: Path) -> str | None:
    """From now on compute convolutions in C on a CPU, with the library that is kept in `folder`.

    Gives 16 digits that tell it from others; None where it was not wanted or cannot be made.
    """
    if not _loaded and os.environ.get(_CHOICE) != "xla" and (found := _library(folder)):
        path, digest = found
        _register(path)
        _loaded.append(digest)
    return _loaded[0] if _loaded else None


def native() -> bool:
    """Whether convolutions on a CPU are computed in C."""
    return bool(_loaded)


@lru_cache(maxsize=1)
def _library(folder: Path) -> tuple[Path, str] | None:
    """The compiled library and its digest; None where there is no compiler that makes it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    import jax

    source = files(__package__ or "pennyweight.arch").joinpath(SOURCE).read_text()
    command = [compiler, *_FLAGS, *_SHARED, f"-I{jax.ffi.include_dir()}"]
    try:
        told = subprocess.run(  # what -march=native means here, and which compiler this is
            [*command, "-E", "-dM", "-x", "c", os.devnull],
            capture_output=True,
            text=True,
            timeout=_COMPILE_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    deciding = "\n".join([source, *command[1:-1], told, platform.machine(), jax.__version__])
    digest = hashlib.sha256(deciding.encode()).hexdigest()[:16]
    path = folder / f"kernels-{digest}.so"
    if not path.exists() and not _compile([*command, "-x", "c", "-"], source, path):
        return None
    return path, digest


def _compile(command: list[str], source: str, path: Path) -> bool:
    """Whether `path` is there afterwards: whole, as it comes by its name at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            made = Path(work, path.name)
            subprocess.run(
                [*command, "-o", str(made)],
                input=source,
                capture_output=True,
                text=True,
                timeout=_COMPILE_S,
                check=True,
            )
            made.replace(path)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _register(path: Path) -> None:
    import jax

    library = ctypes.CDLL(str(path))
    for name in TARGETS:
        handler = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
