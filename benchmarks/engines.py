"""What Dask costs a rung, and how many trials an hour both engines train, side by side.

    .venv/bin/python benchmarks/engines.py --out benchmarks/records/engines.json

Overhead: one process of each engine trains the same short rung, compiled before, in turns, a call
of one after a call of the other; and calls a function that does nothing. A row is the medians of
`--calls`, and the median of the differences between neighbours. Throughput: the command line
searches the digits under 8,000 parameters with 1, 2 and 4 processes (`--counts`) of either engine,
in turns, nothing compiled before; a row is the median of `--rounds`. Expect 20 minutes on two idle
cores, and 2 with `--trials 6 --calls 30 --rounds 1 --counts 1,2`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.arch.notation import parse
from pennyweight.search.device import CPU
from pennyweight.search.engine import Engine
from pennyweight.search.units import Sizes
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rungs, warm_up

if TYPE_CHECKING:
    from pennyweight.search.engine import Pool

DATA = "digits"
NETWORK = "c9br c8br m2 c12br c13br m2 c17br c17br A d10+"  # of `make search`, under 8,000
ENGINES = {"local": "--workers {}", "dask": "--executor dask:local:{}"}

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    calls: int = 200,
    trials: int = 40,
    rounds: int = 3,
    counts: Sizes = (1, 2, 4),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Measure both and print both tables."""
    overhead = measure_overhead(calls)
    throughput = measure_throughput(trials, rounds, counts)
    if out:
        record = {
            "benchmark": "engines",
            "calls": calls,
            "trials": trials,
            "rounds": rounds,
            "overhead": overhead,
            "throughput": throughput,
            **origin(),
        }
        record["versions"] |= {"distributed": version("distributed")}
        out.write_text(json.dumps(record, indent=2) + "\n")


def measure_overhead(calls: int) -> list[dict[str, Any]]:
    """Medians of a call's seconds by both engines, for each kind of call."""
    warm = partial(warm_up, DATA, 0)
    kinds = {"nothing": (os.getpid,), "a rung": (train_rungs, [short_rung()])}
    print(f"{'call':<10}{'local ms':>10}{'dask ms':>10}{'overhead ms':>13}")
    rows = []
    with (
        Engine.of("local").open(1, warm=warm, device=CPU) as local,
        Engine.of("dask:local:1").open(None, warm=warm, device=CPU) as dask,
    ):
        for kind, call in kinds.items():
            for pool in (local, dask):  # compiles, or reads what was compiled
                _timed(pool, *call)
            pairs = [(_timed(local, *call), _timed(dask, *call)) for _ in range(calls)]
            row = {
                "call": kind,
                "local_s": statistics.median(pair[0] for pair in pairs),
                "dask_s": statistics.median(pair[1] for pair in pairs),
                "overhead_s": statistics.median(theirs - ours for ours, theirs in pairs),
            }
            cells = (row["local_s"], row["dask_s"], row["overhead_s"])
            print("{:<10}{:>10.1f}{:>10.1f}{:>13.1f}".format(kind, *(1e3 * s for s in cells)))
            rows.append(row)
    return rows


def short_rung() -> Task:
    """One epoch of a usual network, the second, so that a state goes in and out."""
    info = describe(DATA)
    architecture = parse(NETWORK, info.input_shape, info.classes)
    first = Task(
        source=DATA,
        split_seed=0,
        candidate=Candidate(architecture=architecture, recipe=Recipe(), seed=0),
        epochs=15,
        from_epoch=0,
        to_epoch=1,
    )
    with Engine().open(1, warm=partial(warm_up, DATA, 0), device=CPU) as pool:
        (outcome,) = pool.submit(train_rungs, [first]).result()
    return Task(**{**vars(first), "from_epoch": 1, "to_epoch": 2, "state": outcome.state})


def _timed(pool: Pool, fn: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    pool.submit(fn, *arguments).result()
    return time.perf_counter() - began


def measure_throughput(trials: int, rounds: int, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Trials an hour by both engines with so many processes; the first are compared with."""
    print(f"{'processes':<10}" + "".join(f"{name + ' trials/h':>18}" for name in ENGINES))
    rows = []
    for count in counts:
        seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
        for _ in range(rounds):
            for name in ENGINES:
                seconds[name].append(searched(name, count, trials))
        rates = {name: 3600 * trials / statistics.median(s) for name, s in seconds.items()}
        print(f"{count:<10}" + "".join(f"{rate:>18,.0f}" for rate in rates.values()), flush=True)
        rows.append({"processes": count, "seconds": seconds, "trials_per_hour": rates})
    return rows


def searched(engine: str, count: int, trials: int) -> float:
    """Seconds of one search from the command line, with nothing compiled before."""
    program = Path(sys.executable).with_name("pennyweight")
    flags = f"search --data {DATA} --device cpu --max-params 8k --trials {trials} --json"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [str(program), *flags.split(), *ENGINES[engine].format(count).split()],
            cwd=folder,
            env={**os.environ, "PENNYWEIGHT_CACHE": f"{folder}/cache"},
            capture_output=True,
            check=True,
        )
        return time.perf_counter() - began


if __name__ == "__main__":
    app()
