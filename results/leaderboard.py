"""The leaderboard: the trials of a study by validation accuracy against parameter count."""

import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pennyweight.arch.errors import UsageError, close_names
from pennyweight.results.study_records import STATES, State, StudyRecords, TrialRecord
from pennyweight.train.cores import own_seconds

SortKey = Literal["rank", "accuracy", "params", "macs", "trial"]
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)

_Z_95 = 1.959963984540054  # the standard normal's 97.5% quantile


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial on the leaderboard; the order of the fields is the order of the CSV's columns."""

    rank: int  # from 1; every row has one
    trial: int
    notation: str
    fingerprint: str
    params: int
    deployed_params: int
    macs: int
    peak_activation_bytes: int
    weight_bytes: int
    receptive_field: int  # pixels
    epochs: int  # trained so far
    val_accuracy: float | None  # the last rung's, a fraction; None before the first
    val_low: float | None  # its 95% interval
    val_high: float | None
    val_log_loss: float | None
    pareto: bool
    state: State
    reason: str | None
    share: float  # of the budget
    seed: int
    proposer: str
    seconds: float  # the workers' on this trial


def rows(study: StudyRecords) -> list[Row]:
    """One row per trial asked, by rank.

    Trials with an accuracy come before trials without. Then complete ones come before running,
    pruned, diverged, failed and duplicate ones, in this order; then the higher accuracy, the fewer
    parameters, the lower log-loss (none counts as the highest) and the earlier trial come first.

    On the Pareto front are the complete trials that no other complete trial beats, by being at
    least as accurate with at most as many parameters and better in one of the two.
    """
    ranked = sorted(study.trials.values(), key=_merit)
    front = pareto_front(
        (trial.cost["params"], trial.val_accuracy)
        for trial in ranked
        if trial.state == "complete" and trial.val_accuracy is not None
    )
    return [_row(trial, rank, front) for rank, trial in enumerate(ranked, 1)]


def arrange(
    rows: Iterable[Row], *, sort: SortKey = "rank", top: int | None = None, pareto: bool = False
) -> list[Row]:
    """The rows to show: with `pareto` the front alone, sorted, then the first `top`.

    Accuracy sorts from the highest, everything else from the lowest; equals stay in order of rank.
    Raises `UsageError` for an unknown `sort` and a `top` below 1.
    """
    if sort not in SORT_KEYS:
        raise UsageError(
            f"--sort must be one of {', '.join(SORT_KEYS)}, but got {sort!r}: "
            f"{close_names(sort, SORT_KEYS)}"
        )
    if top is not None and top < 1:
        raise UsageError(
            f"--top must be at least 1, but got {top}: leave it out to see as many as usual."
        )
    by = _SORTS[sort]
    shown = [row for row in rows if row.pareto or not pareto]
    return sorted(shown, key=lambda row: (by(row), row.rank))[:top]


def pareto_front(points: Iterable[tuple[int, float]]) -> set[tuple[int, float]]:
    """The points (parameters, accuracy) that no other point beats.

    >>> sorted(pareto_front([(100, 0.9), (200, 0.9), (300, 0.95), (300, 0.92)]))
    [(100, 0.9), (300, 0.95)]
    """
    front: set[tuple[int, float]] = set()
    best = -math.inf
    for params, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if accuracy > best:
            front.add((params, accuracy))
            best = accuracy
    return front


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95% score interval of a fraction (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    `total` is at least 1, and `correct` at most `total`.

    >>> "{:.4f} {:.4f}".format(*wilson_interval(81, 263))
    '0.2553 0.3662'
    """
    fraction, z2_n = correct / total, _Z_95**2 / total
    middle = fraction + z2_n / 2
    reach = math.sqrt(z2_n * (fraction * (1 - fraction) + z2_n / 4))
    # At 0 and at `total` an end of the interval is the fraction itself, which rounding can miss.
    low = min(fraction, (middle - reach) / (1 + z2_n)) if correct else 0.0
    high = max(fraction, (middle + reach) / (1 + z2_n)) if correct < total else 1.0
    return low, high


def _merit(trial: TrialRecord) -> tuple[Any, ...]:
    accuracy, log_loss = trial.val_accuracy, trial.val_log_loss
    return (
        accuracy is None,
        STATES.index(trial.state),
        -(accuracy or 0.0),
        trial.cost["params"],
        math.inf if log_loss is None else log_loss,
        trial.trial,
    )


def _row(trial: TrialRecord, rank: int, front: Container[tuple[int, float | None]]) -> Row:
    correct, total, accuracy = trial.val_correct, trial.val_total, trial.val_accuracy
    low, high = wilson_interval(correct, total) if correct is not None and total else (None, None)
    cost = trial.cost
    return Row(
        rank=rank,
        trial=trial.trial,
        notation=trial.notation,
        fingerprint=trial.fingerprint,
        params=cost["params"],
        deployed_params=cost["deployed_params"],
        macs=cost["macs"],
        peak_activation_bytes=cost["peak_activation_bytes"],
        weight_bytes=cost["weight_bytes"],
        receptive_field=cost["receptive_field"],
        epochs=trial.epochs,
        val_accuracy=accuracy,
        val_low=low,
        val_high=high,
        val_log_loss=trial.val_log_loss,
        pareto=trial.state == "complete" and (cost["params"], accuracy) in front,
        state=trial.state,
        reason=trial.reason,
        share=trial.share,
        seed=trial.seed,
        proposer=trial.proposer,
        seconds=sum(own_seconds(rung.seconds) for rung in trial.rungs),
    )


_SORTS: dict[SortKey, Callable[[Row], float]] = {
    "rank": lambda row: row.rank,
    "accuracy": lambda row: math.inf if row.val_accuracy is None else -row.val_accuracy,
    "params": lambda row: row.params,
    "macs": lambda row: row.macs,
    "trial": lambda row: row.trial,
}
