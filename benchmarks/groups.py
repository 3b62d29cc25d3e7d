"""Searching in groups of one structure against one compilation a trial, from a cold start.

    .venv/bin/python benchmarks/groups.py --out benchmarks/records/groups.json

The command line searches the digits (`--data`) under 8,000 parameters and 15 epochs, 200 trials
each way, in new processes with an empty cache: in groups as usual, and with `--group 1`. Seconds
are those of the whole command. With `--device gpu` or `tpu` the same is measured there, where a
group trains side by side. Epochs, networks (distinct ones) and complete trials say that both did
their work. On two cores expect one and three minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import cpu

from pennyweight.search.device import Asked
from pennyweight.search.recording import versions

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    trials: int = 200,
    rounds: int = 1,
    data: str = "digits",
    device: Asked = "auto",
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search both ways, in turns."""
    print(f"{'way':<10}{'seconds':>9}{'networks':>10}{'complete':>10}{'epochs':>8}{'best':>9}")
    ways = {"groups": [], "one by one": ["--group", "1"]}
    fixed = ["--data", data, "--device", device, "--trials", str(trials)]
    turns = [way for _ in range(rounds) for way in ways.items()]
    rows = [searched(name, [*fixed, *flags]) for name, flags in turns]
    seconds = {name: [row["seconds"] for row in rows if row["way"] == name] for name in ways}
    ratios = sorted(b / a for a, b in zip(*seconds.values(), strict=True))
    print(f"one by one takes {ratios[len(ratios) // 2]:.2f} times as long")
    if out:
        record = {
            "benchmark": "groups",
            "trials": trials,
            "rows": rows,
            "ratios": ratios,
            "data": data,
            "command": f"benchmarks/groups.py --trials {trials} --rounds {rounds} --data {data} "
            f"--device {device}",
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def searched(name: str, flags: list[str]) -> dict[str, Any]:
    """One search, as a row of the table, which is printed."""
    program = Path(sys.executable).with_name("pennyweight")
    fixed = ["--max-params", "8k", "--max-epochs", "15", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), "search", *fixed, *flags]
        begun = time.perf_counter()
        ran = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PENNYWEIGHT_CACHE": f"{folder}/cache"},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - begun
    found = json.loads(ran.stdout)
    row = {
        "way": name,
        "seconds": seconds,
        "networks": len({trial["fingerprint"] for trial in found["rows"]}),
        "complete": found["trials"]["complete"],
        "trials_per_hour": 3_600 * found["trials"]["asked"] / seconds,
        "epochs": sum(trial["epochs"] for trial in found["rows"]),
        "best": found["rows"][0]["val_accuracy"],
        "ledger": found["seconds"],
        "lanes": found["lanes"],
    }
    print(
        "{way:<10}{seconds:>9.1f}{networks:>10}{complete:>10}{epochs:>8}{best:>9.2%}".format(**row),
        flush=True,
    )
    return row


if __name__ == "__main__":
    app()
