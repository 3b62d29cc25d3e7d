"""Tenfold cross-validation of the whole tool on the 8x8 digits: search, confirm, test, ten times.

    .venv/bin/python benchmarks/ten_fold.py --out results/records/digits-999-folds.json

Each tenth of the 1,797 pictures is a test set once. Everything else happens on the other nine: the
search, the race of its best, and the training of the winner from fresh seeds, each of which is
measured on the tenth. Prints the accuracy of each fold, averaged over its seeds, and the mean of
all with its 95% interval over folds (Student's t). Below --least, the exit status is 1. Expect
half an hour on two cores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.results.intervals import interval_of
from pennyweight.search import search
from pennyweight.search.confirm import Confirmation
from pennyweight.train.digits import FOLDS

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    max_params: int = 999,
    max_epochs: int = 60,
    trials: int = 24,
    race: int = 3,
    seeds: int = 3,
    folds: int = FOLDS,
    least: float = 0.98,
    runs: Path = Path("runs"),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search, confirm and test on each of the first `folds` folds."""
    rows = []
    for number in range(1, folds + 1):
        rows.append(_fold(number, max_params, max_epochs, trials, race, seeds, runs))
        told = "fold {fold:>2}: {accuracy:.2%}  {params:>5,} parameters  {notation}"
        print(told.format(**rows[-1]), flush=True)
    found = interval_of([row["accuracy"] for row in rows])
    print(f"mean {found.mean:.2%}, 95% interval {found.low:.2%} to {found.high:.2%}")
    if out:
        record = {
            "format": "pennyweight-folds/1",
            "data": "digits",
            "max_params": max_params,
            "epochs": max_epochs,
            "trials": trials,
            "race": race,
            "rows": rows,
            **vars(found),
            **origin(),
        }
        out.write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(found.mean < least)


def _fold(
    number: int, max_params: int, max_epochs: int, trials: int, race: int, seeds: int, runs: Path
) -> dict[str, Any]:
    """A row of the table."""
    found = search(
        f"digits:fold{number}",
        max_params=max_params,
        max_epochs=max_epochs,
        trials=trials,
        runs=runs,
    )
    confirmation = Confirmation(runs=runs, model=found.name, top=3, race=race, seeds=seeds)
    study, best = confirmation.run()
    trial = study.trials[best.trial]
    return {
        "fold": number,
        "accuracy": best.mean,
        "seeds": best.seeds,
        "accuracies": best.accuracies,
        "trial": best.trial,
        "params": trial.cost["params"],
        "notation": trial.notation,
        "recipe": dict(trial.recipe),
        "wall_s": round(study.wall_s, 1),
    }


if __name__ == "__main__":
    app()
