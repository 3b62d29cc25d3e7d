"""Accuracy against size over several studies: a table, JSON and a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.results.confirmed import Confirmed
from pennyweight.results.folder import write_whole
from pennyweight.results.published import PUBLISHED, best_within
from pennyweight.results.study_records import StudyRecords

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """The network that was confirmed in a study, and what it reached on the test set."""

    cap: int  # most parameters
    study: str
    trial: int
    notation: str
    params: int
    deployed_params: int
    macs: int
    epochs: int
    seeds: int
    mean: float  # fractions
    low: float
    high: float


def frontier_point(study: StudyRecords, found: Confirmed) -> FrontierPoint:
    """The point of what was `found` in a study."""
    trial = study.trials[found.trial]
    return FrontierPoint(
        cap=study.budget["max_params"] or trial.cost["params"],
        study=study.study,
        trial=found.trial,
        notation=trial.notation,
        params=trial.cost["params"],
        deployed_params=trial.cost["deployed_params"],
        macs=trial.cost["macs"],
        epochs=study.budget["max_epochs"] or 0,
        seeds=len(found.seeds),
        mean=found.mean,
        low=found.low,
        high=found.high,
    )


def as_json(data: str, points: Sequence[FrontierPoint]) -> dict[str, Any]:
    """The points, and what is published for the same data."""
    return {
        "data": data,
        "points": [asdict(point) for point in points],
        "published": [each._asdict() for each in PUBLISHED.get(data, ())],
    }


def as_table(data: str, points: Sequence[FrontierPoint]) -> Table:
    """A table to be printed by rich; beside each the best published network of its cap."""
    from rich import box
    from rich.table import Table

    published = data in PUBLISHED
    table = Table(
        title=f"{data}: test accuracy against parameters",
        title_justify="left",
        title_style="bold not italic",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    for heading in ("cap", "params", "deployed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("test % [95%]", "seeds", *(["published %"] if published else [])):
        table.add_column(heading, no_wrap=True)
    table.add_column("architecture", min_width=12)
    for point in points:
        interval = f"{point.mean:.2%} [{point.low:.2%}, {point.high:.2%}]".replace("%", "")
        theirs = best_within(data, point.cap)
        known = f"{100 * theirs.accuracy:.2f} ({theirs.params:,})" if theirs else "-"
        cells = [f"{point.cap:,}", f"{point.params:,}", f"{point.deployed_params:,}"]
        cells += [interval, str(point.seeds), *([known] if published else [])]
        table.add_row(*cells, point.notation.replace("[", r"\["))
    return table


def _accuracy(error: float) -> str:
    """The accuracy of an error, both in percent."""
    return f"{100 - error:g}"


def draw(path: Path, data: str, points: Sequence[FrontierPoint]) -> None:
    """Write the picture of accuracy against parameters to `path`, as PNG, SVG or PDF by its name.

    Raises ValueError for another ending.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    theirs = PUBLISHED.get(data, ())
    if theirs:
        axes.scatter(
            [each.params for each in theirs],
            [100 * (1 - each.accuracy) for each in theirs],
            marker="x",
            color="0.55",
            label="published, most of them the best of many on the test set",
        )
    ours = sorted(points, key=lambda point: point.params)
    errors = [100 * (1 - point.mean) for point in ours]
    axes.errorbar(
        [point.params for point in ours],
        errors,
        yerr=[
            [100 * min(point.high - point.mean, 0.99 * (1 - point.mean)) for point in ours],
            [100 * (point.mean - point.low) for point in ours],
        ],
        marker="o",
        capsize=3,
        color="tab:blue",
        label="found here: mean of fresh seeds, 95% interval",
    )
    for point, error in zip(ours, errors, strict=True):
        place = {"xytext": (6, 6), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(f"{point.mean:.2%}", (point.params, error), **place)
    axes.margins(x=0.12)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, shown in ((axes.xaxis, "{:,.0f}".format), (axes.yaxis, _accuracy)):
        axis.set_major_formatter(FuncFormatter(lambda value, _, shown=shown: shown(value)))
        axis.set_minor_formatter(FuncFormatter(lambda value, _, shown=shown: shown(value)))
    axes.invert_yaxis()
    axes.set_xlabel("trainable parameters")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"{data}: accuracy against size", loc="left")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(loc="lower right", frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.removeprefix(".") or "png", dpi=150)
    write_whole(path, picture.getvalue())
