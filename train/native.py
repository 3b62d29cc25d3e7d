"""Which convolutions this process trains with: in C where a compiler is, or in XLA's operations."""

import jax

from pennyweight.arch.native_library import use_native_kernels
from pennyweight.train.cache import cache_folder


def native_kernels() -> str | None:
    """What tells the convolutions in C, in use from now on, from others; None where there are none.

    They are compiled first, which takes seconds, if this machine has not done it before.
    """
    if jax.default_backend() != "cpu":
        return None
    return use_native_kernels(cache_folder() / "kernels")
