"""Whether a group changes what its networks learn: 20 seeds, each alone and in a frame, on MNIST.

    .venv/bin/python benchmarks/frames.py --out benchmarks/records/frames.json

In double precision a padded network computes what it computes alone (`tests/test_frame.py`). In
single precision rounding grows apart over thousands of steps, as it does between machines: neither
run is the better one. Here one network of 1,198 parameters is trained by the default recipe, by
itself and padded to a frame half as wide again, from the same 20 seeds. The 95% interval of the
paired differences in validation accuracy (Student's t) must hold 0 and be narrower than 0.3
percentage points; otherwise the exit status is 1. Expect ten minutes on two cores.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from pennyweight.arch.notation import parse
from pennyweight.results.intervals import interval_of
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import versions
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rungs, warm_up

DATA, SPLIT_SEED, BATCH = "mnist", 0, 128
ALONE, FRAME = (
    "c4br m2 c8br m2 c10br A d10+",
    "c6br m2 c12br m2 c15br A d10+",
)
SEEDS = 20
WIDEST = 0.003

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    epochs: int = 3,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Train every seed both ways."""
    with LocalExecutor(warm=partial(warm_up, DATA, SPLIT_SEED)) as pool:
        rows = list(pool.map(trained, range(SEEDS), [epochs] * SEEDS))
    print("seed    alone   framed")
    for row in rows:
        print("{seed:>4}{alone:>9.2%}{framed:>9.2%}".format(**row))
    apart = [row["framed"] - row["alone"] for row in rows]
    found = interval_of(apart)
    fine = found.low <= 0 <= found.high and found.high - found.low < WIDEST
    print(
        f"framed less alone: {found.mean:+.3%}, 95% interval {found.low:+.3%} to {found.high:+.3%}"
    )
    if out:
        record = {
            "benchmark": "frames",
            "data": DATA,
            "networks": [ALONE, FRAME],
            "epochs": epochs,
            "rows": rows,
            "mean": found.mean,
            "interval": [found.low, found.high],
            "cores": os.cpu_count(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(not fine)


def trained(seed: int, epochs: int) -> dict[str, Any]:
    """A row of the table."""
    alone, frame = (parse(notation, (28, 28, 1), 10) for notation in (ALONE, FRAME))
    candidate = Candidate(architecture=alone, recipe=Recipe(batch_size=BATCH), seed=seed)
    task = Task(
        source=DATA,
        split_seed=SPLIT_SEED,
        candidate=candidate,
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )
    both = [train_rungs([each])[0] for each in (task, replace(task, frame=frame))]
    last = [outcome.curve[-1].val_accuracy for outcome in both]
    return {"seed": seed, "alone": last[0], "framed": last[1]}


if __name__ == "__main__":
    app()
