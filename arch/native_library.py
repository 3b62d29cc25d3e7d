"""The kernels in C (the folder `native`): compiled once on each machine, and known to XLA.

They are compiled where they are used, by the system's C compiler and for its very processor, as
vectors twice as wide are twice as fast. Without a compiler all goes as well, but slower: networks
are then computed with XLA's own operations. They round otherwise, so what is to come out to the bit
has to be computed with the same ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from pennyweight.arch.errors import UsageError

CHOICE = "PENNYWEIGHT_KERNELS"  # of the environment; "xla": no kernels in C, even where they are

SOURCES = Path(__file__).with_name("native")

_TARGETS = (
    *("pennyweight_conv", "pennyweight_conv_gradient"),
    *("pennyweight_pool", "pennyweight_pool_gradient"),
    *("pennyweight_warp", "pennyweight_bernoulli"),
)
_BITS = (32, 64)
MOST_TAPS = 16  # of a kernel, along a side
FLAGS = (
    *("-std=gnu11", "-O3", "-march=native", f"-DTAPS={MOST_TAPS}"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-shared", "-fPIC", "-fvisibility=hidden", "-pthread"),
)

_loaded: dict[int, Library] = {}  # by their bits: what XLA knows
_threads: list[tuple[ctypes.c_int, ctypes.Array[ctypes.c_int]]] = []  # of `work_with`: 0 or 1
_used: ContextVar[frozenset[int]] = ContextVar("bits of the kernels in C", default=frozenset())


@dataclass(frozen=True)
class Library:
    """The compiled kernels."""

    code: ctypes.CDLL = field(compare=False)
    digest: str  # 16 hexadecimal digits that tell it from others
    bits: int  # of its numbers


def native_library(folder: Path, bits: int = 32) -> Library | None:
    """The library as it is kept in `folder`, where it is compiled first if need be; no JAX.

    None where it is not wanted, or cannot be compiled. Raises UsageError for another choice.
    """
    if (choice := os.environ.get(CHOICE)) not in (None, "", "xla"):
        raise UsageError(f"{CHOICE} must be xla, or not set, but got {choice}.")
    return None if choice else _library(folder, bits)


@lru_cache(maxsize=len(_BITS))
def _library(folder: Path, bits: int) -> Library | None:
    compiler, jaxlib = _compiler(), find_spec("jaxlib")
    if compiler is None or jaxlib is None or not jaxlib.submodule_search_locations:
        return None
    flags = [*FLAGS, f"-DBITS={bits}"]
    include = Path(jaxlib.submodule_search_locations[0], "include")
    try:
        sources = [path.read_text() for path in sorted(SOURCES.glob("*.[ch]"))]
        sources.append(SOURCES.with_name("portions.py").read_text())  # they decide who is summed up
        # What this compiler is, and what its flags mean on this processor.
        told = _run([compiler, *flags, "-E", "-dM", "-x", "c", os.devnull])
        deciding = [*sources, *flags, told, platform.machine(), version("jaxlib")]
        digest = hashlib.sha256("\n".join(deciding).encode()).hexdigest()[:16]
        folder.mkdir(0o700, parents=True, exist_ok=True)
        if not is_own(folder.stat()):
            return None
        path = folder / f"kernels-{digest}.so"
        if path.exists() and is_own(path.stat()):
            with contextlib.suppress(OSError):  # a file that a power cut left empty, say
                return Library(ctypes.CDLL(str(path)), digest, bits)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work, path.name)
            parts = sorted(map(str, SOURCES.glob("*.c")))
            _run([compiler, *flags, f"-I{include}", *parts, "-o", str(made)])
            made.chmod(0o700)
            made.replace(path)  # whole, whoever else compiles it
        return Library(ctypes.CDLL(str(path)), digest, bits)
    except (OSError, subprocess.SubprocessError):
        return None


def _compiler() -> str | None:
    found = shutil.which("gcc") or shutil.which("cc")
    if found and sys.platform == "darwin":
        # Without Apple's tools there is only what asks, in a window, to install them.
        tools = subprocess.run(["xcode-select", "-p"], capture_output=True, check=False)
        return None if tools.returncode else found
    return found


def _run(command: list[str]) -> str:
    # One pipe and no time limit: with more, Python polls, and that can fail where a clock is faked.
    return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True)


def is_own(stat: os.stat_result) -> bool:
    """Whether nobody but this user, or root, can have written a file, or into a folder."""
    return os.name == "nt" or (stat.st_uid in (0, os.getuid()) and not stat.st_mode & 0o022)


@contextmanager
def using(*libraries: Library) -> Iterator[None]:
    """In here a CPU computes with these, of one size of numbers each.

    Elsewhere XLA's operations compute them, so what is exported holds no code of this machine.
    """
    for library in libraries:
        _load(library)
    before = _used.set(frozenset(library.bits for library in libraries))
    try:
        yield
    finally:
        _used.reset(before)


def _load(library: Library) -> None:
    if library.bits in _loaded:
        return
    import jax

    for name in _TARGETS:
        target = f"{name}_float{library.bits}"
        handler = jax.ffi.pycapsule(getattr(library.code, target))
        jax.ffi.register_ffi_target(target, handler, platform="cpu")
    _loaded[library.bits] = library
    _tell(library)


def work_with(threads: ctypes.c_int, cores: Sequence[int]) -> None:
    """Kernels in C use as many threads as `threads` says whenever one is called, on `cores`.

    Another process may change it meanwhile. How many there are changes no result; one, if untold.
    """
    _threads[:] = [(threads, (ctypes.c_int * len(cores))(*cores))]
    for library in _loaded.values():
        _tell(library)


def threads_told() -> bool:
    """Whether `work_with` was called."""
    return bool(_threads)


def helped_s() -> float:
    """Seconds that other threads than the callers' have worked for this process's kernels in C."""
    total = 0.0
    for library in _loaded.values():
        helped = library.code.pennyweight_helped
        helped.restype = ctypes.c_double
        total += helped()
    return total


def _tell(library: Library) -> None:
    for threads, cores in _threads:
        library.code.pennyweight_threads(ctypes.byref(threads), cores, len(cores))


def native(bits: int) -> bool:
    """Whether there are kernels in C here, for a CPU and numbers of so many bits."""
    return bits in _used.get()
