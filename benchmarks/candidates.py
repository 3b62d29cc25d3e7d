"""Candidates an hour against Optuna with PyTorch and against KerasTuner, from a cold start.

    pip install '.[bench]'
    python benchmarks/candidates.py --out benchmarks/records/candidates.json

All sides train the same 12 networks, drawn from the search space under 8,000 parameters and three
million multiply-accumulates (larger ones would take hours, and say the same), on the same split of
MNIST (prepared under TFDS_DATA_DIR) for three epochs each, with the same recipe:
batches of 128, AdamW, one cycle, random affine changes of every picture, no averaging of weights,
float32, pictures in memory; each epoch ends with the accuracy on all validation pictures. Nothing
is pruned, asked of a sampler or exported. A side runs as its users run it: pennyweight with a
worker process per core; Optuna with single-threaded PyTorch processes, one pinned to each core,
that share a study (or one process with all threads: `--processes 1`); KerasTuner as one process
with all threads, under PyTorch (or JAX: `--backend jax`). Sides take turns; a ratio is the median
of the rounds'.

Seconds are those of a whole new process with an empty cache: imports, compiling, and decoding the
pictures, which all sides do alike, with our reader and once, before anything else. Accuracies are
printed: they must be alike. Expect 40 minutes a round. A trial run takes minutes, but its ratios
say nothing: starting and compiling weigh more in it.

    python benchmarks/candidates.py --pictures 2000 --candidates 2
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import candidates_kerastuner
import candidates_optuna
from candidates_common import (
    CLASSES,
    DATA,
    EPOCHS,
    MAX_MACS,
    MAX_PARAMS,
    RECIPE,
    SEED,
    SHAPE,
    Backend,
    Curve,
    Plan,
    cores,
    split_limited,
)
from cyclopts import App, Parameter
from machine import cpu

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome, choices
from pennyweight.search.recording import versions
from pennyweight.train.data import load_training_set
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Task, train_rungs, warm_up

Side = Literal["pennyweight", "optuna", "kerastuner"]

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *names: Side,
    candidates: int = 12,
    pictures: Annotated[int | None, Parameter(help="Train on so many, not on all.")] = None,
    processes: Annotated[
        int | None, Parameter(help="Of Optuna with PyTorch; by default one per core.")
    ] = None,
    backend: Annotated[Backend, Parameter(help="Of Keras.")] = "torch",
    rounds: int = 1,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Time the sides called NAMES (pennyweight, optuna, kerastuner), by default all, in turns."""
    plan = Plan(
        notations=tuple(architecture.notation for architecture in drawn(candidates)),
        pictures=pictures,
        processes=min(processes or candidates, len(cores()), candidates),
        backend=backend,
    )
    used = versions() | {name: version(name) for name in ("torch", "keras", "keras-tuner")}
    print(f"{'side':<13}{'seconds':>9}{'an hour':>9}{'decoding':>10}  median accuracy", flush=True)
    rows = [timed(name, plan) for _ in range(rounds) for name in names or SIDES]
    print_accuracies(plan, rows)
    ratios = print_ratios(rows)
    if out:
        record = {
            "benchmark": "candidates",
            **asdict(plan),
            "rounds": rounds,
            "data": DATA,
            "epochs": EPOCHS,
            "recipe": RECIPE.to_json(),
            "rows": rows,
            "ratios": ratios,
            "cores": len(cores()),
            "cpu": cpu(),
            "versions": used,
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def drawn(count: int) -> list[Architecture]:
    """The first `count` of one random sequence of networks that spend a budget, and are small."""
    draw = random.Random(SEED)
    architectures: list[Architecture] = []
    while len(architectures) < count:
        genes = {n: draw.random() if o is None else draw.choice(o) for n, o in choices().items()}
        genome = Genome(**genes | {"share": 1.0})  # pyright: ignore[reportArgumentType]
        architecture = decode(genome, Budget(max_params=MAX_PARAMS), SHAPE, CLASSES)
        if cost(architecture).macs <= MAX_MACS:
            architectures.append(architecture)
    return architectures


def timed(name: Side, plan: Plan) -> dict[str, Any]:
    """One run of a side in a new process, as a row of the table, which is printed."""
    threads = len(cores()) // plan.processes if name == "optuna" else len(cores())
    variables = ("NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **dict.fromkeys(variables, str(threads)),
            "PENNYWEIGHT_CACHE": f"{folder}/cache",
            "KERAS_BACKEND": plan.backend,
            "KERAS_HOME": folder,
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
        }
        (Path(folder) / "plan.json").write_text(json.dumps(asdict(plan)))
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, __file__, "side", name, folder], env=os.environ | settings, check=True
        )
        seconds = time.perf_counter() - begun
        result = json.loads((Path(folder) / "result.json").read_text())
    row = {
        "side": name,
        "seconds": seconds,
        "per_hour": len(plan.notations) / seconds * 3_600,
        **result,
    }
    median = statistics.median(curve[-1] for curve in row["curves"])
    line = "{side:<13}{seconds:>9.1f}{per_hour:>9.1f}{decoding_s:>10.1f}".format(**row)
    print(f"{line}  {median:.2%}", flush=True)
    return row


