"""What each dimension of the space is worth: one gene changed at a time, on validation pictures.

    .venv/bin/python benchmarks/dimensions.py --out benchmarks/records/dimensions-digits.json

The base is a genome that a search asks first, decoded at a cap. Each row changes one gene, decodes
at the same cap, and trains from the same seeds on the training split; the difference in validation
accuracy comes with its 95% interval (Welch). A dimension stays in the space where one of its values
is worth something here or under another cap. Expect ten minutes on the digits with two cores.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.search.decode import decode
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.genome import Genome, choices
from pennyweight.search.proposals import FIRST
from pennyweight.search.recording import identity
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Task, train_rungs, warm_up

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    data: str = "digits",
    base: str = "shared",
    max_params: int = 999,
    epochs: int = 30,
    seeds: int = 5,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Train every variation of a first proposal from every seed."""
    changes: list[tuple[str, Any]] = [("base", FIRST[base]), *_variations(FIRST[base])]
    tasks, names = [], []
    seen = set()
    for name, genome in changes:
        each = _tasks(genome, data, max_params, epochs, seeds)
        if (known := identity(each[0].candidate)) not in seen:  # some genes do nothing here
            seen.add(known)
            tasks.append(each)
            names.append(name)
    with LocalExecutor(warm=partial(warm_up, data, 0)) as pool:
        trained = [
            [o.curve[-1].val_accuracy for o in found] for found in pool.map(train_rungs, tasks)
        ]
    rows = []
    for name, each, accuracies in zip(names, tasks, trained, strict=True):
        apart = welch_interval(accuracies, trained[0])
        architecture = each[0].candidate.architecture
        rows.append(
            {
                "change": name,
                "accuracy": interval_of(accuracies).mean,
                "worth": apart.mean,
                "low": apart.low,
                "high": apart.high,
                "params": cost(architecture).params,
                "notation": architecture.notation,
                "accuracies": accuracies,
            }
        )
    print("change                    accuracy   worth, points [95%]     params")
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        interval = "{:+.2f} [{:+.2f}, {:+.2f}]".format(
            *(100 * row[name] for name in ("worth", "low", "high"))
        )
        print(f"{row['change']:<26}{row['accuracy']:>8.2%}   {interval:<22}{row['params']:>7,}")
    if out:
        record = {
            "benchmark": "dimensions",
            "data": data,
            "base": base,
            "max_params": max_params,
            "epochs": epochs,
            "seeds": seeds,
            "rows": rows,
            **origin(),
        }
        out.write_text(json.dumps(record, indent=1) + "\n")


def _variations(base: Genome) -> list[tuple[str, Genome]]:
    """Every other value of each categorical gene, and the ends of each numeric one."""
    varied = []
    for name, options in choices().items():
        if name != "share":
            values = options or (0.0, 0.25, 0.75, 1.0)
            others = [value for value in values if value != getattr(base, name)]
            varied += [(f"{name} {value}", replace(base, **{name: value})) for value in others]
    return varied


def _tasks(genome: Genome, data: str, max_params: int, epochs: int, seeds: int) -> list[Task]:
    info = describe(data)
    budget = Budget(max_params=max_params)
    architecture = decode(genome, budget, info.input_shape, info.classes)
    return [
        Task(
            source=data,
            split_seed=0,
            candidate=Candidate(architecture=architecture, recipe=genome.recipe, seed=seed),
            epochs=epochs,
            from_epoch=0,
            to_epoch=epochs,
        )
        for seed in range(seeds)
    ]


if __name__ == "__main__":
    app()
