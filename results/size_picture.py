"""The plot of accuracy against parameters, as matplotlib draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pennyweight.results.published import PUBLISHED
from pennyweight.results.report import Report
from pennyweight.results.report_axes import (
    COLOURS,
    CONFIRMED_COLOUR,
    FRONT_COLOUR,
    PUBLISHED_COLOUR,
    accuracy_ticks,
    error,
    size_text,
    size_ticks,
)
from pennyweight.results.study_records import STATES
from pennyweight.train.corrections import plain_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def accuracy_axis(axes: Axes, label: str) -> None:
    """Make the vertical axis, of errors, one of accuracies."""
    axes.set_yscale("log")
    ticks = accuracy_ticks(axes.get_ylim())
    axes.set_yticks([100 - tick for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.25)


def draw_size(axes: Axes, report: Report) -> bool:
    """Draw it; False before the first rung."""
    shown = [row for row in report.shown if row.val_accuracy is not None]
    pictures = report.val_pictures
    for state in STATES:
        rows = [row for row in shown if row.state == state]
        if rows:
            points = [(row.val_accuracy or 0, row.val_low or 0, row.val_high or 0) for row in rows]
            _points(
                axes,
                [row.params for row in rows],
                points if state == "complete" else [(mean, mean, mean) for mean, _, _ in points],
                pictures,
                {"color": COLOURS[state], "fmt": "o" if state == "complete" else "."},
                f"{state}, on validation",
            )
    front = sorted((row for row in shown if row.pareto), key=lambda row: row.params)
    if front:
        errors = [error(row.val_accuracy or 0, pictures) for row in front]
        line: dict[str, Any] = {"color": FRONT_COLOUR, "label": "Pareto front"}
        axes.plot([row.params for row in front], errors, drawstyle="steps-post", **line)
    if found := report.confirmed:
        params = [report.study.trials[each.trial].cost["params"] for each in found]
        points = [(each.mean, each.low, each.high) for each in found]
        style = {"color": CONFIRMED_COLOUR, "fmt": "D"}
        _points(axes, params, points, 10**6, style, "confirmed, mean on test")
    if shown and (theirs := PUBLISHED.get(plain_source(report.study.data))):
        axes.scatter(
            [each.params for each in theirs],
            [100 * (1 - each.accuracy) for each in theirs],
            marker="x",
            color=PUBLISHED_COLOUR,
            label="published by others, on test",
        )
    if not shown:
        return False
    axes.set_xscale("log")
    ticks = size_ticks([int(limit) for limit in axes.get_xlim()])
    axes.set_xticks(ticks, [size_text(tick) for tick in ticks])
    axes.set_xlabel("trainable parameters")
    accuracy_axis(axes, "accuracy, %")
    axes.legend(frameon=False, fontsize="small")
    return True


def _points(
    axes: Axes,
    params: list[int],
    points: list[tuple[float, float, float]],
    pictures: int,
    style: Mapping[str, str],
    label: str,
) -> None:
    """Means with their low and high ends, as errors."""
    means, lows, highs = ([error(each[n], pictures) for each in points] for n in range(3))
    below = [mean - high for mean, high in zip(means, highs, strict=True)]
    above = [low - mean for mean, low in zip(means, lows, strict=True)]
    shape = {"markersize": 5, "elinewidth": 1, "capsize": 2, "linestyle": "none"}
    axes.errorbar(params, means, yerr=[below, above], label=label, **style, **shape)
