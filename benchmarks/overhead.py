"""How many of a search's worker-seconds are not spent training: 12 networks on MNIST.

    .venv/bin/python benchmarks/overhead.py --out benchmarks/records/overhead.json
    .venv/bin/python benchmarks/overhead.py --study runs/mnist-8000

The command line searches MNIST (prepared under TFDS_DATA_DIR) under 8,000 parameters and 15 epochs,
12 trials, as a new process with an empty cache; or a finished study is taken. Then each of its
networks is timed as `training.py` times one, a pinned process per core and no augmentation: what
its pictures would take at that rate is training, and the rest of workers times wall-clock seconds
is overhead: importing, compiling, scoring, augmenting, waiting at the end. All networks are timed
in each of several rounds, as a machine is not as fast in one minute as in the next: the share is
the median of the rounds', which are printed. The study's own ledger gives another: of the seconds
in which cores trained, those of idle workers that helped the last busy one too, however well.
Expect half an hour on two cores.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import cpu

from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.recording import versions
from pennyweight.train.cores import HELP
from pennyweight.train.data import load_training_set

training_benchmark: Any = import_module("training")  # of this folder; tests have one, too
DATA, SIDE = "mnist", 28
SEARCH = f"search --device cpu --data {DATA} --max-params 8k --max-epochs 15 --trials 12"

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    study: Annotated[Path | None, Parameter(help="The folder of a finished study.")] = None,
    rounds: int = 7,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search, then time each network."""
    found = searched() if study is None else load_study(study.parent, study.name)
    training = len(load_training_set(DATA).split(found.settings["seed"]).train)
    rows = [row(found, number, training) for number in sorted(found.trials)]
    workers = found.sessions[0]["workers"]
    total_s = workers * found.wall_s
    shares = []
    for _ in range(rounds):
        for each in rows:
            each["pictures_s"].append(rate_s(each))
        training_s = sum(each["pictures"] / each["pictures_s"][-1] for each in rows)
        shares.append(1 - training_s / total_s)
        print(
            f"{training_s:,.0f} of {total_s:,.0f} worker-seconds are training, {shares[-1]:.1%} "
            "are not",
            flush=True,
        )
    share = statistics.median(shares)
    print(f"{'trial':>5}{'epochs':>8}{'pictures/s':>12}  network")
    for each in rows:
        rate = statistics.median(each["pictures_s"])
        print(f"{each['trial']:>5}{each['epochs']:>8}{rate:>12,.0f}  {each['notation']}")
    ledger = ", ".join(f"{kind} {s:,.0f}" for kind, s in found.worker_seconds.items())
    print(f"not training: {share:.1%} ({min(shares):.1%} to {max(shares):.1%})")
    spent = sum(found.worker_seconds.get(kind, 0.0) for kind in ("train", HELP))
    print(f"by the ledger: {1 - spent / total_s:.1%} of {total_s:,.0f}, where {ledger}")
    if out:
        record = {
            "benchmark": "overhead",
            "command": f"pennyweight {SEARCH}",
            "rows": rows,
            "workers": workers,
            "wall_s": found.wall_s,
            "ledger": found.worker_seconds,
            "overhead": share,
            "overhead_by_round": shares,
            "overhead_by_ledger": 1 - spent / total_s,
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def searched() -> StudyRecords:
    """A search by the command line, from a cold start."""
    program = Path(sys.executable).with_name("pennyweight")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [str(program), *SEARCH.split()],
            cwd=folder,
            env={**os.environ, "PENNYWEIGHT_CACHE": f"{folder}/cache"},
            check=True,
        )
        return load_study(Path(folder) / "runs", "mnist-8000")


def row(found: StudyRecords, number: int, training: int) -> dict[str, Any]:
    """A trial, the pictures that it trained on, and rates of its network: none yet."""
    trial = found.trials[number]
    batch = trial.recipe["batch_size"]
    return {
        "trial": number,
        "notation": trial.notation,
        "batch_size": batch,
        "epochs": trial.epochs,
        "pictures": trial.epochs * (training // batch * batch),
        "pictures_s": [],
    }


def rate_s(row: dict[str, Any]) -> float:
    """How many pictures a second a core does of a network, while all others do the same."""
    batch = row["batch_size"]
    network = training_benchmark.Network("", row["notation"], SIDE, batch)
    # Steps as many as make the pictures of 40 of 128.
    steps = training_benchmark.STEPS * 128 // batch
    return training_benchmark.rate(network, "ours", 1, steps) / len(os.sched_getaffinity(0))


if __name__ == "__main__":
    app()
