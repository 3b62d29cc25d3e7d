"""Which optimiser learns most in a few epochs, each at several learning rates, from several seeds.

    .venv/bin/python benchmarks/optimisers.py --data digits --base shared --max-params 999 \\
        --epochs 20 --seeds 12 --out benchmarks/records/optimisers-digits.json

The network is a genome that a search asks first, decoded at a cap; nothing differs but the
optimiser and its peak learning rate. Prints the loss on training pictures, and on validation
pictures the accuracy and the log-loss, each in the mean over the seeds, and by how much each
differs in log-loss from AdamW at its best rate, with the 95% interval over the paired seeds.

What was trained is in --out as soon as it is measured: the same command goes on from there. Expect
two minutes on the digits with two cores, and on MNIST, at 4,000 parameters, 6 epochs and 3 seeds,
an hour.
"""

from __future__ import annotations

from concurrent.futures import as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

from cyclopts import App, Parameter
from growing import keep, known_rows
from paired import finite_or_none, paired_lines

from pennyweight.arch.budget import Budget
from pennyweight.search.decode import decode
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.proposals import FIRST
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate, Optimiser
from pennyweight.train.rung import Task, train_rung, warm_up

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
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
    info, recipe = describe(data), FIRST[base].recipe
    budget = Budget(max_params=max_params)
    network = decode(FIRST[base], budget, info.input_shape, info.classes)
    others = recipe.to_json()
    del others["optimiser"], others["peak_learning_rate"]
    settings = {"benchmark": "optimisers", "data": data, "epochs": epochs}
    settings |= {"notation": network.notation, "recipe": others}
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
            recipe=replace(recipe, optimiser=name, peak_learning_rate=rate),
            seed=seed,
        )
        for name, rate, seed in missing
    ]
    task = partial(Task, source=data, split_seed=0, epochs=epochs, from_epoch=0, to_epoch=epochs)
    with LocalExecutor(warm=partial(warm_up, data, 0)) as executor:
        started = {
            executor.submit(train_rung, task(candidate=candidate)): each
            for each, candidate in zip(missing, candidates, strict=True)
        }
        for future in as_completed(started):
            name, rate, seed = started[future]
            last = future.result().curve[-1]
            row = {
                "optimiser": name,
                "rate": rate,
                "seed": seed,
                "train_loss": finite_or_none(last.train_loss),
                "log_loss": finite_or_none(last.val_log_loss),
                "accuracy": last.val_accuracy,
            }
            rows = sorted(
                [*rows, row], key=lambda row: (row["optimiser"], row["rate"], row["seed"])
            )
            keep(out, settings, rows)
    print(network.notation)
    asked = [row for row in rows if (row["optimiser"], row["rate"], row["seed"]) in wanted]
    print("\n".join(paired_lines(asked, "optimiser", base="adamw")))


if __name__ == "__main__":
    app()
