"""What each dimension of the space is worth: one gene changed at a time, on validation pictures.

    .venv/bin/python benchmarks/dimensions.py --out benchmarks/records/dimensions-digits.json

The base is a genome that a search asks first, decoded at a cap. Each row changes one gene, decodes
at the same cap, and trains from the same seeds on the training split; the difference in validation
accuracy comes with its 95% interval (Welch). A dimension stays in the space where one of its values
is worth something here or under another cap. What was trained is in --out at once, and the same
command goes on from there. Expect ten minutes on the digits with two cores, and an hour on MNIST.
"""

from __future__ import annotations

from concurrent.futures import as_completed
from dataclasses import replace
from functools import partial
from math import nan
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

from cyclopts import App, Parameter
from growing import keep, known_rows

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.results.intervals import welch_interval
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
    out: Annotated[Path, Parameter(help="The record, which is gone on with.")],
) -> None:
    """Train every variation of a first proposal from every seed."""
    asked = {"data": data, "base": base, "max_params": max_params, "epochs": epochs, "seeds": seeds}
    settings: dict[str, Any] = {"benchmark": "dimensions", **asked}
    rows = known_rows(out, settings)
    done = {row["change"] for row in rows}
    changed: dict[str, list[Task]] = {}
    seen = set()
    for name, genome in [("base", FIRST[base]), *_variations(FIRST[base])]:
        tasks = _tasks(genome, data, max_params, epochs, seeds)
        if (known := identity(tasks[0].candidate)) not in seen:  # some genes do nothing here
            seen.add(known)
            changed[name] = tasks
    with LocalExecutor(warm=partial(warm_up, data, 0)) as pool:
        names = {
            pool.submit(train_rungs, tasks): name
            for name, tasks in changed.items()
            if name not in done
        }
        for future in as_completed(names):
            name = names[future]
            architecture = changed[name][0].candidate.architecture
            ends = [outcome.curve[-1] for outcome in future.result()]
            rows.append(
                {
                    "change": name,
                    "params": cost(architecture).params,
                    "notation": architecture.notation,
                    "accuracies": [end.val_accuracy for end in ends],
                    "log_losses": [end.val_log_loss for end in ends],
                }
            )
            rows.sort(key=lambda row: list(changed).index(row["change"]))
            keep(out, settings, rows)
    _tell(rows)


def _tell(rows: list[dict[str, Any]]) -> None:
    print("change                    accuracy   worth, points [95%]     log-loss   params")
    ours = rows[0]["accuracies"]
    for row in sorted(rows, key=lambda row: -mean(row["accuracies"])):
        apart = welch_interval(row["accuracies"], ours)
        interval = "{:+.2f} [{:+.2f}, {:+.2f}]".format(
            *(100 * part for part in (apart.mean, apart.low, apart.high))
        )
        print(
            f"{row['change']:<26}{mean(row['accuracies']):>8.2%}   {interval:<22}"
            f"{mean(row.get('log_losses', [nan])):>10.4f}{row['params']:>9,}"
        )


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
