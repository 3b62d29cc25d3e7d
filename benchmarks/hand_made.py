"""Whether a search's winner beats a network made by hand: the difference over fresh seeds.

    .venv/bin/python benchmarks/hand_made.py WINNER.json HAND.json [HAND.json ...]

Each file is a record of `pennyweight confirm --record`: the winner of a study, and the hand-made
network from as many fresh seeds, with its own recipe or with the winner's:

    pennyweight train zoo:budget-4 --data mnist --max-epochs 15 --study hand
    pennyweight confirm hand:0 --seeds 10 --record hand.json
    pennyweight train zoo:budget-4 --recipe WINNER.json --data mnist --study lent
    pennyweight confirm lent:0 --seeds 10 --record lent.json

Prints the mean of each over its seeds on the test set, and how much better the winner is with the
95% interval of the difference (Welch, Biometrika 34, 28-35, 1947).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclopts import App

from pennyweight.results.intervals import interval_of, welch_interval

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(winner: Path, /, *others: Path) -> None:
    """Compare records, which must be of the same data and epochs."""
    records = [_read(path) for path in (winner, *others)]
    first = records[0]
    for path, record in zip((winner, *others), records, strict=True):
        same = all(record[name] == first[name] for name in ("data_fingerprint", "epochs", "whole"))
        if not same:
            raise SystemExit(f"{path} was made with other data or epochs than {winner}.")
        mean = interval_of(_accuracies(record))
        print(f"{path.stem}: {record['cost']['params']:,} parameters, {record['notation']}")
        seeds = len(record["test"]["seeds"])
        print(f"  {mean.mean:.2%} [{mean.low:.2%}, {mean.high:.2%}], {seeds} seeds")
        if record is not first:
            apart = welch_interval(_accuracies(first), _accuracies(record))
            low, high = 100 * apart.low, 100 * apart.high
            print(
                f"  the winner is {100 * apart.mean:+.3f} points better [{low:+.3f}, {high:+.3f}]"
            )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _accuracies(record: dict[str, Any]) -> list[float]:
    test = record["test"]
    return [correct / test["total"] for correct in test["correct"]]


if __name__ == "__main__":
    app()
