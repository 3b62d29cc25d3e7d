"""What ARCH means on the command line: a zoo name, a JSON file, or a notation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import zoo
from pennyweight.train.recipe import Recipe

_LARGEST_FILE = 10_000_000  # bytes: an architecture has a few thousand


@dataclass(frozen=True)
class Named:
    """An architecture, and the recipe and seed of the record it came from, if it did."""

    architecture: Architecture
    recipe: Recipe | None = None
    seed: int | None = None


def read_arch(
    text: str,
    *,
    data: str = "digits",
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> Named:
    """The architecture that ARCH `text` names.

    A notation is read for the pictures of `data`, or for `input_shape` and `classes`.
    """
    if text.startswith("zoo:"):
        return Named(zoo(text.removeprefix("zoo:")))
    if text.endswith(".json"):
        return _from_file(Path(text))
    if (input_shape is None) != (classes is None):
        raise UsageError("--input and --classes go together: give both, or --data instead.")
    if input_shape is None or classes is None:
        from pennyweight.train.data import describe

        info = describe(data)
        input_shape, classes = info.input_shape, info.classes
    return Named(parse(text, input_shape, classes))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file."""
    return Recipe.from_json(_json(path))


def _from_file(path: Path) -> Named:
    document = _json(path)
    if not isinstance(document, dict) or "architecture" not in document:
        return Named(Architecture.from_json(document))
    seed, recipe = document.get("seed"), document.get("recipe")
    if seed is not None and (type(seed) is not int or seed < 0):
        raise UsageError(f"`seed` in {path} must be a whole number from 0, but got {seed!r}.")
    return Named(
        Architecture.from_json(document["architecture"]),
        None if recipe is None else Recipe.from_json(recipe),
        seed,
    )


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(
                f"{path} must be at most {_LARGEST_FILE:,} bytes of JSON: name another."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} must be a file that can be read, but: {error.strerror}."
        ) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} must be JSON, but: {error}.") from None
