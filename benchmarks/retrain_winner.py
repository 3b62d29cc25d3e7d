"""What a study's winner is worth: trained again from fresh seeds, measured on the test set.

    .venv/bin/python benchmarks/retrain_winner.py digits-8000

Rank 1 is trained on the training split with its own recipe for the full epoch limit, once for each
seed that the search did not use; the weights of the last epoch are measured on the test set, once.
Prints each accuracy, the mean and its 95% interval (Student's t), and with --out writes them as
JSON. After `make search` expect a mean of at least 97% on the 360 test pictures, in about half a
minute on two cores.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pennyweight.results.intervals import interval_of
from pennyweight.results.models import find_model, load_data_of
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import fresh_seeds, task_again, versions
from pennyweight.train.door import distinct_readings
from pennyweight.train.evaluate import measure_on_test
from pennyweight.train.rung import train_rung, warm_up

FIRST_SEED = 1_000  # those that the study used are passed over

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    study: str,
    /,
    *,
    seeds: int = 5,
    runs: Path = Path("runs"),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Train rank 1 of STUDY again from fresh seeds and measure it on the test set."""
    model = find_model(runs, study)
    ledger = model.store.readings
    load_data_of(model.study)  # refused where they have changed
    chosen = fresh_seeds(model.study, FIRST_SEED, seeds)
    tasks = [task_again(model.study, model.trial, seed) for seed in chosen]
    warm = partial(warm_up, model.study.data, model.study.settings["seed"])
    with LocalExecutor(warm=warm) as executor:
        trained = [outcome.model for outcome in executor.map(train_rung, tasks)]
    results = [
        measure_on_test(task, weights, ledger, purpose="confirm")
        for task, weights in zip(tasks, trained, strict=True)
    ]
    accuracies = [result.accuracy for result in results]
    interval = interval_of(accuracies)
    print(f"{model.trial.notation}: {model.trial.cost['params']:,} parameters")
    for seed, result in zip(chosen, results, strict=True):
        print(f"seed {seed}: {result.accuracy:.2%} ({result.correct} of {result.total})")
    print(f"mean {interval.mean:.2%}, 95% interval {interval.low:.2%} to {interval.high:.2%}")
    if out:
        record = {
            "benchmark": "retrain_winner",
            "study": model.study.study,
            "trial": model.trial.trial,
            "architecture": model.trial.architecture,
            "recipe": model.trial.recipe,
            "params": model.trial.cost["params"],
            "data": model.study.data,
            "epochs": model.study.budget["max_epochs"],
            "split_seed": model.study.settings["seed"],
            "seeds": chosen,
            "test_accuracy": accuracies,
            **vars(interval),
            "test_readings": distinct_readings(ledger),
            "command": f"benchmarks/retrain_winner.py {study} --seeds {seeds}",
            "cores": os.cpu_count(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    app()
