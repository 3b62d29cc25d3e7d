"""Memory that was freed goes back to the system."""

import ctypes
import os
from pathlib import Path

import pytest

from pennyweight.train.memory import give_back


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this is not glibc")
def test_what_was_freed_below_what_is_held_goes_back_to_the_system() -> None:
    """The pieces are too small to be mapped by themselves, and one is held at the end."""
    pieces = [bytes(20_000) + os.urandom(1) for _ in range(5_000)]
    held = pieces[-1]
    full = resident_mb()
    del pieces
    kept = resident_mb()
    give_back()
    assert full - resident_mb() > 80
    assert kept - resident_mb() > 40, "it had gone back by itself: this test shows nothing"
    assert len(held) == 20_001
