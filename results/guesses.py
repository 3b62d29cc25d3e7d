"""What a network says of pictures of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_PICTURE_FILE
from pennyweight.results.loaded import LoadedModel
from pennyweight.results.preparation import COARSE, prepare
from pennyweight.train.picture_file import open_picture


@dataclass(frozen=True, eq=False)
class Guess:
    """A picture, as the network sees it and with what it says."""

    path: Path
    seen: np.ndarray  # uint8 (h, w, c)
    ranked: tuple[tuple[str, float], ...]  # classes with their probabilities, the likeliest first

    def to_json(self) -> dict[str, Any]:
        """The classes and their probabilities."""
        return {
            "file": str(self.path),
            "class": self.ranked[0][0],
            "probabilities": dict(self.ranked),
        }


def guess(model: LoadedModel, paths: Sequence[Path]) -> tuple[list[Guess], list[UsageError]]:
    """A guess for each picture, and why there is none for the files that are no picture."""
    shape = model.classifier.architecture.input_shape
    seen: dict[Path, np.ndarray] = {}
    refused: list[UsageError] = []
    for path in paths:
        try:
            seen[path] = _seen(path, shape, model)
        except UsageError as error:
            refused.append(error)
    if not seen:
        return [], refused
    probabilities = model.classifier.probabilities(np.stack(list(seen.values())))
    guesses = [
        Guess(path, image, _ranked(model.class_names, likely))
        for (path, image), likely in zip(seen.items(), probabilities, strict=True)
    ]
    return guesses, refused


def save_seen(folder: Path, guesses: Sequence[Guess]) -> None:
    """Write what the network saw as PNG files, numbered in case names repeat."""
    from PIL import Image

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(guesses, 1):
            picture = Image.fromarray(each.seen[..., 0] if each.seen.shape[2] == 1 else each.seen)
            picture.save(folder / f"{number:03d}-{each.path.stem}.png")
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror or error}. Name another --show."
        ) from error


def _seen(path: Path, shape: tuple[int, int, int], model: LoadedModel) -> np.ndarray:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_PICTURE_FILE + 1)
    except OSError as error:
        raise UsageError(
            f"{path} must be a picture that can be read, but: {error.strerror}."
        ) from error
    picture = open_picture(content, str(path), coarse=COARSE)
    try:
        return prepare(picture, shape, model.look)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _ranked(names: tuple[str, ...], likely: np.ndarray) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-likely, kind="stable")
    return tuple((names[place], float(likely[place])) for place in order)
