"""Claims of the reference systems, tested on validation pictures of MNIST with paired seeds.

    .venv/bin/python benchmarks/claims.py --out benchmarks/records/claims.json

Its maker found a global maximum better than a global average, dropout and BatchNorm good, and L1
and L2 penalties, 0.01 among them, bad. Here small networks differ in that alone: the same data,
split, recipe, epochs and seeds, the last epoch's weights, and no test picture. What the record at
`--out` holds is not trained again, and must be of the same settings. Expect a quarter of an
hour on one core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cyclopts import App
from growing import keep, known_rows

from pennyweight.arch.cost import cost
from pennyweight.arch.notation import parse
from pennyweight.results.intervals import interval_of
from pennyweight.train.data import describe
from pennyweight.train.recipe import UNCHANGED, Candidate, Recipe
from pennyweight.train.rung import Task, train_rung, warm_up

USUAL = Recipe(weight_decay=0.0, **UNCHANGED)
SPLIT_SEED = 0

_PLAIN, _NORMALISED = "c8s2+r m2 c16+r c16+r", "c8s2br m2 c16br c16br"


@dataclass(frozen=True)
class Variant:
    """A network and what its recipe has beside the usual one."""

    notation: str
    recipe: Mapping[str, float] = field(default_factory=dict)


VARIANTS: Mapping[str, Variant] = {
    "plain": Variant(f"{_PLAIN} A d10+"),
    "plain, maximum": Variant(f"{_PLAIN} M d10+"),
    "BatchNorm": Variant(f"{_NORMALISED} A d10+"),
    "BatchNorm, maximum": Variant(f"{_NORMALISED} M d10+"),
    "dropout 0.25": Variant(f"{_PLAIN} o0.25 A d10+"),
    **{
        f"{name.upper()} {value:g}": Variant(f"{_PLAIN} A d10+", {name: value})
        for name in ("l1", "l2")
        for value in (0.01, 0.001, 0.0001)
    },
}
CLAIMS: Sequence[tuple[str, str]] = [
    ("plain, maximum", "plain"),
    ("BatchNorm, maximum", "BatchNorm"),
    ("BatchNorm", "plain"),
    *((name, "plain") for name in VARIANTS if name.startswith(("dropout", "L1", "L2"))),
]
"""Of each pair, the difference first less second."""

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(*, out: Path, data: str = "mnist", epochs: int = 5, seeds: int = 5) -> None:
    """Train every variant from every seed, and compare."""
    os.environ["NPROC"] = "1"  # one thread, as in a search
    warm_up(data, SPLIT_SEED)
    settings = {"benchmark": "claims", "data": data, "epochs": epochs, "recipe": USUAL.to_json()}
    found = {(row["variant"], row["seed"]): row for row in _known(out, settings)}
    for name in VARIANTS:
        for seed in range(seeds):
            if (name, seed) not in found:
                found[name, seed] = trained(data, epochs, name, seed)
                print(f"{name}, seed {seed}: {found[name, seed]['val_accuracy']:.2%}", flush=True)
                rows = list(found.values())
                keep(out, settings, rows, differences=compared(rows))
    for each in compared(list(found.values())):
        low, high = (100 * end for end in each["interval"])
        print(f"{each['one']} less {each['other']}: {100 * each['mean']:+.2f} points,", end=" ")
        print(f"95% interval {low:+.2f} to {high:+.2f}")


def _known(out: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    rows = known_rows(out, settings)
    if changed := [row for row in rows if row["notation"] != VARIANTS[row["variant"]].notation]:
        sys.exit(f"{out} holds another network as {changed[0]['variant']!r}: move it away.")
    return rows


def trained(data: str, epochs: int, name: str, seed: int) -> dict[str, Any]:
    """A row of the record."""
    info, variant = describe(data), VARIANTS[name]
    architecture = parse(variant.notation, info.input_shape, info.classes)
    task = Task(
        source=data,
        split_seed=SPLIT_SEED,
        candidate=Candidate(
            architecture=architecture, recipe=replace(USUAL, **variant.recipe), seed=seed
        ),
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )
    last = train_rung(task).curve[-1]
    return {
        "variant": name,
        "notation": variant.notation,
        "params": cost(architecture).params,
        "seed": seed,
        "train_accuracy": last.train_accuracy,
        "val_accuracy": last.val_accuracy,
        "val_log_loss": last.val_log_loss,
    }


def compared(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each claim whose seeds are there, the mean difference in accuracy and its interval."""
    accuracy = {(row["variant"], row["seed"]): row["val_accuracy"] for row in rows}
    differences = []
    for one, other in CLAIMS:
        seeds = [seed for name, seed in accuracy if name == one and (other, seed) in accuracy]
        if len(seeds) < 2:
            continue
        found = interval_of([accuracy[one, seed] - accuracy[other, seed] for seed in seeds])
        differences.append(
            {"one": one, "other": other, "seeds": len(seeds), "mean": found.mean}
            | {"interval": [found.low, found.high]}
        )
    return differences


if __name__ == "__main__":
    app()
