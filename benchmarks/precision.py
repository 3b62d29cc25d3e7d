"""What bfloat16 products cost in accuracy and save in time: 20 seeds, each trained both ways.

    .venv/bin/python benchmarks/precision.py --out benchmarks/records/precision.json

One network is trained by the default recipe in float32 and in bfloat16 from the same seeds, in
turns in one process with one thread, a process per core. Printed are the 95% interval of the paired
differences in validation accuracy (Student's t) and the ratio of training seconds, the median over
the seeds, compiling not included. On the digits, expect three minutes on two cores.
"""

from __future__ import annotations

import json
import os
import statistics
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

from cyclopts import App, Parameter
from machine import cpu

from pennyweight.arch.notation import parse
from pennyweight.results.intervals import interval_of
from pennyweight.search.device import CPU
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import versions
from pennyweight.train.data import describe
from pennyweight.train.precision import Precision
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rungs, warm_up

SPLIT_SEED = 0
NETWORK = "c9br c8br m2 c12br c13br m2 c17br c17br A d10+"

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    data: str = "digits",
    network: str = NETWORK,
    epochs: int = 15,
    seeds: int = 20,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Train every seed both ways."""
    given = [[each] * seeds for each in (data, network, epochs)]
    with LocalExecutor(warm=partial(warm_up, data, SPLIT_SEED), device=CPU) as pool:
        rows = list(pool.map(trained, range(seeds), *given))
    print("seed  float32  bfloat16  seconds")
    for row in rows:
        (wide, narrow), seconds = row["val_accuracy"], row["train_s"]
        print(f"{row['seed']:>4}{wide:>9.2%}{narrow:>10.2%}{seconds[0]:>6.1f} {seconds[1]:.1f}")
    apart = [row["val_accuracy"][1] - row["val_accuracy"][0] for row in rows]
    difference = interval_of(apart)
    ratio = statistics.median(row["train_s"][1] / row["train_s"][0] for row in rows)
    interval = f"95% interval {difference.low:+.3%} to {difference.high:+.3%}"
    print(f"bfloat16 less float32: {difference.mean:+.3%}, {interval}")
    print(f"training in bfloat16 takes {ratio:.2f} times as long")
    if out:
        record = {
            "benchmark": "precision",
            "data": data,
            "network": network,
            "epochs": epochs,
            "precisions": get_args(Precision),
            "rows": rows,
            "mean": difference.mean,
            "interval": [difference.low, difference.high],
            "ratio": ratio,
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def trained(seed: int, data: str, network: str, epochs: int) -> dict[str, Any]:
    """A row of the table; the way that goes first changes from seed to seed."""
    info = describe(data)
    architecture = parse(network, info.input_shape, info.classes)
    candidate = Candidate(architecture=architecture, recipe=Recipe(), seed=seed)
    ways = get_args(Precision)
    found = {}
    for precision in ways if seed % 2 else ways[::-1]:
        task = Task(
            source=data,
            split_seed=SPLIT_SEED,
            candidate=candidate,
            epochs=epochs,
            from_epoch=0,
            to_epoch=epochs,
            precision=precision,
        )
        found[precision] = train_rungs([task])[0]
    return {
        "seed": seed,
        "val_accuracy": [found[way].curve[-1].val_accuracy for way in ways],
        "train_s": [found[way].seconds["train"] for way in ways],
        "evaluate_s": [found[way].seconds["evaluate"] for way in ways],
        "compile_s": [found[way].seconds["compile"] for way in ways],
    }


if __name__ == "__main__":
    app()
