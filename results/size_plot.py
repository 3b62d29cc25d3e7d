"""The plot of accuracy against parameters, as plotly's traces and layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from pennyweight.arch.errors import visible
from pennyweight.results.confirmed import Confirmed
from pennyweight.results.leaderboard import Row
from pennyweight.results.published import PUBLISHED
from pennyweight.results.report import Report, fate
from pennyweight.results.report_axes import (
    COLOURS,
    CONFIRMED_COLOUR,
    FRONT_COLOUR,
    PUBLISHED_COLOUR,
    SYMBOLS,
    accuracy_ticks,
    error,
    size_text,
    size_ticks,
)
from pennyweight.results.study_records import STATES, State, StudyRecords, TrialRecord
from pennyweight.results.tables import percent
from pennyweight.train.corrections import plain_source

Figure = tuple[list[dict[str, Any]], dict[str, Any]]
"""Traces and layout."""

_LONGEST = 90  # characters of a notation beside the pointer


def accuracy_axis(traces: Iterable[dict[str, Any]], title: str) -> dict[str, Any]:
    """The vertical axis of traces of errors and their intervals, marked with accuracies."""
    ends: list[float] = []
    for trace in traces:
        errors = [y for y in trace["y"] if y is not None]
        bars = trace.get("error_y", {"array": (), "arrayminus": ()})
        ends += errors
        ends += [y + length for y, length in zip(errors, bars["array"], strict=False)]
        ends += [y - length for y, length in zip(errors, bars["arrayminus"], strict=False)]
    ticks = accuracy_ticks(ends)
    return {
        "type": "log",
        "autorange": "reversed",
        "title": {"text": title},
        "tickvals": [100 - tick for tick in ticks],
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def about(trial: TrialRecord, row: Row) -> str:
    """What is shown beside the pointer at a trial, in plotly's HTML."""
    notation = trial.notation
    if len(notation) > _LONGEST:
        notation = notation[: _LONGEST - 1] + "…"
    lines = [
        f"trial {trial.trial}, rank {row.rank}",
        f"{percent(row)} % on validation",
        f"{trial.cost['params']:,} parameters, epoch {trial.epochs}",
        fate(trial) + (f": {trial.reason}" if trial.reason else ""),
        notation,
    ]
    return "<br>".join(escape(visible(line), quote=False) for line in lines)


def size_figure(report: Report) -> Figure:
    """The traces and the layout of accuracy against parameters; no traces before the first rung."""
    study, pictures = report.study, report.val_pictures
    shown = [row for row in report.shown if row.val_accuracy is not None]
    traces: list[dict[str, Any]] = []
    front = sorted((row for row in shown if row.pareto), key=lambda row: row.params)
    if front:
        traces.append(
            {
                "name": "Pareto front",
                "mode": "lines",
                "line": {"shape": "hv", "color": FRONT_COLOUR, "width": 2},
                "x": [row.params for row in front],
                "y": [error(row.val_accuracy or 0, pictures) for row in front],
                "hoverinfo": "skip",
            }
        )
    traces += [
        trace
        for state in reversed(STATES)  # the complete ones on top
        if (trace := _of_state(state, [row for row in shown if row.state == state], report))
    ]
    if not traces:
        return [], {}
    traces += [*_confirmed(report.confirmed, study), *_published(study.data)]
    ticks = size_ticks([x for trace in traces for x in trace["x"]])
    return traces, {
        "height": 480,
        "xaxis": {
            "type": "log",
            "title": {"text": "trainable parameters"},
            "tickvals": ticks,
            "ticktext": [size_text(tick) for tick in ticks],
        },
        "yaxis": accuracy_axis(traces, "accuracy, %"),
    }


def _of_state(state: State, rows: Sequence[Row], report: Report) -> dict[str, Any] | None:
    if not rows:
        return None
    pictures = report.val_pictures
    errors = [error(row.val_accuracy or 0, pictures) for row in rows]
    trace: dict[str, Any] = {
        "name": f"{state}, on validation",
        "mode": "markers",
        "marker": {"color": COLOURS[state], "symbol": SYMBOLS[state], "size": 8},
        "x": [row.params for row in rows],
        "y": errors,
        "hovertext": [about(report.study.trials[row.trial], row) for row in rows],
        "hoverinfo": "text",
    }
    if state == "complete":
        lows = [error(row.val_low or 0, pictures) for row in rows]
        highs = [error(row.val_high or 0, pictures) for row in rows]
        trace["error_y"] = _bars(errors, lows, highs, COLOURS[state])
    else:
        trace["opacity"] = 0.85
    return trace


def _bars(
    errors: Iterable[float], lows: Iterable[float], highs: Iterable[float], colour: str
) -> dict[str, Any]:
    """Intervals; a lower accuracy is a larger error."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [low - e for e, low in zip(errors, lows, strict=True)],
        "arrayminus": [e - high for e, high in zip(errors, highs, strict=True)],
        "color": colour,
        "thickness": 1,
        "width": 3,
    }


def _confirmed(found: Sequence[Confirmed], study: StudyRecords) -> Iterator[dict[str, Any]]:
    if not found:
        return
    pictures = max(run.total for run in study.fresh_runs)
    errors, lows, highs = (
        [error(getattr(each, name), pictures) for each in found] for name in ("mean", "low", "high")
    )
    yield {
        "name": "confirmed, mean on test",
        "mode": "markers",
        "marker": {"color": CONFIRMED_COLOUR, "symbol": "diamond", "size": 11},
        "x": [study.trials[each.trial].cost["params"] for each in found],
        "y": errors,
        "error_y": _bars(errors, lows, highs, CONFIRMED_COLOUR),
        "hovertext": [
            f"trial {each.trial}, confirmed<br>test {each.mean:.2%} "
            f"[{each.low:.2%}, {each.high:.2%}]<br>{len(each.seeds)} fresh seeds"
            for each in found
        ],
        "hoverinfo": "text",
    }


def _published(data: str) -> Iterator[dict[str, Any]]:
    if theirs := PUBLISHED.get(plain_source(data), ()):
        yield {
            "name": "published by others, on test",
            "mode": "markers",
            "marker": {"color": PUBLISHED_COLOUR, "symbol": "x-thin-open", "size": 9},
            "x": [each.params for each in theirs],
            "y": [100 * (1 - each.accuracy) for each in theirs],
            "hovertext": [
                f"published: test {each.accuracy:.2%}<br>{each.params:,} parameters"
                + (f"<br>{escape(each.how)}" if each.how else "")
                for each in theirs
            ],
            "hoverinfo": "text",
        }
