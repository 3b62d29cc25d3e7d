"""A program in a process of its own, which cannot import Pennyweight: what an export must need."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import RunError

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
        run = subprocess.run(
            [sys.executable, *flags, "-c", _BEFORE + program + _AFTER, folder, *files],
            # On the CPU, as this process may hold all the memory of other devices; and the last
            # line of a traceback is to be the error, not JAX's remark on what it left out.
            env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_TRACEBACK_FILTERING": "off"},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
            raise RunError(f"The exported {what} fails in a fresh process: {last}")
        return np.load(files[1], allow_pickle=False)
