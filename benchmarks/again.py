"""Makes records in results/records/ again: the same networks from the same seeds, by this version.

    TFDS_DATA_DIR=... .venv/bin/python benchmarks/again.py results/records/mnist-{500,999}.json

For after a change that rounds otherwise: then `pennyweight train RECORD --seed S --test` is to give
what the record says to the picture once more. What was searched, chosen and raced stays as it was;
each seed is trained again on training and validation pictures and measured on the test set, once.
Prints the mean before and after. A seed that was trained is kept in --parts until the record is
written, and the same command goes on from there. The pretrained networks are then to be made again
too (`pretrained.py`). Expect three minutes for a seed of 1,000 parameters on each of two cores.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from cyclopts import App
from growing import keep, known_rows
from recorded import recorded_task, tested

from pennyweight.results.folder import write_whole
from pennyweight.results.intervals import interval_of
from pennyweight.search.recording import versions

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(*records: Path, parts: Path = Path("runs")) -> None:
    """Make the RECORDS again, one after the other."""
    parts.mkdir(parents=True, exist_ok=True)
    for record in records:
        _make(record, parts)


def _make(path: Path, parts: Path) -> None:
    old = json.loads(path.read_text())
    same = ("architecture", "recipe", "epochs", "precision", "whole", "data_fingerprint")
    settings = {"benchmark": "again", "record": path.name, "versions": versions()}
    settings |= {name: old[name] for name in same}
    out = parts / f"again-{path.name}"
    rows = known_rows(out, settings)
    missing = sorted(set(old["test"]["seeds"]) - {row["seed"] for row in rows})
    tasks = [recorded_task(old, seed) for seed in missing]
    readings = parts / "again-readings.jsonl"
    for place, outcome, measured in tested(old, tasks, readings, as_recorded=False):
        row = {
            "seed": missing[place],
            "correct": measured.correct,
            "log_loss": measured.log_loss,
            "train_loss": outcome.curve[-1].train_loss,
            "seconds": outcome.seconds,
        }
        rows.append(row)
        keep(out, settings, rows)
        print(f"{path.name}, seed {row['seed']}: {measured.accuracy:.2%}", flush=True)
    _write(path, old, sorted(rows, key=lambda row: row["seed"]))
    out.unlink(missing_ok=True)


def _write(path: Path, old: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    total = old["test"]["total"]
    mean = interval_of([row["correct"] / total for row in rows])
    measured = {name: [row[name] for row in rows] for name in ("correct", "log_loss", "train_loss")}
    spent: Counter[str] = Counter()
    for row in rows:
        spent.update(row["seconds"])
    seconds = {kind: round(value, 1) for kind, value in spent.most_common()}
    new = old | {
        "test": old["test"] | {"mean": mean.mean, "low": mean.low, "high": mean.high} | measured,
        "again": {
            "command": ["benchmarks/again.py", f"results/records/{path.name}"],
            "seconds": seconds,
        },
        "versions": versions(),
    }
    write_whole(path, (json.dumps(new, indent=1, allow_nan=False) + "\n").encode())
    print(f"{path.name}: {old['test']['mean']:.3%} before, {mean.mean:.3%} now", flush=True)


if __name__ == "__main__":
    app()
