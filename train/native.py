"""Which kernels training on a CPU uses: those in C where a compiler is, or XLA's operations."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pennyweight.arch.native_library import (
    CHOICE,
    Library,
    native_library,
    threads_told,
    using,
    work_with,
)
from pennyweight.train.cache import cache_folder
from pennyweight.train.cores import available_cores, core_count, thread_count


def native_digest() -> str | None:
    """What tells the kernels in C from others; None where there are none. No JAX.

    They are compiled first, which takes seconds, if this machine has not done it before.
    """
    library = _library()
    return library and library.digest


@contextmanager
def native_kernels() -> Iterator[str | None]:
    """What is traced in here for a CPU has kernels in C, and what was compiled so can be loaded.

    Their digest, or None where there are none.
    """
    import jax

    wanted = [32, 64] if jax.config.jax_enable_x64 else [32]  # type: ignore[attr-defined]
    if not threads_told():
        work_with(ctypes.c_int(thread_count()), available_cores())
    asked = [_library(bits) for bits in wanted if jax.default_backend() == "cpu"]
    found = [library for library in asked if library is not None]
    with using(*found):
        yield found[0].digest if found else None


def _library(bits: int = 32) -> Library | None:
    return native_library(cache_folder() / "kernels", bits)


def use_all_cores() -> None:
    """Kernels in C use them all, though XLA may have one thread, which decides how it rounds."""
    work_with(ctypes.c_int(core_count()), available_cores())


@contextmanager
def xla_kernels() -> Iterator[None]:
    """In here, and in processes started here, XLA's operations compute all.

    So what was trained with them comes out to the bit again.
    """
    before = os.environ.get(CHOICE)
    os.environ[CHOICE] = "xla"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CHOICE]
        else:
            os.environ[CHOICE] = before
