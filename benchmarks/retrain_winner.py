"""What a study's winner is worth: trained again from fresh seeds, measured on the test set.

    .venv/bin/python benchmarks/retrain_winner.py digits-8000

Rank 1 is trained on the training split with its own recipe for the full epoch limit, once for each
seed that the search did not use; the weights of the last epoch are measured on the test set, once.
Prints each accuracy, the mean and its 95% interval (Student's t), and with --out writes them as
JSON. After `make search` expect a mean of at least 97% on the 360 test pictures, in about half a
minute on two cores.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pennyweight.arch.architecture import Architecture
from pennyweight.results.intervals import interval_of
from pennyweight.results.models import Model, find_model, load_data_of
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import versions
from pennyweight.train.data import normalisation, split
from pennyweight.train.door import distinct_readings, open_test_set
from pennyweight.train.evaluate import Evaluation, evaluate
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung, warm_up

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
    ledger = model.folder.readings
    used = {trial.seed for trial in model.study.trials.values()}
    chosen = list(islice((s for s in count(FIRST_SEED) if s not in used), seeds))
    tasks = [_task(model, seed) for seed in chosen]
    warm = partial(warm_up, model.study.data, model.study.settings["seed"])
    with LocalExecutor(warm=warm) as executor:
        trained = [outcome.model for outcome in executor.map(train_rung, tasks)]
    results = [_measure(model, weights, ledger) for weights in trained]
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


def _task(model: Model, seed: int) -> Task:
    epochs = model.study.budget["max_epochs"] or 1
    candidate = Candidate(
        architecture=Architecture.from_json(model.trial.architecture),
        recipe=Recipe.from_json(dict(model.trial.recipe)),
        seed=seed,
    )
    return Task(
        source=model.study.data,
        split_seed=model.study.settings["seed"],
        candidate=candidate,
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )


def _measure(model: Model, weights: bytes, ledger: Path) -> Evaluation:
    dataset = load_data_of(model.study)
    training = dataset.images[split(dataset.labels, model.study.settings["seed"]).train]
    identity = f"{model.trial.fingerprint} {hashlib.sha256(weights).hexdigest()[:16]}"
    pictures = open_test_set(model.study.data, purpose="confirm", model=identity, ledger=ledger)
    architecture = Architecture.from_json(model.trial.architecture)
    return evaluate(architecture, weights, pictures, *normalisation(training))


if __name__ == "__main__":
    app()
