"""Whether a search's winner beats a network made by hand: the difference over fresh seeds.

    .venv/bin/python benchmarks/hand_made.py results/records/mnist-7999.json budget-4 \\
        --out benchmarks/records/hand-made-budget-4.json

The winner is a record of `pennyweight confirm --record`. The network made by hand, of the zoo, is
trained as the winner was: on the same data, for as many epochs, from the same seeds, its last
epoch's weights measured on the test set, once. That is done twice: with its maker's recipe, and
with the winner's. Prints the mean of each over its seeds, and how much better the winner is with
the 95% interval of the difference (Welch, Biometrika 34, 28-35, 1947).

What was trained is in --out as soon as it is measured: the same command goes on from there. Expect
a quarter of an hour for a training of `budget-4` on each of two cores, and there are 20.
"""

from __future__ import annotations

import json
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from growing import keep, known_rows

from pennyweight.arch.zoo import entry
from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.search.executors import LocalExecutor
from pennyweight.train.evaluate import Evaluation, measure_on_test
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Outcome, Task, train_rung, warm_up

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    winner: Path,
    name: str,
    /,
    *,
    recipes: tuple[str, ...] = ("own", "winner's"),
    runs: Path = Path("runs"),
    out: Annotated[Path, Parameter(help="The record, which is gone on with.")],
) -> None:
    """Train the zoo's NAME with both recipes from each seed of the record WINNER."""
    against = json.loads(winner.read_text())
    settings = {
        "benchmark": "hand_made",
        "winner": winner.name,
        "network": f"zoo:{name}",
        "notation": entry(name).architecture.notation,
    }
    rows = known_rows(out, settings)
    done = {(row["recipe"], row["seed"]) for row in rows}
    missing = [
        (recipe, seed)
        for recipe in recipes
        for seed in against["test"]["seeds"]
        if (recipe, seed) not in done
    ]
    tasks = [_task(against, name, recipe, seed) for recipe, seed in missing]
    ledger = runs / "hand-made-readings.jsonl"
    warm = partial(warm_up, against["data"], against["search"]["settings"]["seed"])
    with LocalExecutor(warm=warm) as executor:
        places = {executor.submit(train_rung, task): n for n, task in enumerate(tasks)}
        for future in as_completed(places):
            place, outcome = places[future], future.result()
            measured = measure_on_test(tasks[place], outcome.model, ledger, purpose="confirm")
            rows.append(_row(*missing[place], outcome, measured))
            rows.sort(key=lambda row: (row["recipe"], row["seed"]))
            keep(out, settings, rows)
            print("{}, seed {}:".format(*missing[place]), f"{measured.accuracy:.2%}", flush=True)
    _tell(against, settings["network"], winner.name, rows)


def _task(against: dict[str, Any], name: str, recipe: str, seed: int) -> Task:
    hand = entry(name)
    candidate = Candidate(
        architecture=hand.architecture,
        recipe=Recipe(**hand.recipe) if recipe == "own" else Recipe.from_json(against["recipe"]),
        seed=seed,
    )
    return Task(
        source=against["data"],
        split_seed=against["search"]["settings"]["seed"],
        candidate=candidate,
        epochs=against["epochs"],
        from_epoch=0,
        to_epoch=against["epochs"],
        whole=against["whole"],
    )


def _row(recipe: str, seed: int, outcome: Outcome, measured: Evaluation) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "seed": seed,
        "correct": measured.correct,
        "total": measured.total,
        "log_loss": measured.log_loss,
        "train_loss": outcome.curve[-1].train_loss,
        "seconds": {kind: round(value, 1) for kind, value in outcome.seconds.items()},
    }


def _tell(against: dict[str, Any], network: str, winner: str, rows: list[dict[str, Any]]) -> None:
    test = against["test"]
    best = [correct / test["total"] for correct in test["correct"]]
    print(f"{winner}: {against['notation']}, {_mean(best)}")
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        theirs = [row["correct"] / row["total"] for row in rows if row["recipe"] == recipe]
        apart = welch_interval(best, theirs)
        low, mean, high = (f"{100 * part:+.3f}" for part in (apart.low, apart.mean, apart.high))
        print(f"{network}, {recipe} recipe: {_mean(theirs)}")
        print(f"  the winner is {mean} points better [{low}, {high}]")


def _mean(accuracies: list[float]) -> str:
    mean = interval_of(accuracies)
    return f"{mean.mean:.2%} [{mean.low:.2%}, {mean.high:.2%}] over {len(accuracies)} seeds"


if __name__ == "__main__":
    app()
