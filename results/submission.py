"""Predictions for a file of pictures without labels, as competitions want them."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import write_whole
from pennyweight.results.loaded import LoadedModel
from pennyweight.train.csv_file import read_csv
from pennyweight.train.source import path_of


def write_submission(model: LoadedModel, source: str, out: Path) -> int:
    """Write `ImageId,Label` for each row of `source`, `csv:FILE`, and say how many there are.

    The rows' pictures are taken as they are, and a `label` column is ignored. Raises UsageError for
    another kind of data, pictures of another shape, and where `out` is that file, or cannot be
    written.
    """
    kind, _, place = source.partition(":")
    if kind != "csv" or not place:
        raise UsageError(f"predict --data takes csv:FILE, but got {source!r}.")
    path = path_of(place)
    if os.path.realpath(out) == os.path.realpath(path):
        raise UsageError(f"--submission {out} would overwrite the rows to read: name another file.")
    images, _ = read_csv(path)
    shape = model.classifier.architecture.input_shape
    if images.shape[1:] != shape:
        wanted, found = ("x".join(map(str, each)) for each in (shape, images.shape[1:]))
        raise UsageError(f"{model.name} takes {wanted} pictures, but {place} has {found}.")
    chosen = model.classifier.logits(images).argmax(1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("ImageId", "Label"))
    rows.writerows((number, model.class_names[k]) for number, k in enumerate(chosen, 1))
    try:
        write_whole(out, text.getvalue().encode())
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written: {error.strerror or error}. Name another --submission."
        ) from error
    return len(images)
