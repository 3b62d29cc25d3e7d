"""Makes the networks that come trained, results/pretrained/, of the records in results/records/.

    TFDS_DATA_DIR=... .venv/bin/python benchmarks/pretrained.py mnist-8k mnist-500

Without names it makes all. Each is trained again as its record says, from the first of its seeds,
and measured on the test set: on the kind of machine that made the record, the very pictures that it
says are classified rightly. Elsewhere rounding differs, and it is held to the interval in which 95
of 100 further seeds lie; outside of it nothing is written, and the exit status is 1. What is
written is a bundle, whose manifest tells what all seeds of the record reached. Expect three minutes
for a network of 8,000 parameters on two cores.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

from cyclopts import App

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.results.confirmed import Confirmed
from pennyweight.results.models import Model, export_model, find_model
from pennyweight.search import train
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome
from pennyweight.search.proposals import FIRST
from pennyweight.search.single import measure_trained
from pennyweight.train.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
RECORDS = {  # by the name of the pretrained network
    "digits": "digits-999",
    "mnist-500": "mnist-500",
    "mnist-1k": "mnist-999",
    "mnist-2k": "mnist-1999",
    "mnist-4k": "mnist-3999",
    "mnist-8k": "mnist-7999",
}

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(*names: str, runs: Path = Path("runs")) -> None:
    """Make the pretrained networks called `names`, all without any."""
    if unknown := set(names) - RECORDS.keys():
        raise SystemExit(f"There is {', '.join(RECORDS)}, but no {', '.join(sorted(unknown))}.")
    made = [_make(name, runs) for name in names or RECORDS]
    if not all(made):
        sys.exit(1)


def _make(name: str, runs: Path) -> bool:
    """Whether the network called `name` is what its record says; then it was written."""
    path = ROOT / "results" / "records" / f"{RECORDS[name]}.json"
    if not path.exists():
        print(f"{name}: there is no record {path.name} yet, so it is left out", flush=True)
        return True
    record = json.loads(path.read_text())
    study = train(str(path), runs=runs).name
    measured, known = measure_trained(runs, study), _confirmed(record)
    told = f"{name}: {measured.correct:,} of {measured.total:,} on test"
    recorded = record["test"]["correct"][0]
    # Student's interval for one more seed is wider than that of the mean by the root of n + 1.
    apart = (known.high - known.low) / 2 * math.sqrt(len(known.seeds) + 1)
    wanted = f"{recorded:,} on record, and seeds within {apart:.2%} of {known.mean:.2%}"
    if abs(measured.accuracy - known.mean) > apart and measured.correct != recorded:
        print(f"{told}, which is not what {path.name} says: {wanted}", flush=True)
        return False
    exact = measured.correct == recorded
    print(f"{told}, {'as on record' if exact else f'on another machine: {wanted}'}", flush=True)
    folder = ROOT / "results" / "pretrained" / name
    _export(find_model(runs, study), known, _genome(record), path, folder)
    return True


def _export(
    found: Model, known: Confirmed, genome: dict[str, Any], record: Path, folder: Path
) -> None:
    """Write the network that was `found` as that of the first of the seeds which are `known`."""
    trial = dataclasses.replace(found.trial, genome=genome)
    model = Model(found.store, found.study, trial, known)
    model.weights.write(found.weights.read_bytes())
    command = ["pennyweight", "train", f"results/records/{record.name}"]
    export_model(model, folder, command=command, forms=["card"], force=True)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"written: {folder.relative_to(ROOT)}, {size:,} bytes", flush=True)


def _confirmed(record: dict[str, Any]) -> Confirmed:
    tested = record["test"]
    return Confirmed(
        trial=record["search"]["trial"],
        seeds=tuple(tested["seeds"]),
        accuracies=tuple(correct / tested["total"] for correct in tested["correct"]),
        **{part: tested[part] for part in ("mean", "low", "high")},
        tied_with=tuple(record["tied_with"]),
    )


def _genome(record: dict[str, Any]) -> dict[str, Any]:
    """What decodes to the record's network and recipe: its own genome, or one that is asked first.

    {} where there is none, as for a record that was made in another version of the space.
    """
    architecture = Architecture.from_json(record["architecture"])
    recipe = Recipe.from_json(record["recipe"])
    budget = Budget(**record["search"]["settings"]["budget"])
    own = record["search"].get("genome")
    for genome in [*([Genome(**own)] if own else []), *FIRST.values()]:
        found = decode(genome, budget, architecture.input_shape, architecture.classes)
        if (found, genome.recipe) == (architecture, recipe):
            return genome.to_json()
    print(f"no genome of this space gives {architecture.notation}: no search can start from it")
    return {}


if __name__ == "__main__":
    app()
