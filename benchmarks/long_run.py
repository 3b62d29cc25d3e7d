"""One search of 2,000 trials: whether memory stays as it is, and what asking and telling take.

    .venv/bin/python benchmarks/long_run.py --out benchmarks/records/long-run.json

The search is the guide's first: the digits, under 8,000 parameters, at most 15 epochs; the cache
is empty. Memory is the resident set of each process (RSS, from /proc), read every second: what it
was around trial 200 is compared with what it was at the end. Asking and telling are from the
study's own ledger, over the last trials. Expect 20 minutes on two cores; `--trials 400` takes four.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.results.records import read_records

FLAGS = ["--data", "digits", "--max-params", "8k", "--max-epochs", "15", "--study", "long"]
EARLY = 200  # trials, after which memory is to stay
LAST = 100  # trials, over which asking and telling are averaged
TAKEN = 15  # readings around a moment, of which the median is taken

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    trials: int = 2_000,
    workers: int = 2,
    runs: Annotated[Path | None, Parameter(help="Where to keep the study.")] = None,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search, and watch."""
    with tempfile.TemporaryDirectory() as folder:
        kept = runs or Path(folder) / "runs"
        began = time.perf_counter()
        readings = searched(kept, Path(folder) / "cache", trials, workers)
        seconds = time.perf_counter() - began
        records = read_records(kept / "long" / "records.jsonl")
    memory = [grown(role, readings) for role in roles(readings)]
    for each in memory:
        print(
            "{role:<13}{early_mb:>6.0f} MB after {early:,} trials{end_mb:>8.0f} MB after {end:,}"
            "{growth:>+8.1%}".format(**each)
        )
    asking = [per_trial(records, LAST, until) for until in (EARLY + LAST, trials)]
    for each in asking:
        print("to trial {until:,}: ask {ask_s:.3f} s, tell {tell_s:.3f} s a trial".format(**each))
    total = totals(records)
    share = (total["ask"] + total["tell"]) / (workers * seconds)
    print(f"asking and telling: {share:.1%} of {workers * seconds:,.0f} worker-seconds")
    if out:
        record = {"benchmark": "long-run", "trials": trials, "workers": workers}
        record |= {"seconds": seconds, "memory": memory, "asking": asking, "share": share}
        record |= {"coordinator_seconds": total, "every_minute": readings[::60]}
        out.write_text(json.dumps(record | origin(), indent=2) + "\n")


def searched(runs: Path, cache: Path, trials: int, workers: int) -> list[dict[str, Any]]:
    """Readings of a search, one a second: trials that had ended, and MB by role."""
    command = [Path(sys.executable).with_name("pennyweight"), "search", *FLAGS]
    command += ["--trials", str(trials), "--workers", str(workers), "--runs", runs]
    environment = os.environ | {"PENNYWEIGHT_CACHE": str(cache)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    ended, readings, read_to = 0, [], 0
    records = runs / "long" / "records.jsonl"
    while process.poll() is None:
        if records.exists():
            with records.open("rb") as file:
                file.seek(read_to)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            read_to, ended = read_to + len(whole), ended + whole.count(b'{"kind":"end"')
        if ended < trials:  # at the end it reads the whole study, to show it
            readings.append({"ended": ended, "mb": resident_mb(process.pid)})
        time.sleep(1)
    if process.returncode:
        sys.exit(f"The search ended with status {process.returncode}.")
    return readings


def resident_mb(coordinator: int) -> dict[str, float]:
    """The resident sets of a search's processes; workers by the order of their start."""
    found = {"coordinator": of(coordinator)}
    children = Path(f"/proc/{coordinator}/task/{coordinator}/children").read_text().split()
    for thread in Path(f"/proc/{coordinator}/task").glob("*/children"):
        try:
            children = sorted({*children, *thread.read_text().split()}, key=int)
        except OSError:
            continue
    workers = [int(child) for child in children if b"spawn_main" in command_line(int(child))]
    return found | {f"worker {n}": of(pid) for n, pid in enumerate(workers)}


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def of(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def roles(readings: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(role for reading in readings for role in reading["mb"]))


def grown(role: str, readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a process had after `EARLY` trials and at the end, each a median of readings."""
    known = [(r["ended"], r["mb"][role]) for r in readings if r["mb"].get(role)]
    after = next(place for place, (ended, _) in enumerate(known) if ended >= EARLY)
    early, end = known[after : after + TAKEN], known[-TAKEN:]
    early_mb, end_mb = (median(mb for _, mb in part) for part in (early, end))
    return {
        "role": role,
        "early": early[0][0],
        "early_mb": early_mb,
        "end": end[-1][0],
        "end_mb": end_mb,
        "growth": end_mb / early_mb - 1,
        "most_mb": max(mb for _, mb in known),
    }


def per_trial(records: Sequence[Mapping[str, Any]], last: int, until: int) -> dict[str, Any]:
    """Seconds of asking and telling a trial, over the ledgers with the `last` trials asked."""
    windows: list[tuple[int, Mapping[str, float]]] = []
    asked = 0
    for record in records:
        asked += record["kind"] == "trial"
        if record["kind"] == "ledger":
            windows.append((asked, record["seconds"]))
            if asked >= until:
                break
    before = next((n for n, _ in reversed(windows[:-1]) if n <= windows[-1][0] - last), 0)
    taken = [seconds for n, seconds in windows if n > before]
    trials = windows[-1][0] - before
    each = {f"{k}_s": sum(s.get(k, 0.0) for s in taken) / trials for k in ("ask", "tell")}
    return {"until": windows[-1][0], "trials": trials} | each


def totals(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The coordinator's seconds by kind."""
    ledgers = [record["seconds"] for record in records if record["kind"] == "ledger"]
    kinds = sorted({kind for ledger in ledgers for kind in ledger})
    return {kind: sum(ledger.get(kind, 0.0) for ledger in ledgers) for kind in kinds}


if __name__ == "__main__":
    app()
