"""Means over seeds and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% interval, fractions."""

    mean: float
    low: float
    high: float


def interval_of(values: list[float]) -> Interval:
    """Student's 95% interval of the mean; the mean alone where there is one value or no spread."""
    mean = sum(values) / len(values)
    spread = stats.sem(values) if len(values) > 1 else 0.0
    half = float(stats.t.ppf(0.975, len(values) - 1) * spread) if spread else 0.0
    return Interval(mean, mean - half, mean + half)
