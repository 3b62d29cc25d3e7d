"""Ways to train compared over the same seeds: lines of a table, the best by log-loss first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

from pennyweight.results.intervals import interval_of


def finite_or_none(value: Any) -> float | None:
    """None where training diverged: JSON knows no such numbers."""
    return float(value) if math.isfinite(value) else None


def paired_lines(rows: Sequence[dict[str, Any]], name: str, *, base: str) -> list[str]:
    """A line for each pair of `name` and rate, with means over the seeds.

    The last column is by how much each is above the best of `base` in log-loss, with the 95%
    interval over the paired seeds. Pairs of which a seed diverged are last, without numbers.
    """
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        runs.setdefault((row[name], row["rate"]), []).append(row)

    def of(key: tuple[str, float], measure: str) -> list[Any]:
        return [row[measure] for row in runs[key]]

    lost = {
        key: sum(None in (row["train_loss"], row["log_loss"]) for row in each)
        for key, each in runs.items()
    }
    whole = sorted(
        (key for key in runs if not lost[key]), key=lambda key: mean(of(key, "log_loss"))
    )
    best = next((key for key in whole if key[0] == base), None)
    lines = [(name, "rate", "train loss", "accuracy, %", "log-loss", f"less {base}'s best")]
    for key in whole:
        apart = ""
        if best and key != best:
            pairs = zip(of(key, "log_loss"), of(best, "log_loss"), strict=True)
            found = interval_of([ours - theirs for ours, theirs in pairs])
            apart = f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
        loss, right, log_loss = (
            mean(of(key, measure)) for measure in ("train_loss", "accuracy", "log_loss")
        )
        told = f"{loss:.4f}", f"{100 * right:.2f}", f"{log_loss:.4f}"
        lines.append((key[0], f"{key[1]:g}", *told, apart))
    for key in sorted(runs.keys() - set(whole)):
        diverged = f"{lost[key]} of {len(runs[key])} diverged"
        lines.append((key[0], f"{key[1]:g}", diverged, "", "", ""))
    return ["| " + " | ".join(line) + " |" for line in lines]
