"""A program in a process of its own, which cannot import Pennyweight: what an export must need."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import RunError
from pennyweight.results.bounded import run_bounded

_PATIENCE_S = 300  # until it has imported and compiled what it needs, on a busy machine
_A_PICTURE_S = 0.1

_BEFORE = """
import sys

sys.modules["pennyweight"] = None  # importing it fails, as where it is not installed
folder, images_file, logits_file = sys.argv[1:]
sys.path.insert(0, folder)

import numpy as np

images = np.load(images_file)
"""
_AFTER = """
np.save(logits_file, logits)
"""


def fresh_logits(what: str, program: str, folder: Path, images: np.ndarray) -> np.ndarray:
    """The `logits` that `program` makes of `images`, with the exported `folder` at hand.

    Raises RunError that says `what` fails, and the last line of why.
    """
    with tempfile.TemporaryDirectory(prefix="pennyweight-") as work:
        files = Path(work, "images.npy"), Path(work, "logits.npy")
        np.save(files[0], images)
        # Isolated from our folder and environment; a bundle's bytecode is neither read nor written.
        flags = ("-I", "-B", "-X", f"pycache_prefix={work}")
        run = run_bounded(
            [sys.executable, *flags, "-c", _BEFORE + program + _AFTER, str(folder)]
            + [str(file) for file in files],
            # On the CPU, as this process may hold all the memory of other devices; and the last
            # line of a traceback is to be the error, not JAX's remark on what it left out.
            env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_TRACEBACK_FILTERING": "off"},
            timeout_s=_PATIENCE_S + _A_PICTURE_S * len(images),
        )
        if run.returncode:
            last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
            raise RunError(f"The exported {what} fails in a fresh process: {last}")
        if not files[1].exists():
            raise RunError(f"The exported {what} ends before it has classified anything.")
        return np.load(files[1], allow_pickle=False)
