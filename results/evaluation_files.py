"""Files about what a network gets right and wrong: pictures, and a list of mistakes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.results.figures import (
    confusion_figure,
    pictures_figure,
    random_places,
    save_figure,
)
from pennyweight.results.folder import write_whole
from pennyweight.results.predictions import Predictions
from pennyweight.train.corrections import CORRECTION, INDEX, LABEL, SPLIT, filled_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 48  # pictures in a grid


def write_figures(folder: Path, images: np.ndarray, found: Predictions) -> list[Path]:
    """Write the confusion matrix, random predictions and the surest mistakes, and say where.

    Raises UsageError where the folder cannot be written.
    """
    some, worst = random_places(_SHOWN, len(images)), found.worst(_SHOWN)
    figures: dict[str, Figure] = {
        "confusion.png": confusion_figure(found),
        "predictions.png": pictures_figure(images, found, some, "random pictures"),
        "mistakes.png": pictures_figure(images, found, worst, "mistakes, the surest first"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            save_figure(figure, folder / name)
    except OSError as error:
        raise _not_written(folder, error) from error
    return [folder / name for name in figures]


def check_mistakes(path: Path) -> None:
    """Raise UsageError where a file is there that is none of ours without corrections."""
    if filled_in(path):
        raise UsageError(
            f"--mistakes {path} would be overwritten, and may hold corrections: name another file, "
            "or move it away."
        )


def write_mistakes(path: Path, found: Predictions, split: str) -> None:
    """Write a CSV file with a row for each mistake; UsageError where it cannot be written.

    Its last column is empty: what is filled in there, `--relabel` takes for the right label.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow((INDEX, LABEL, "prediction", "confidence", SPLIT, CORRECTION))
    for index, label, predicted, confidence in found.mistakes:
        rows.writerow((index, label, predicted, f"{confidence:.4f}", split, ""))
    try:
        write_whole(path, text.getvalue().encode())
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be written: {error.strerror or error}. Name another place.")
