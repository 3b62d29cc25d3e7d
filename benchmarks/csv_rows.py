"""The 42,000-row CSV of a Kaggle competition, made from MNIST's training pictures, and its loading.

    TFDS_DATA_DIR=... .venv/bin/python benchmarks/csv_rows.py rows

Writes `train.csv` (label and 784 levels; a seeded draw of 42,000 pictures) and `test.csv` (the
other 18,000, without labels) into the folder, and loads the first in a fresh process with an empty
cache. Prints how long that took, without importing, how long its processor was busy with it, and
the most memory that the process held. Above 3 s or 1 GB, the exit status is 1. Expect half a
minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from cyclopts import App

from pennyweight.train.data import load_training_set

ROWS, MOST_S, MOST_MIB = 42_000, 3.0, 950
LOAD = """
import resource, sys, time
from pennyweight.train.data import load_training_set

began, busy = time.perf_counter(), time.process_time()
load_training_set(f"csv:{sys.argv[1]}")
seconds = time.perf_counter() - began, time.process_time() - busy
print(*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)
"""

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(folder: Path) -> None:
    """Write the two files into FOLDER and load the first."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder)
    seconds, busy_s, mebibytes = load_rows(folder / "train.csv")
    took = f"{seconds:.2f} s ({busy_s:.2f} s of the processor)"
    print(f"{ROWS:,} rows loaded in {took}, in {mebibytes:.0f} MiB")
    sys.exit(seconds > MOST_S or mebibytes > MOST_MIB)


def write_rows(folder: Path) -> None:
    """Write `train.csv` and `test.csv`."""
    digits = load_training_set("mnist")
    drawn = np.random.default_rng(0).permutation(len(digits.labels))[:ROWS]
    rest = np.setdiff1d(np.arange(len(digits.labels)), drawn)
    levels = digits.images.reshape(len(digits.labels), -1)
    names = ",".join(f"pixel{number}" for number in range(levels.shape[1]))
    labelled = np.hstack([digits.labels[drawn, None], levels[drawn]])
    for name, table, header in (
        ("train.csv", labelled, f"label,{names}"),
        ("test.csv", levels[rest], names),
    ):
        np.savetxt(folder / name, table, "%d", ",", header=header, comments="")


def load_rows(path: Path) -> tuple[float, float, float]:
    """Seconds on the clock and of the processor, and mebibytes."""
    with tempfile.TemporaryDirectory() as cache:
        ran = subprocess.run(
            [sys.executable, "-c", LOAD, path],
            env={**os.environ, "PENNYWEIGHT_CACHE": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, busy_s, mebibytes = map(float, ran.stdout.split())
    return seconds, busy_s, mebibytes


if __name__ == "__main__":
    app()
