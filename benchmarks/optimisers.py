"""Which optimiser learns most in a few epochs, each at several learning rates, from several seeds.

    .venv/bin/python benchmarks/optimisers.py --data digits --base shared --max-params 999 \\
        --epochs 20 --seeds 12 --out benchmarks/records/optimisers-digits.json

The network is a genome that a search asks first, decoded at a cap; nothing differs but the
optimiser and its peak learning rate. Prints the loss on training pictures, and on validation
pictures the log-loss and the accuracy, each in the mean over the seeds, and with the 95% interval
(Welch) by how much each differs in log-loss from AdamW where AdamW is at its best.

What was trained is in --out as soon as it is measured: the same command goes on from there. Expect
five minutes on the digits with two cores, and on MNIST, at 4,000 parameters, 6 epochs and 3 seeds,
an hour.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, get_args

from cyclopts import App, Parameter
from growing import keep, known_rows

from pennyweight.arch.budget import Budget
from pennyweight.results.intervals import welch_interval
from pennyweight.search.decode import decode
from pennyweight.search.proposals import FIRST
from pennyweight.train.cores import available_cores
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate, Optimiser
from pennyweight.train.rung import Task, train_rung, warm_up

RATES = (0.01, 0.02, 0.05, 0.1)
FASTER = 5  # SGD's rates are so many times as high

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    data: str = "digits",
    base: str = "shared",
    max_params: int = 999,
    epochs: int = 20,
    seeds: int = 5,
    rates: tuple[float, ...] = RATES,
    out: Annotated[Path, Parameter(help="The record, which is gone on with.")],
) -> None:
    """Train a first proposal with every optimiser at every rate from every seed."""
    os.environ["NPROC"] = "1"  # one thread a process, as in a search
    info = describe(data)
    budget = Budget(max_params=max_params)
    network = decode(FIRST[base], budget, info.input_shape, info.classes)
    settings = {"benchmark": "optimisers", "data": data, "epochs": epochs}
    settings["notation"] = network.notation
    rows = known_rows(out, settings)
    done = {(row["optimiser"], row["rate"], row["seed"]) for row in rows}
    wanted = [
        (name, rate * (FASTER if name == "sgd" else 1), seed)
        for seed in range(seeds)
        for name in get_args(Optimiser)
        for rate in rates
    ]
    missing = [each for each in wanted if each not in done]
    candidates = [
        Candidate(
            architecture=network,
            recipe=replace(FIRST[base].recipe, optimiser=name, peak_learning_rate=rate),
            seed=seed,
        )
        for name, rate, seed in missing
    ]
    task = partial(Task, source=data, split_seed=0, epochs=epochs, from_epoch=0, to_epoch=epochs)
    pool = partial(ProcessPoolExecutor, len(available_cores()), get_context("spawn"), warm_up)
    with pool((data, 0)) as workers:
        started = {
            workers.submit(train_rung, task(candidate=candidate)): each
            for each, candidate in zip(missing, candidates, strict=True)
        }
        for future in as_completed(started):
            name, rate, seed = started[future]
            last = future.result().curve[-1]
            row = {
                "optimiser": name,
                "rate": rate,
                "seed": seed,
                "train_loss": _number(last.train_loss),
                "log_loss": _number(last.val_log_loss),
                "accuracy": last.val_accuracy,
            }
            rows = sorted([*rows, row], key=lambda row: tuple(row.values())[:3])
            keep(out, settings, rows)
    print(network.notation)
    _tell([row for row in rows if (row["optimiser"], row["rate"], row["seed"]) in wanted])


def _number(value: float) -> float | None:
    """None where training diverged: JSON knows no such numbers."""
    return value if math.isfinite(value) else None


def _tell(rows: Sequence[dict[str, Any]]) -> None:
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        runs.setdefault((row["optimiser"], row["rate"]), []).append(row)

    def of(key: tuple[str, float], measure: str) -> list[Any]:
        return [row[measure] for row in runs[key]]

    diverged = [key for key in runs if None in of(key, "train_loss") + of(key, "log_loss")]
    ranked = sorted(runs.keys() - diverged, key=lambda key: mean(of(key, "log_loss")))
    best = next(key for key in ranked if key[0] == "adamw")
    print("optimiser   rate  train loss  log-loss  accuracy  log-loss less AdamW's best [95%]")
    for key in ranked:
        told = [mean(of(key, measure)) for measure in ("train_loss", "log_loss", "accuracy")]
        apart = welch_interval(of(key, "log_loss"), of(best, "log_loss"))
        against = f"{apart.mean:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]" if key != best else ""
        print("{:<9} {:>6g}  {:>10.4f}  {:>8.4f}  {:>8.2%}".format(*key, *told), "", against)
    for key in diverged:
        print("{:<9} {:>6g}  diverged".format(*key))


if __name__ == "__main__":
    app()
