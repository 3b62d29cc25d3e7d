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

import math
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, get_args

from cyclopts import App, Parameter
from growing import keep, known_rows

from pennyweight.arch.budget import Budget
from pennyweight.results.intervals import interval_of
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
                "train_loss": _number(last.train_loss),
                "log_loss": _number(last.val_log_loss),
                "accuracy": last.val_accuracy,
            }
            rows = sorted(
                [*rows, row], key=lambda row: (row["optimiser"], row["rate"], row["seed"])
            )
            keep(out, settings, rows)
    print(network.notation)
    for line in table([r for r in rows if (r["optimiser"], r["rate"], r["seed"]) in wanted]):
        print("| " + " | ".join(line) + " |")


def _number(value: float) -> float | None:
    """None where training diverged: JSON knows no such numbers."""
    return value if math.isfinite(value) else None


HEAD = ("optimiser", "rate", "train loss", "accuracy, %", "log-loss", "less AdamW's best")


def table(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Lines of text: the best by log-loss first, and last those that diverged."""
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        runs.setdefault((row["optimiser"], row["rate"]), []).append(row)

    def of(key: tuple[str, float], measure: str) -> list[Any]:
        return [row[measure] for row in runs[key]]

    lost = {
        key: sum(None in (row["train_loss"], row["log_loss"]) for row in each)
        for key, each in runs.items()
    }
    whole = sorted(
        (key for key in runs if not lost[key]), key=lambda key: mean(of(key, "log_loss"))
    )
    best = next((key for key in whole if key[0] == "adamw"), None)
    lines: list[tuple[str, ...]] = [HEAD]
    for key in whole:
        apart = ""
        if best and key != best:
            pairs = zip(of(key, "log_loss"), of(best, "log_loss"), strict=True)
            found = interval_of([ours - theirs for ours, theirs in pairs])
            apart = f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
        loss, right, log_loss = (
            mean(of(key, measure)) for measure in ("train_loss", "accuracy", "log_loss")
        )
        told = f"{loss:.4f}", f"{100 * right:.2f}", f"{log_loss:.4f}"
        lines.append((key[0], f"{key[1]:g}", *told, apart))
    for key in sorted(runs.keys() - set(whole)):
        diverged = f"{lost[key]} of {len(runs[key])} diverged"
        lines.append((key[0], f"{key[1]:g}", diverged, "", "", ""))
    return lines


if __name__ == "__main__":
    app()
