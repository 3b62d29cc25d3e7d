"""Which convolutions training on a CPU uses: in C where a compiler is, or XLA's operations."""

from __future__ import annotations

import os
from pathlib import Path

from pennyweight.arch.native_library import CHOICE, load, native_library
from pennyweight.train.cache import cache_folder


def native_digest() -> str | None:
    """What tells the convolutions in C from others; None where there are none. No JAX."""
    library = native_library(_folder())
    return library and library.digest


def use_native_kernels() -> str | None:
    """`native_digest` of those that this process uses from now on; None where it uses XLA's.

    They are compiled first, which takes seconds, if this machine has not done it before.
    """
    import jax

    library = native_library(_folder())
    if library is None or jax.default_backend() != "cpu":
        return None
    load(library)
    if jax.config.jax_enable_x64 and (double := native_library(_folder(), bits=64)):
        load(double)
    return library.digest


def _folder() -> Path:
    return cache_folder() / "kernels"


def use_xla_kernels() -> None:
    """In this process and those that it starts: what was trained so comes out to the bit again."""
    os.environ[CHOICE] = "xla"
