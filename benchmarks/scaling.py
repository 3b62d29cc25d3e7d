"""How the cost of a search's unit of work grows, with one thing at a time.

    .venv/bin/python benchmarks/scaling.py --out benchmarks/records/scaling.json

Parameters and epochs: the plain network of a budget is trained on the digits by `train_rungs`, and
its ledger read. Pictures: as many random ones of the digits' size go through the same compiled
epoch and score. Workers: the command line searches the digits, with nothing compiled before. A row
is the median of `--rounds`, each in a new process with one thread and no cache; the exponent p of
seconds ~ size^p is fitted by least squares to the logarithms. Expect six minutes on two idle cores.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from machine import cpu

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome
from pennyweight.search.recording import versions
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rungs

DATA = "digits"
USUAL_PARAMS, USUAL_EPOCHS = 8_000, 8
CAPS = (500, 2_000, 8_000, 32_000)
EPOCHS = (1, 4, 16, 64)
PICTURES = (1_000, 4_000, 16_000, 64_000)
KINDS = ("compile", "train", "evaluate")

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    rounds: int = 3,
    trials: int = 40,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Measure, fit and print all four."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    print(f"{'grows':<12}{'to':>8}" + "".join(f"{kind + ' s':>12}" for kind in KINDS))
    tables: list[tuple[str, Callable[[int], dict[str, float]], tuple[int, ...]]] = [
        ("parameters", by_parameters, CAPS),
        ("pictures", by_pictures, PICTURES),
        ("epochs", by_epochs, EPOCHS),
    ]
    found: dict[str, Any] = {}
    for grows, measured, sizes in tables:
        rows = [_median(measured, size, rounds) for size in sizes]
        for row in rows:
            cells = "".join(f"{row[kind]:>12.3f}" for kind in KINDS)
            print(f"{grows:<12}{row['size']:>8,.0f}{cells}")
        fitted = {kind: exponent([(row["size"], row[kind]) for row in rows]) for kind in KINDS}
        print(f"{'':<12}{'power':>8}" + "".join(f"{fitted[kind]:>12.2f}" for kind in KINDS))
        found[grows] = {"rows": rows, "exponents": fitted}
    found["workers"] = by_workers(trials)
    if out:
        record = {
            "benchmark": "scaling",
            "rounds": rounds,
            "trials": trials,
            "usual": {"data": DATA, "max_params": USUAL_PARAMS, "epochs": USUAL_EPOCHS},
            **found,
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def exponent(points: list[tuple[float, float]]) -> float:
    """The p of seconds ~ size^p."""
    sizes, seconds = np.log(np.asarray(points)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def by_parameters(cap: int) -> dict[str, float]:
    """The plain network of this budget; the size is what it has of it."""
    candidate = plain(cap)
    return {"size": cost(candidate.architecture).params, **ledger(candidate, USUAL_EPOCHS)}


def by_epochs(epochs: int) -> dict[str, float]:
    """The usual network, trained for so long."""
    return {"size": epochs, **ledger(plain(USUAL_PARAMS), epochs)}


def by_pictures(count: int) -> dict[str, float]:
    """The usual network on so many random pictures, an epoch and a score, a ninth to score."""
    import jax

    from pennyweight.arch.network import draw_weights
    from pennyweight.train.compiled import compiled
    from pennyweight.train.optimiser import hypers
    from pennyweight.train.plan import plan_epoch
    from pennyweight.train.program import CALIBRATION, Program, initial_state

    candidate = plain(USUAL_PARAMS)
    program = Program.of(candidate, USUAL_EPOCHS)
    sets = [_random_pictures(n) for n in (count, min(count, CALIBRATION), count // 9)]
    traced = hypers(candidate.recipe, count // candidate.recipe.batch_size)
    state = initial_state(program, draw_weights(candidate.architecture, 0)[0], traced)
    plan = plan_epoch(count, candidate.recipe, 0, 1)
    began = time.perf_counter()
    run = compiled(program, *(len(pictures.labels_n) for pictures in sets))
    seconds = {"size": float(count), "compile": time.perf_counter() - began}
    jax.block_until_ready(run.train_steps(state, traced, sets[0], plan))  # touches the memory
    began = time.perf_counter()
    state, _ = jax.block_until_ready(run.train_steps(state, traced, sets[0], plan))
    seconds["train"] = time.perf_counter() - began
    began = time.perf_counter()
    jax.block_until_ready(run.score(state.average, *sets[1:]))
    return seconds | {"evaluate": time.perf_counter() - began}


def by_workers(trials: int) -> dict[str, Any]:
    """Searches by 1, 2, 4, ... processes, up to one for each core; the table is printed."""
    cores = len(os.sched_getaffinity(0))
    counts = sorted({cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})
    rows = [{"size": count, "seconds": searched(count, trials)} for count in counts]
    for row in rows:
        row["trials_per_hour"] = trials / row["seconds"] * 3600
        print(f"{'workers':<12}{row['size']:>8}{row['trials_per_hour']:>12,.0f} trials per hour")
    power = math.nan
    if len(rows) > 1:
        power = exponent([(row["size"], row["trials_per_hour"]) for row in rows])
        print(f"{'':<12}{'power':>8}{power:>12.2f}")
    return {"rows": rows, "exponent": power if rows[1:] else None}


def searched(workers: int, trials: int) -> float:
    """Seconds of one search from the command line, with nothing compiled before."""
    program = Path(sys.executable).with_name("pennyweight")
    flags = ["--data", DATA, "--device", "cpu", "--max-params", str(USUAL_PARAMS), "--json"]
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), "search", *flags, "--trials", str(trials)]
        environment = {**os.environ, "PENNYWEIGHT_CACHE": f"{folder}/cache"}
        began = time.perf_counter()
        subprocess.run(
            [*command, "--workers", str(workers)],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=True,
        )
        return time.perf_counter() - began


def plain(max_params: int) -> Candidate:
    """The network that the default genome becomes under this budget."""
    info = describe(DATA)
    budget = Budget(max_params=max_params)
    architecture = decode(Genome(), budget, info.input_shape, info.classes)
    return Candidate(architecture=architecture, recipe=Recipe(), seed=0)


def ledger(candidate: Candidate, epochs: int) -> dict[str, float]:
    """What the rung says that its parts took."""
    task = Task(
        source=DATA,
        split_seed=0,
        candidate=candidate,
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )
    (outcome,) = train_rungs([task])
    return {kind: outcome.seconds[kind] for kind in KINDS}


def _median(measured: Callable[[int], dict[str, float]], size: int, rounds: int) -> dict[str, Any]:
    """The median of each value, every round in a process of its own."""
    os.environ["NPROC"] = "1"  # one thread a process, as in a search
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        rows = list(pool.map(measured, [size] * rounds))
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _random_pictures(count: int) -> Any:
    import jax

    from pennyweight.train.program import Pictures

    info = describe(DATA)
    random = np.random.default_rng(count)
    channels = info.input_shape[2]
    return jax.device_put(
        Pictures(
            images_nhwc=random.integers(0, 256, (count, *info.input_shape), np.uint8),  # type: ignore[arg-type]
            labels_n=random.integers(0, info.classes, count, np.int32),  # type: ignore[arg-type]
            mean_c=np.full(channels, 0.5, np.float32),  # type: ignore[arg-type]
            std_c=np.full(channels, 0.3, np.float32),  # type: ignore[arg-type]
        )
    )


if __name__ == "__main__":
    app()
