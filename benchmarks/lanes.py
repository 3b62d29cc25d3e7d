"""How many candidates a device trains best side by side: throughput against the number of lanes.

    .venv/bin/python benchmarks/lanes.py --out benchmarks/records/lanes.json

A network of the search's usual first structure, under 8,000 parameters, trains some steps on 8x8
and on 28x28 pictures in 1, 2, 4 and 8 lanes (`--most` for more): on JAX's device, in this process,
on one thread where that is a CPU, as a worker of a search does. Each round goes through all of them
in turns; medians of the rounds count. Everything is compiled once, before the first round, and not
from a cache. MNIST is skipped where it is not prepared. On one core expect three minutes.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import cpu

from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome
from pennyweight.search.recording import versions
from pennyweight.train.data import describe
from pennyweight.train.lanes import Measurement, device_name
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Task

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    rounds: int = 5,
    most: Annotated[int, Parameter(help="Lanes: 1, 2, 4 and so on up to this.")] = 8,
    data: Annotated[tuple[str, ...], Parameter(help="Data sets.")] = ("digits", "mnist"),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Measure every number of lanes on every data set, in turns."""
    os.environ.setdefault("NPROC", "1")  # of XLA's threads on a CPU: read when JAX starts
    tasks = [task for name in data if (task := task_on(name)) is not None]
    lanes = [2**power for power in range(most.bit_length())]
    rows = [row for task in tasks for row in measured(task, lanes, rounds)]
    print_table(rows)
    if out:
        record = {
            "benchmark": "lanes",
            "rows": rows,
            "rounds": rounds,
            "command": f"benchmarks/lanes.py --rounds {rounds} --most {most}",
            "device": device_name(),
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def task_on(name: str) -> Task | None:
    """The plain network on a data set; None where that is not here."""
    try:
        info = describe(name)
    except UsageError as error:
        print(f"{name} is skipped: {error}")
        return None
    plain = Genome()
    architecture = decode(plain, Budget(max_params=8_000), info.input_shape, info.classes)
    return Task(
        source=name,
        split_seed=0,
        candidate=Candidate(architecture=architecture, recipe=plain.recipe, seed=0),
        epochs=15,
        from_epoch=0,
        to_epoch=1,
    )


def measured(task: Task, lanes: list[int], rounds: int) -> list[dict[str, Any]]:
    """A row for each number of lanes, with what each round gave."""
    architecture = task.candidate.architecture
    rows: dict[int, dict[str, Any]] = {
        n: {
            "data": task.source,
            "input": "x".join(map(str, architecture.input_shape)),
            "network": architecture.notation,
            "batch_size": task.candidate.recipe.batch_size,
            "lanes": n,
            "pictures_per_s": [],
        }
        for n in lanes
    }
    ready = {n: Measurement.of(task, n) for n in lanes}
    for turn in range(rounds):
        for n in lanes if turn % 2 == 0 else lanes[::-1]:
            rows[n]["pictures_per_s"].append(ready[n].pictures_per_s())
    return [row | {"compile_s": ready[n].compile_s} for n, row in rows.items()]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Medians, and what each number of lanes gains over one."""
    print(f"{'data':<10}{'lanes':>6}{'pictures/s':>12}{'gain':>7}{'compile s':>11}")
    alone: dict[str, float] = {}
    for row in rows:
        rate = statistics.median(row["pictures_per_s"])
        gain = rate / alone.setdefault(row["data"], rate)
        print(
            f"{row['data']:<10}{row['lanes']:>6}{rate:>12,.0f}{gain:>7.2f}{row['compile_s']:>11.1f}"
        )


if __name__ == "__main__":
    app()
