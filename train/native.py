"""Which convolutions training on a CPU uses: in C where a compiler is, or XLA's operations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pennyweight.arch.native_library import CHOICE, Library, native_library, using
from pennyweight.train.cache import cache_folder


def native_digest() -> str | None:
    """What tells the convolutions in C from others; None where there are none. No JAX.

    They are compiled first, which takes seconds, if this machine has not done it before.
    """
    library = _library()
    return library and library.digest


@contextmanager
def native_kernels() -> Iterator[None]:
    """What is traced in here for a CPU has its convolutions in C, where there are any."""
    import jax

    wanted = [32, 64] if jax.config.jax_enable_x64 else [32]  # type: ignore[attr-defined]
    found = [_library(bits) for bits in wanted if jax.default_backend() == "cpu"]
    with using(*(library for library in found if library is not None)):
        yield


def _library(bits: int = 32) -> Library | None:
    return native_library(cache_folder() / "kernels", bits)


def use_xla_kernels() -> None:
    """In this process and those that it starts: what was trained so comes out to the bit again."""
    os.environ[CHOICE] = "xla"