def print_accuracies(plan: Plan, rows: list[dict[str, Any]]) -> None:
    """Each side's last accuracies, of its last round, and how they differ from our own."""
    last = {row["side"]: [curve[-1] for curve in row["curves"]] for row in rows}
    print(f"\n{'':<10}" + "".join(f"{name:>13}" for name in last))
    for number, architecture in enumerate(plan.architectures):
        print(
            f"{number:<10}"
            + "".join(f"{accuracies[number]:>13.2%}" for accuracies in last.values())
            + f"  {cost(architecture).macs / 1e6:.1f}M MACs  {architecture.notation}"
        )
    if (ours := last.get("pennyweight")) is None:
        return
    print(f"{'difference':<10}", end="")
    for accuracies in last.values():
        gaps = [a - b for a, b in zip(accuracies, ours, strict=True)]
        print(f"{statistics.median(gaps):>+13.2%}", end="")
    print("  (median)")


def print_ratios(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """How many times as many candidates an hour we train, by side and round."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(row["side"], []).append(row["per_hour"])
    ours = rates.pop("pennyweight", [])
    ratios = {
        name: [a / b for a, b in zip(ours, theirs, strict=True)]
        for name, theirs in rates.items()
        if ours
    }
    for name, found in ratios.items():
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(f"pennyweight / {name}: {statistics.median(found):.2f} ({spread})")
    return ratios


@app.command
def side(name: Side, folder: Path) -> None:
    """What runs in a side's process; not for people."""
    plan = Plan(**json.loads((folder / "plan.json").read_text()))
    begun = time.perf_counter()
    load_training_set(DATA)  # decoded once, not by every worker
    decoding_s = time.perf_counter() - begun
    result = {"curves": SIDES[name](plan, folder), "decoding_s": decoding_s}
    (folder / "result.json").write_text(json.dumps(result))


def _pennyweight(plan: Plan, folder: Path) -> list[Curve]:
    """As a study does: each candidate is a task for the executor, here scored at every epoch."""
    from pennyweight.search.executors import LocalExecutor

    del folder
    tasks = [
        Task(
            source=DATA,
            split_seed=SEED,
            candidate=Candidate(architecture=architecture, recipe=RECIPE, seed=number),
            epochs=EPOCHS,
            from_epoch=0,
            to_epoch=EPOCHS,
        )
        for number, architecture in enumerate(plan.architectures)
    ]
    with LocalExecutor(warm=partial(_warm, plan.pictures)) as executor:
        return list(executor.map(_curve, tasks))


def _curve(task: Task) -> Curve:
    """The accuracy after each epoch, which is a rung of its own."""
    accuracies, state = [], None
    for epoch in range(task.to_epoch):
        (end,) = train_rungs([replace(task, from_epoch=epoch, to_epoch=epoch + 1, state=state)])
        accuracies.append(end.curve[-1].val_accuracy)
        state = end.state
    return accuracies


def _warm(pictures: int | None) -> None:
    """Start a worker as a study does, but let it learn from `pictures` alone."""
    if pictures is not None:
        home: Any = import_module("pennyweight.train.data")
        home.split = partial(split_limited, pictures=pictures)
    warm_up(DATA, SEED)


SIDES: dict[Side, Callable[[Plan, Path], list[Curve]]] = {
    "pennyweight": _pennyweight,
    "optuna": candidates_optuna.run,
    "kerastuner": candidates_kerastuner.run,
}


if __name__ == "__main__":
    app()
