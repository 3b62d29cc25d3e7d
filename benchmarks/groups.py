"""Searching in groups of one structure against one compilation a trial, from a cold start.

    .venv/bin/python benchmarks/groups.py --out benchmarks/records/groups.json

The command line searches the digits under 8,000 parameters and 15 epochs, 200 trials each way, in
new processes with an empty cache: in groups as usual, and with `--group 1`. Seconds are those of
the whole command. Epochs, networks (distinct ones) and complete trials say that both did their
work. On two cores expect 1.5 and 4 minutes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from pennyweight.search.recording import versions

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    trials: int = 200,
    rounds: int = 1,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search both ways, in turns."""
    print(f"{'way':<10}{'seconds':>9}{'networks':>10}{'complete':>10}{'epochs':>8}{'best':>9}")
    ways = {"groups": [], "one by one": ["--group", "1"]}
    rows = [searched(name, flags, trials) for _ in range(rounds) for name, flags in ways.items()]
    seconds = {name: [row["seconds"] for row in rows if row["way"] == name] for name in ways}
    ratios = sorted(b / a for a, b in zip(*seconds.values(), strict=True))
    print(f"one by one takes {ratios[len(ratios) // 2]:.2f} times as long")
    if out:
        record = {
            "benchmark": "groups",
            "trials": trials,
            "rows": rows,
            "ratios": ratios,
            "command": f"benchmarks/groups.py --trials {trials} --rounds {rounds}",
            "cores": os.cpu_count(),
            "cpu": platform.processor() or platform.machine(),
            "versions": versions(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def searched(name: str, flags: list[str], trials: int) -> dict[str, Any]:
    """One search, as a row of the table, which is printed."""
    program = Path(sys.executable).with_name("pennyweight")
    fixed = ["--data", "digits", "--max-params", "8k", "--max-epochs", "15", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), "search", *fixed, "--trials", str(trials), *flags]
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
        "epochs": sum(trial["epochs"] for trial in found["rows"]),
        "best": found["rows"][0]["val_accuracy"],
        "ledger": found["seconds"],
    }
    print(
        "{way:<10}{seconds:>9.1f}{networks:>10}{complete:>10}{epochs:>8}{best:>9.2%}".format(**row),
        flush=True,
    )
    return row


if __name__ == "__main__":
    app()
