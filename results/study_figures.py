"""Pictures of a study: how its trials learned, and their accuracy against their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pennyweight.results.leaderboard import Row, rows
from pennyweight.results.study_records import StudyRecords

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_BEST, _OTHER = "tab:blue", "0.75"  # colours
_LEAST = 1e-4  # of an error that is drawn: a logarithmic axis has no 0


def curves_figure(study: StudyRecords) -> Figure:
    """Validation accuracy and training loss by epoch, of each trial; the best one's in blue.

    Its training accuracy is dotted, where the records tell it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 3), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    loss.set_yscale("log")
    _accuracy_axis(accuracy)
    for row in reversed(rows(study)):  # the best last, over the others
        points = study.trials[row.trial].curve
        scored = [(p.epoch, _error(p.val_accuracy)) for p in points if p.val_accuracy is not None]
        losses = [(p.epoch, p.train_loss) for p in points if p.train_loss is not None]
        for axes, curve in ((accuracy, scored), (loss, losses)):
            colour, marker = (_BEST, ".") if row.rank == 1 else (_OTHER, _marker(curve))
            axes.plot(*_columns(curve), color=colour, marker=marker)
        learned = [
            (p.epoch, _error(p.train_accuracy)) for p in points if p.train_accuracy is not None
        ]
        if row.rank == 1 and learned:
            told = {"linestyle": ":", "marker": _marker(learned), "label": "in training"}
            accuracy.plot(*_columns(learned), color=_BEST, **told)
            accuracy.legend(frameon=False, fontsize="small")
        if row.rank == 1 and losses:  # others may be millions when they diverge
            highest = max(value for _, value in losses)
            loss.set_ylim(top=min(loss.get_ylim()[1], 3 * highest))
    _finish(accuracy, "validation accuracy, %", "epoch")
    _finish(loss, "training loss", "epoch")
    for axes in (accuracy, loss):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def sizes_figure(study: StudyRecords) -> Figure:
    """Accuracy against parameters of the complete trials, with 95% intervals; the front in blue."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    _accuracy_axis(axes)
    complete = [row for row in rows(study) if row.state == "complete"]
    others, front = ([row for row in complete if row.pareto is pareto] for pareto in (False, True))
    _scatter(axes, others, _OTHER, "other complete trials")
    _scatter(axes, front, _BEST, "Pareto front: none is as accurate with fewer parameters")
    axes.set_xscale("log")
    _ticks(axes.xaxis, lambda value: f"{value:,.0f}")
    _finish(axes, f"{study.study}: validation accuracy, %", "trainable parameters")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure


def _scatter(axes: Axes, chosen: Sequence[Row], colour: str, label: str) -> None:
    points = [
        (row.params, *map(_error, (row.val_accuracy, row.val_low, row.val_high)))
        for row in chosen
        if row.val_accuracy is not None and row.val_low is not None and row.val_high is not None
    ]
    params, errors, highest, lowest = _columns(points, 4)
    below = [error - least for error, least in zip(errors, lowest, strict=True)]
    above = [most - error for error, most in zip(errors, highest, strict=True)]
    interval = [below, above]
    axes.errorbar(params, errors, interval, fmt="o", capsize=2, color=colour, label=label)


def _error(accuracy: float) -> float:
    """In percent; both are fractions, and none so small that it cannot be drawn."""
    return 100 * max(1 - accuracy, _LEAST)


def _marker(curve: Sequence[object]) -> str:
    """Most trials end at their first rung, which is a point, and no line."""
    return "" if curve[1:] else "."


def _columns(points: Sequence[tuple[float, ...]], count: int = 2) -> list[tuple[float, ...]]:
    return list(zip(*points, strict=True)) or [()] * count


def _accuracy_axis(axes: Axes) -> None:
    """A logarithmic axis of errors that reads as accuracy: 99.5% is as far from 99% as 98% is."""
    axes.set_yscale("log")
    axes.invert_yaxis()
    _ticks(axes.yaxis, lambda error: f"{100 - error:g}")


def _ticks(axis: Axis, written: Callable[[float], str]) -> None:
    """Few enough on a logarithmic axis to be read."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: written(value))
    axis.set_minor_formatter(NullFormatter())


def _finish(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(below)
    axes.grid(visible=True, which="both", alpha=0.25)
