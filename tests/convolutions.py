"""The forms in which convolutions are computed, each taken where its size would not choose it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import pytest

from pennyweight.arch import kernels
from pennyweight.arch.native_library import CHOICE, native_library, using
from pennyweight.train.cache import cache_folder

COMPILER = shutil.which("gcc") or shutil.which("cc")
FORMS = ("whole", "piecewise", "in C")


@contextmanager
def taking(form: str) -> Iterator[None]:
    """Convolutions are computed in one form, or the test is skipped where there is none such."""
    if form != "whole" and jax.default_backend() != "cpu":
        pytest.skip("on a CPU alone maps go piece by piece, or through C")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "PIECEWISE_FROM", 0 if form == "piecewise" else 2**60)
        if form != "in C":
            patch.setenv(CHOICE, "xla")
            yield
            return
        patch.delenv(CHOICE, raising=False)
        if not COMPILER:
            pytest.skip("there is no C compiler")
        libraries = [native_library(cache_folder() / "kernels", bits) for bits in (32, 64)]
        found = [library for library in libraries if library is not None]
        assert found == libraries, "it does not compile"
        with using(*found):
            yield
