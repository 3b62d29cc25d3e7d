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
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from growing import keep, known_rows
from recorded import recorded_task, tested

from pennyweight.arch.zoo import entry
from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.train.evaluate import Evaluation
from pennyweight.train.recipe import Recipe
from pennyweight.train.rung import Outcome

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
    hand = entry(name)
    taught = {"own": Recipe(**hand.recipe), "winner's": Recipe.from_json(against["recipe"])}
    tasks = [
        recorded_task(against, seed, architecture=hand.architecture, recipe=taught[recipe])
        for recipe, seed in missing
    ]
    ledger = runs / "hand-made-readings.jsonl"
    for place, outcome, measured in tested(against, tasks, ledger, as_recorded=True):
        rows.append(_row(*missing[place], outcome, measured))
        rows.sort(key=lambda row: (row["recipe"], row["seed"]))
        keep(out, settings, rows)
        print("{}, seed {}:".format(*missing[place]), f"{measured.accuracy:.2%}", flush=True)
    _tell(against, settings["network"], winner.name, rows)


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
