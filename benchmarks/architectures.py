"""What random networks of the space cost to start and to compile, what they hold, and their speed.

    python benchmarks/architectures.py --out benchmarks/records/architectures.json
    python benchmarks/architectures.py --speed --out benchmarks/records/speed.json

Networks for MNIST under 8,000 parameters are drawn as a search draws its first, at random, and
trained by the default recipe in batches of 128. Each is measured in a process like a search's
worker (`architectures_worker.py`): one thread, pinned to one core, nothing beside it.

The first command prints, in seconds: *initialise*, what a new network takes before it is compiled;
*compile* with an empty cache in a process that has all cores, in one like a search's worker and, in
a new one of these, with the cache that was left; and for each program the tracing and lowering, and
XLA's part (two programs compile at the same time, so these parts overlap). The plain network that
warms a process up is not in the quartiles. Then the peak resident memory of processes that compile
and train one network each, for an epoch of as many pictures as MNIST has.

With `--speed` the networks train short epochs, with the learning rates and the XLA options of
whole ones. A picture is 6 FLOP for each multiply-accumulate, forward and backward. The slowest
must reach a third of the median MFLOP/s: if not, the exit status is 1.

On two cores expect ten minutes, and as many with `--speed`, which compiles on all cores first.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from machine import cpu

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome, random_genome
from pennyweight.search.proposals import PLAIN, Proposals
from pennyweight.search.recording import versions
from pennyweight.train.recipe import Recipe

SHAPE, CLASSES = (28, 28, 1), 10
MAX_PARAMS = 8_000
SPLITS = (54_000, 2_048, 6_000)  # MNIST's pictures to train, to calibrate and to validate on
EPOCHS = 15
RECIPE = Recipe(batch_size=128)
STEPS = 20  # of a short epoch; each takes its memory anew, which weighs nothing in a whole one
ALL = -1  # cores
ROUNDS = 3  # short epochs; one before them, which warms up, is not counted
LEAST = 1 / 3  # of the median speed
PASSES = ("all cores, empty cache", "one core, empty cache", "one core, full cache")

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    count: Annotated[
        int | None, Parameter(help="Of networks; by default 50, or 100 with --speed.")
    ] = None,
    memory: Annotated[int, Parameter(help="Of these, how many to measure the memory of.")] = 5,
    speed: Annotated[bool, Parameter(help="Measure speed, not costs.", negative="")] = False,
    seed: int = 0,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Measure random networks."""
    networks = draw(count or (100 if speed else 50), seed)
    found: dict[str, Any] = (
        speeds(networks) if speed else {**costs(networks), "memory": held(networks, memory)}
    )
    if out:
        record = {
            "benchmark": "architectures",
            "seed": seed,
            "batch": RECIPE.batch_size,
            **found,
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")
    if speed and found["ratio"] < LEAST:
        sys.exit("The slowest is below a third of the median.")


def draw(count: int, seed: int) -> list[Architecture]:
    """Random networks; one in five spends only a part of the budget, as in a search."""
    chance, proposals = random.Random(seed), Proposals()
    networks = []
    for number in range(proposals.alone, proposals.alone + count):
        networks.append(_decoded(random_genome(chance, proposals.share_of(number))))
    return networks


def costs(networks: list[Architecture]) -> dict[str, Any]:
    """Seconds to initialise and to compile."""
    warmed = [_decoded(PLAIN), *networks]
    with tempfile.TemporaryDirectory() as all_cores, tempfile.TemporaryDirectory() as one_core:
        passes = [
            list(measured("compile", warmed, all_cores, core=ALL)),
            list(measured("compile", warmed, one_core)),
            list(measured("compile", warmed, one_core)),
        ]
    first = {name: rows.pop(0) for name, rows in zip(PASSES, passes, strict=True)}
    print(f"{len(networks):>3} networks, seconds{'median':>17}{'quartiles':>19}{'max':>9}")
    summary: dict[str, Any] = {
        "initialise": summarised("initialise", [row["initialise"] for row in passes[1]])
    }
    for name, rows in zip(PASSES, passes, strict=True):
        summary[name] = compile_summary(name, rows)
    return {
        "splits": SPLITS,
        "epochs": EPOCHS,
        "summary": summary,
        "first of a process": first,
        "rows": [
            described(network) | dict(zip(PASSES, rows, strict=True))
            for network, *rows in zip(networks, *passes, strict=True)
        ],
    }


def compile_summary(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Some lines of the table, printed: all of compiling, and each program that was compiled."""
    summary: dict[str, Any] = {"compile": summarised(name, [row["compile"] for row in rows])}
    for program in ("train_steps", "score"):
        parts = [row["programs"][program] for row in rows if program in row["programs"]]
        if parts:
            summary[program] = {
                "lowering": summarised(f"  {program}, lowering", [p["lowering"] for p in parts]),
                "xla": summarised(f"  {program}, XLA", [p["xla"] for p in parts]),
            }
    return summary


def held(networks: list[Architecture], count: int) -> list[dict[str, Any]]:
    """Peak bytes of a process each, for `count` networks from small feature maps to the largest."""
    ordered = sorted(networks, key=lambda network: cost(network).peak_activation_bytes)
    count = min(count, len(ordered))
    rows = []
    for network in [ordered[len(ordered) * (n + 1) // count - 1] for n in range(count)]:
        with tempfile.TemporaryDirectory() as cache:  # empty: XLA is part of what a worker holds
            rows += [described(network) | row for row in measured("memory", [network], cache)]
    if rows:
        peaks = [row["peak_bytes"] / 1e6 for row in rows]
        median, most, before = statistics.median(peaks), max(peaks), rows[0]["before_bytes"] / 1e6
        print(
            f"peak memory, {count} processes: median {median:,.0f} MB, max {most:,.0f} MB; "
            f"{before:,.0f} MB before there is a network"
        )
    return rows


def speeds(networks: list[Architecture]) -> dict[str, Any]:
    """Pictures and MFLOP a second."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        compile_ahead(networks, cache)
        print(f"{'pictures/s':>10}{'MFLOP/s':>9}{'kMACs':>8}  network")
        for network, found in zip(networks, measured("speed", networks, cache), strict=True):
            row = described(network) | found
            rows.append(row | {"mflop_s": 6e-6 * row["macs"] * row["pictures_s"]})
            _print_speed(rows[-1])
    median = statistics.median(row["mflop_s"] for row in rows)
    pictures = statistics.median(row["pictures_s"] for row in rows)
    slowest = min(rows, key=lambda row: row["mflop_s"])
    ratio = slowest["mflop_s"] / median
    print(f"median {median:,.0f} MFLOP/s and {pictures:,.0f} pictures/s; the slowest network:")
    _print_speed(slowest)
    print(f"slowest / median {ratio:.2f}, must be at least {LEAST:.2f}")
    return {
        "steps": STEPS,
        "rounds": ROUNDS,
        "median_mflop_s": median,
        "median_pictures_s": pictures,
        "slowest": slowest["notation"],
        "ratio": ratio,
        "rows": rows,
    }


def compile_ahead(networks: Sequence[Architecture], cache: str) -> None:
    """Fill the cache for `speeds` on all cores at once; compiling takes longer than measuring."""
    cores = sorted(os.sched_getaffinity(0))
    shares = [networks[n :: len(cores)] for n in range(len(cores))]
    with ThreadPoolExecutor(len(cores)) as pool:
        fill = partial(measured, "ahead", cache=cache)
        list(pool.map(lambda share, core: list(fill(share, core=core)), shares, cores))


def measured(
    what: str, networks: Sequence[Architecture], cache: str, core: int | None = None
) -> Iterator[dict[str, Any]]:
    """What one new worker process measures of each network in turn: on `core`, the last, or ALL."""
    threads = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    settled = {"JAX_PLATFORMS": "cpu", "PENNYWEIGHT_CACHE": cache}
    if core != ALL:
        settled |= dict.fromkeys(threads, "1")
    place = max(os.sched_getaffinity(0)) if core is None else core
    script = Path(__file__).with_name("architectures_worker.py")
    with subprocess.Popen(
        [sys.executable, script, what, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settled},
    ) as process:
        assert process.stdin
        assert process.stdout
        for network in networks:
            process.stdin.write(f"{network.notation}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                status = process.wait()
                raise RuntimeError(f"A worker ended with status {status} on {network.notation}.")
            yield json.loads(line)


def summarised(name: str, values: Sequence[float]) -> dict[str, float]:
    """A line of the table, printed."""
    low, median, high, most = map(float, np.quantile(values, (0.25, 0.5, 0.75, 1)))
    print(f"{name:<30}{median:>9.3f}{low:>9.3f} to{high:>7.3f}{most:>9.3f}", flush=True)
    return {"median": median, "low": low, "high": high, "max": most}


def described(network: Architecture) -> dict[str, Any]:
    spent = cost(network)
    return {"notation": network.notation, "params": spent.params, "macs": spent.macs}


def _decoded(genome: Genome) -> Architecture:
    return decode(genome, Budget(max_params=MAX_PARAMS), SHAPE, CLASSES)


def _print_speed(row: dict[str, Any]) -> None:
    line = "{pictures_s:>10,.0f}{mflop_s:>9,.0f}{kmacs:>8,.0f}  {notation}"
    print(line.format(kmacs=row["macs"] / 1e3, **row), flush=True)


if __name__ == "__main__":
    app()
