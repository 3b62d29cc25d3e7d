"""The interactive plots of a report, as plotly's figures.

What plotly shows of the records is escaped, because it reads a little HTML in its texts. Colours of
text and lines are the page's, which knows whether it is dark.
"""

from __future__ import annotations

from html import escape
from typing import Any

from pennyweight.arch.errors import visible
from pennyweight.results.report import MOST_CURVES, MOST_GENES, Missing, Report
from pennyweight.results.report_axes import COLOURS, FRONT_COLOUR, KIND_COLOURS, error
from pennyweight.results.size_plot import Figure, accuracy_axis, size_figure
from pennyweight.results.study_records import STATES, State, StudyRecords, TrialRecord


def plots(report: Report) -> dict[str, dict[str, Any]]:
    """Figures by name, ready for JSON; one that would be empty is not there."""
    figures = {
        "size": size_figure(report),
        "curves": _curves(report),
        "losses": _losses(report),
        "fates": _fates(report.study),
        "importances": _importances(report),
        "seconds": _seconds(report),
    }
    return {name: _checked(*figure) for name, figure in figures.items() if figure[0]}


def _checked(traces: list[dict[str, Any]], layout: dict[str, Any]) -> dict[str, Any]:
    """A figure; ValueError where plotly knows no such thing."""
    from plotly import graph_objects

    usual = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 12, "t": 8, "b": 48},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
        },
        "hoverlabel": {"align": "left"},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"},
        "height": 420,
    }
    return graph_objects.Figure(data=traces, layout=usual | layout).to_plotly_json()


def _curves(report: Report) -> Figure:
    """Validation accuracy by epoch, of the best trials; the best one stands out.

    Its training accuracy is beside it, where the records tell it.
    """
    best = None if isinstance(report.best, Missing) else report.best.trial
    trials = [report.study.trials[row.trial] for row in report.rows]
    trials = [trial for trial in trials if trial.curve][:MOST_CURVES]
    traces = [
        _joined(state, [trial for trial in trials if trial.state == state], report.val_pictures)
        for state in reversed(STATES)
        if any(trial.state == state for trial in trials)
    ]
    if best and best.curve:
        line = {"line": {"width": 3, "color": FRONT_COLOUR}, "marker": {"size": 6}, "opacity": 1}
        name = {"name": f"the best, trial {best.trial}"}
        traces.append({**_joined(best.state, [best], report.val_pictures), **line, **name})
        traces += _in_training(best, report.val_pictures)
    if not traces:
        return [], {}
    return traces, {
        "xaxis": _epochs(report.study),
        "yaxis": accuracy_axis(traces, "accuracy, %"),
    }


def _in_training(best: TrialRecord, pictures: int) -> list[dict[str, Any]]:
    points = [point for point in best.curve if point.train_accuracy is not None]
    if not points:
        return []
    accuracies = [point.train_accuracy or 0 for point in points]
    told = zip(points, accuracies, strict=True)
    return [
        {
            "name": "the same, in training",
            "mode": "lines+markers",
            "line": {"width": 1.5, "color": FRONT_COLOUR, "dash": "dot"},
            "marker": {"size": 4},
            "x": [point.epoch for point in points],
            "y": [error(accuracy, pictures) for accuracy in accuracies],
            "hovertext": [f"epoch {p.epoch}<br>{accuracy:.2%} in training" for p, accuracy in told],
            "hoverinfo": "text",
        }
    ]


def _epochs(study: StudyRecords) -> dict[str, Any]:
    """An axis of epochs, marked at whole ones."""
    most = max((trial.epochs for trial in study.trials.values()), default=0)
    return {"title": {"text": "epoch"}, "rangemode": "tozero"} | _whole(most)


def _whole(most: int) -> dict[str, Any]:
    """Marks at whole numbers, where plotly would put some between them."""
    return {"dtick": 1} if most < 10 else {}


