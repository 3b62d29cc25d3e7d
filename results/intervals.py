"""Means over seeds, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

QUANTILE = 0.975  # of Student's t: both ends of a 95% interval


@dataclass(frozen=True)
class Interval:
    """A mean, or a difference of means, and its 95% interval."""

    mean: float
    low: float
    high: float


def interval_of(values: Sequence[float]) -> Interval:
    """Student's interval of the mean of `values`; of a single value it is unbounded.

    >>> interval_of([1.0, 2.0, 3.0]).high.__round__(2)
    4.48
    """
    mean, variance = _moments(values)
    if len(values) == 1:
        return Interval(mean, -inf, inf)
    reach = _reach(variance / len(values), len(values) - 1)
    return Interval(mean, mean - reach, mean + reach)


def welch_interval(
    ours: Sequence[float], theirs: Sequence[float], *, least_variance: float = 0.0
) -> Interval:
    """The interval of mean(ours) - mean(theirs), for spreads that may differ (Welch 1947).

    A mean of a single value tells nothing of its spread: the interval is then unbounded. Of one
    value the variance is taken to be at least `least_variance`.
    """
    if min(len(ours), len(theirs)) < 2:
        difference = _moments(ours)[0] - _moments(theirs)[0]
        return Interval(difference, -inf, inf)
    (mean, variance), (other, other_variance) = _moments(ours), _moments(theirs)
    first = max(variance, least_variance) / len(ours)
    second = max(other_variance, least_variance) / len(theirs)
    freedom = 1.0
    if first + second:
        parts = first**2 / (len(ours) - 1) + second**2 / (len(theirs) - 1)
        freedom = (first + second) ** 2 / parts
    difference, reach = mean - other, _reach(first + second, freedom)
    return Interval(difference, difference - reach, difference + reach)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and unbiased variance, 0 of a single value."""
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    return mean, squares / (len(values) - 1) if len(values) > 1 else 0.0


def _reach(variance_of_mean: float, freedom: float) -> float:
    if not variance_of_mean:
        return 0.0
    from scipy.special import stdtrit  # not scipy.stats, which takes a second to import

    return float(stdtrit(freedom, QUANTILE)) * sqrt(variance_of_mean)
