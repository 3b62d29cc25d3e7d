"""Networks made by hand for MNIST under 4,000 parameters, compared on validation pictures.

    .venv/bin/python benchmarks/by_hand.py --out benchmarks/records/by-hand-mnist-3999.json

The best of them became a first proposal of the search (`mixed` of `search/proposals.py`). Each is
trained with the same recipe, or with what is written beside it changed, for fewer epochs than a
search allows, and from one seed unless `--seeds` says otherwise: one accuracy has a standard error
of 0.1 points, and the log-loss tells more. What the record at `--out` holds is not trained again.
Expect half an hour with two cores.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cyclopts import App
from machine import origin

from pennyweight.arch.cost import cost
from pennyweight.arch.notation import parse
from pennyweight.search.executors import LocalExecutor
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung, warm_up

USUAL = Recipe(
    peak_learning_rate=0.03,
    weight_decay=0.0004,
    averaging=0.548,
    rotation=7.5,
    shear=7.5,
    scale=0.09,
    shift=0.06,
)
_MIXED = "c8bp c8bp m2 w c19k1bp w c19k1bp w c19k1bp m2 w c23k1bp w c23k1bp m2 wvp F d10+"
TRIES: list[tuple[str, dict[str, float]]] = [
    (_MIXED, {}),
    (_MIXED, {"peak_learning_rate": 0.02}),
    (_MIXED, {"peak_learning_rate": 0.05}),
    (_MIXED, {"rotation": 5, "shear": 5, "scale": 0.05, "shift": 0.04}),
    ("c8br c8br m2 w c19k1br w c19k1br w c19k1br m2 w c23k1br w c23k1br m2 wvr F d10+", {}),
    ("c7bp c8bp m2 w c19k1bp w c19k1bp w c19k1bp m2 w c24k1bp w c24k1bp A d10+", {}),
    ("c8bp c10bp m2 w c22k1bp w c25k1bp m2 w c32k1bp m2 wvp F d10+", {}),
    ("c8bp m2 w c20k1bp w c20k1bp w c20k1bp m2 w c25k1bp w c25k1bp m2 wvp F d10+", {}),
    ("c18bp m2 w c22k1bp w c23k1bp m2 w c26k1bp w c26k1bp m2 wvp F d10+", {}),
    ("c8bp c10bp m2 w c21k1bp 2[w c21k1bp] m2 2[w c21k1bp] m2 wvp F d10+", {}),
    ("c19bp m2 2[2[c19bp] m2] wvp F d10+", {}),
    ("c7bp c7bp c12bp m2 c9k1bp c9x2bp c9x2bp c9x2b A d10+", {}),
    ("c6bp c6bp m2 c9bp c9bp m2 c11bp c11bp A d10+", {}),
    ("c6bp c6bp m2 c9bp c9bp m2 c11bp c11bp M d10+", {}),
    ("c6bp c6bp m2 c9bp (c9bp) m2 c11bp (c11bp) A d10+", {}),
    ("c6bp c7bp m2 c10bp c11bp m2 c13bp m2 wvp F d10+", {}),
]

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(*, out: Path, data: str = "mnist", epochs: int = 6, seeds: int = 1) -> None:
    """Train every network from every seed."""
    kept = json.loads(out.read_text())["rows"] if out.exists() else []
    known = {(row["notation"], json.dumps(row["changed"]), row["seed"]) for row in kept}
    wanted = [(*each, seed) for seed in range(seeds) for each in TRIES]
    missing = [each for each in wanted if (each[0], json.dumps(each[1]), each[2]) not in known]
    with LocalExecutor(warm=partial(warm_up, data, 0)) as pool:
        jobs = [pool.submit(_trained, data, epochs, *each) for each in missing]
        rows = kept + [job.result() for job in jobs]
    rows.sort(key=lambda row: row["log_loss"])
    print("accuracy  log-loss  params  network")
    for row in rows:
        changed = ", ".join(f"{name} {value:g}" for name, value in row["changed"].items())
        print(
            f"{row['accuracy']:>8.2%}  {row['log_loss']:>8.4f}  {row['params']:>6,}  "
            f"{row['notation']}{changed and f' with {changed}'}"
        )
    record = {
        "benchmark": "by_hand",
        "data": data,
        "epochs": epochs,
        "recipe": USUAL.to_json(),
        "rows": rows,
        **origin(),
    }
    out.write_text(json.dumps(record, indent=1) + "\n")


def _trained(
    data: str, epochs: int, notation: str, changed: dict[str, float], seed: int
) -> dict[str, Any]:
    info = describe(data)
    architecture = parse(notation, info.input_shape, info.classes)
    candidate = Candidate(architecture=architecture, recipe=replace(USUAL, **changed), seed=seed)
    task = Task(
        source=data,
        split_seed=0,
        candidate=candidate,
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )
    last = train_rung(task).curve[-1]
    return {
        "notation": notation,
        "changed": changed,
        "seed": seed,
        "params": cost(architecture).params,
        "accuracy": last.val_accuracy,
        "log_loss": last.val_log_loss,
        "train_loss": last.train_loss,
    }


if __name__ == "__main__":
    app()
