"""Pictures of what a network says: its confusion matrix, and pictures with their predictions."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.results.folder import write_whole
from pennyweight.results.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 8  # of a grid of pictures
_LONGEST_NAME = 12  # letters of a class's name beside its picture
_MOST_COUNTED = 24  # classes up to which a cell's count can be read


def confusion_figure(predictions: Predictions) -> Figure:
    """The confusion matrix: what is right in blue, mistakes in red by their share of the label."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    counts, names = predictions.confusion, predictions.class_names
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, shares)
    # By themselves: beside what is right, a mistake in a hundred would not be seen.
    shaded = colormaps["Reds"](0.75 * np.sqrt(mistakes / (mistakes.max() or 1)))
    diagonal = np.diag_indices(len(names))
    shaded[diagonal] = colormaps["Blues"](0.15 + 0.5 * shares[diagonal])
    side = max(4.0, 1.6 + 0.42 * len(names))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shaded)
    if len(names) <= _MOST_COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8)
    turned = 0 if all(len(name) < 3 for name in names) else 90
    axes.set_xticks(range(len(names)), names, rotation=turned)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    low, high = predictions.interval
    axes.set_title(
        f"{predictions.accuracy:.2%} of {len(predictions.labels):,} ({low:.2%} to {high:.2%})",
        loc="left",
        fontsize=10,
    )
    return figure


def pictures_figure(
    images: np.ndarray, predictions: Predictions, places: Sequence[int], title: str = ""
) -> Figure:
    """The pictures at `places` of uint8 `images` (n, h, w, c), each with what is said of it.

    A wrong prediction is red and names the label too.
    """
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, max(len(places), 1))
    rows = max(1, math.ceil(len(places) / columns))
    figure = Figure(figsize=(1.25 * columns, 1.55 * rows + 0.4), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, place in zip(grid, places, strict=False):
        image = images[place]
        axes.imshow(image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(_said(predictions, place), fontsize=8, color=_colour(predictions, place))
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all; OSError where it cannot be written."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    write_whole(path, content.getvalue())


def random_places(count: int, of: int, seed: int = 0) -> list[int]:
    """`count` different places of pictures, or all, in order."""
    chosen = np.random.default_rng(seed).permutation(of)[:count]
    return sorted(chosen.tolist())


def _said(predictions: Predictions, place: int) -> str:
    label, predicted = int(predictions.labels[place]), int(predictions.predicted[place])
    sure = f"{predictions.probabilities[place, predicted]:.0%}"
    names = [name[:_LONGEST_NAME] for name in predictions.class_names]
    if label == predicted:
        return f"{names[predicted]} {sure}"
    return f"{names[predicted]} {sure}\nis {names[label]}"


def _colour(predictions: Predictions, place: int) -> str:
    return "black" if predictions.labels[place] == predictions.predicted[place] else "crimson"
