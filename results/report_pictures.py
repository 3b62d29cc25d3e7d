"""The plots of a report as PNG files, for slides and papers: drawn by matplotlib, no browser."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pennyweight.results.figures import confusion_figure, pictures_figure
from pennyweight.results.report import MOST_CURVES, MOST_GENES, MOST_MISTAKES, Missing, Report
from pennyweight.results.report_axes import COLOURS, FRONT_COLOUR, KIND_COLOURS, error
from pennyweight.results.size_picture import accuracy_axis, draw_size
from pennyweight.results.study_records import STATES, State, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = (8.0, 5.0)  # inches
_LONGEST = 24  # characters in a legend


def pictures(report: Report) -> Iterator[tuple[str, bytes]]:
    """(file name, PNG) of each plot that has something to show."""
    drawn: dict[str, tuple[Callable[[Axes, Report], bool], tuple[float, float]]] = {
        "size": (draw_size, WIDE),
        "curves": (_curves, WIDE),
        "trials": (_trials, (8.0, 3.2)),
        "importances": (_importances, WIDE),
        "seconds": (_seconds, (8.0, 2.8)),
    }
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):  # a `$` in a record is a `$`
        for name, (draw, inches) in drawn.items():
            figure = Figure(figsize=inches, layout="constrained")
            if draw(figure.subplots(), report):
                yield f"{name}.png", _png(figure)
        if (examined := report.examined) is None:
            return
        said, worst = examined.predictions, examined.predictions.worst(MOST_MISTAKES)
        yield "confusion.png", _png(confusion_figure(said))
        if worst:
            yield "mistakes.png", _png(pictures_figure(examined.images, said, worst))


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # that the font does not have
        figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def _curves(axes: Axes, report: Report) -> bool:
    """Validation accuracy by epoch; the best network's stands out."""
    best = None if isinstance(report.best, Missing) else report.best.trial.trial
    said: set[State] = set()
    for row in reversed(report.rows[:MOST_CURVES]):
        trial = report.study.trials[row.trial]
        points = [point for point in trial.curve if point.val_accuracy is not None]
        label = None if trial.state in said else trial.state
        line = {"color": COLOURS[trial.state], "linewidth": 0.8, "label": label}
        if row.trial == best:
            line = {"color": FRONT_COLOUR, "linewidth": 2.5, "label": f"the best, trial {best}"}
        elif points:
            said.add(trial.state)
        epochs = [point.epoch for point in points]
        errors = [error(point.val_accuracy or 0, report.val_pictures) for point in points]
        if points:
            axes.plot(epochs, errors, marker=".", **line)
        if row.trial == best:
            _in_training(axes, trial, report.val_pictures)
    if not axes.lines:
        return False
    axes.set_xlabel("epoch")
    accuracy_axis(axes, "accuracy, %")
    axes.legend(frameon=False, fontsize="small")
    return True


def _in_training(axes: Axes, best: TrialRecord, pictures: int) -> None:
    """The training accuracy of the best network, where the records tell it."""
    points = [point for point in best.curve if point.train_accuracy is not None]
    if points:
        axes.plot(
            [point.epoch for point in points],
            [error(point.train_accuracy or 0, pictures) for point in points],
            color=FRONT_COLOUR,
            linestyle=":",
            label="the same, in training",
        )


def _trials(axes: Axes, report: Report) -> bool:
    """How far each trial came, in the order asked."""
    if not report.study.trials:
        return False
    for state in STATES:
        trials = [trial for trial in report.study.trials.values() if trial.state == state]
        if trials:
            heights = [trial.epochs for trial in trials]
            axes.bar([t.trial for t in trials], heights, color=COLOURS[state], label=state)
    axes.set_xlabel("trial, in the order asked")
    axes.set_ylabel("epochs trained")
    axes.legend(frameon=False, fontsize="small", ncols=len(STATES))
    return True


def _importances(axes: Axes, report: Report) -> bool:
    """The genes that mattered most, the first at the top."""
    if isinstance(report.importances, Missing):
        return False
    genes = list(report.importances.shares.items())[:MOST_GENES][::-1]
    names = [gene.replace("_", " ") for gene, _ in genes]
    axes.barh(names, [100 * share for _, share in genes], color=COLOURS["complete"])
    axes.set_xlabel("share of the differences, %")
    return True


def _seconds(axes: Axes, report: Report) -> bool:
    """Seconds by kind, of the workers together and of the coordinator."""
    who = report.seconds
    done = [0.0] * len(who)
    for number, kind in enumerate(report.kinds):
        here = [seconds.get(kind, 0.0) for seconds in who.values()]
        colour = KIND_COLOURS[number % len(KIND_COLOURS)]
        axes.barh(list(who), here, left=done, color=colour, label=kind[:_LONGEST])
        done = [before + more for before, more in zip(done, here, strict=True)]
    axes.set_xlabel("seconds")
    axes.invert_yaxis()
    if report.kinds:
        axes.legend(
            frameon=False, fontsize="small", ncols=6, loc="lower left", bbox_to_anchor=(0, 1)
        )
    return bool(report.kinds)
