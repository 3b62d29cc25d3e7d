"""What the best network gets wrong, as matplotlib draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.results.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WRITTEN = 20  # classes, beyond which neither names nor counts are written


def draw_confusion(axes: Axes, report: Report) -> bool:
    """Draw labels down and predictions across; False where there are none."""
    if (examined := report.examined) is None:
        return False
    said = examined.predictions
    counts = said.confusion
    axes.imshow(counts / counts.sum(1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1.4)
    few = len(said.class_names) <= MOST_WRITTEN
    for label, row in enumerate(counts if few else ()):
        for predicted, count in enumerate(row):
            if count:
                axes.text(predicted, label, str(count), ha="center", va="center", fontsize=8)
    ticks = range(len(said.class_names))
    axes.set_xticks(ticks, said.class_names if few else [""] * len(ticks), rotation=90)
    axes.set_yticks(ticks, said.class_names if few else [""] * len(ticks))
    axes.set_xlabel("what it said")
    axes.set_ylabel("label")
    axes.set_title(
        f"{said.correct:,} of {len(said.labels):,} validation pictures right", loc="left"
    )
    return True


def draw_mistakes(report: Report) -> Figure | None:
    """The pictures that it was wrong about and surest of; None where there are none."""
    from matplotlib.figure import Figure

    worst = report.examined.worst if report.examined else []
    if not worst:
        return None
    rows = -(-len(worst) // 6)
    figure = Figure(figsize=(9, 1.9 * rows), layout="constrained")
    for axes in figure.subplots(rows, 6, squeeze=False).flat:
        axes.axis("off")
    for axes, (mistake, image) in zip(figure.axes, worst, strict=False):
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{mistake.label}, said {mistake.predicted}", fontsize=9)
    return figure