def _joined(state: State, trials: list[TrialRecord], pictures: int) -> dict[str, Any]:
    """The curves of trials as one trace, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for trial in trials:
        points = [point for point in trial.curve if point.val_accuracy is not None]
        x += [*(point.epoch for point in points), None]
        y += [*(error(point.val_accuracy or 0, pictures) for point in points), None]
        texts += [
            f"trial {trial.trial}, epoch {point.epoch}<br>{point.val_accuracy:.2%} on validation"
            for point in points
        ]
        texts.append("")
    return {
        "name": state,
        "mode": "lines+markers",
        "line": {"color": COLOURS[state], "width": 1.2},
        "marker": {"size": 4},
        "opacity": 0.85 if state == "complete" else 0.6,
        "x": x,
        "y": y,
        "hovertext": texts,
        "hoverinfo": "text",
    }


def _losses(report: Report) -> Figure:
    """What the best network's training loss and validation log-loss did."""
    if isinstance(report.best, Missing) or not report.best.trial.curve:
        return [], {}
    curve = report.best.trial.curve
    kinds = {
        "training loss": (COLOURS["pruned"], [point.train_loss for point in curve]),
        "validation log-loss": (FRONT_COLOUR, [point.val_log_loss for point in curve]),
    }
    traces = [
        {
            "name": name,
            "mode": "lines+markers",
            "line": {"color": colour, "width": 2},
            "marker": {"size": 5},
            "x": [point.epoch for point in curve],
            "y": values,
        }
        for name, (colour, values) in kinds.items()
        if any(value is not None for value in values)
    ]
    return traces, {
        "xaxis": _epochs(report.study),
        "yaxis": {"title": {"text": "loss, nats"}, "rangemode": "tozero"},
        "height": 320,
    }


def _fates(study: StudyRecords) -> Figure:
    """How far each trial came, in the order asked."""
    by_state: dict[State, list[TrialRecord]] = {
        state: [trial for trial in study.trials.values() if trial.state == state]
        for state in STATES
    }
    traces = [
        {
            "type": "bar",
            "name": state,
            "marker": {"color": COLOURS[state]},
            "width": 0.85,
            "x": [trial.trial for trial in trials],
            "y": [trial.epochs for trial in trials],
            "hovertemplate": f"trial %{{x}}: {state}, epoch %{{y}}<extra></extra>",
        }
        for state, trials in by_state.items()
        if trials
    ]
    return traces, {
        "barmode": "overlay",
        "xaxis": {"title": {"text": "trial, in the order asked"}} | _whole(len(study.trials)),
        "yaxis": _epochs(study) | {"title": {"text": "epochs trained"}},
        "height": 280,
    }


def _importances(report: Report) -> Figure:
    """The genes that mattered most, the first at the top."""
    if isinstance(report.importances, Missing):
        return [], {}
    genes = list(report.importances.shares.items())[:MOST_GENES]
    bars = {
        "type": "bar",
        "orientation": "h",
        "marker": {"color": COLOURS["complete"]},
        "x": [100 * share for _, share in genes],
        "y": [gene.replace("_", " ") for gene, _ in genes],
        "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
    }
    return [bars], {
        "xaxis": {"title": {"text": "share of the differences, %"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "height": 26 * len(genes) + 70,
    }


def _seconds(report: Report) -> Figure:
    """Seconds by kind, of the workers together and of the coordinator."""
    who = report.seconds
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": escape(visible(kind), quote=False),
            "marker": {"color": KIND_COLOURS[number % len(KIND_COLOURS)]},
            "x": [seconds.get(kind, 0.0) for seconds in who.values()],
            "y": list(who),
            "hovertemplate": "%{y}: %{x:,.1f} s",
        }
        for number, kind in enumerate(report.kinds)
    ]
    return traces, {
        "barmode": "stack",
        "xaxis": {"title": {"text": "seconds"}},
        "yaxis": {"automargin": True, "autorange": "reversed"},
        "height": 220,
    }
