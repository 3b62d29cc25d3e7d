"""What ARCH means on the command line: a name (of the zoo, pretrained), a file or a notation."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError, shown
from pennyweight.arch.limits import LARGEST_JSON
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import entry
from pennyweight.results.origin import find_origin
from pennyweight.results.pretrained import PREFIX
from pennyweight.train.precision import Precision
from pennyweight.train.recipe import Recipe

T = TypeVar("T")

_OF_A_RECORD: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("seed", "a whole number from 0", lambda value: type(value) is int and value >= 0),
    ("epochs", "a whole number from 1", lambda value: type(value) is int and value >= 1),
    ("data", "the name of a data set", lambda value: isinstance(value, str)),
    ("data_fingerprint", "text", lambda value: isinstance(value, str)),
    ("versions", "an object", lambda value: isinstance(value, dict)),
    ("precision", "float32 or bfloat16", lambda value: value in get_args(Precision)),
    ("whole", "true or false", lambda value: isinstance(value, bool)),
)


@dataclass(frozen=True)
class Named:
    """An architecture, and what a record, the zoo or a bundle says of its training."""

    architecture: Architecture
    recipe: Recipe | None = None
    seed: int | None = None
    data: str | None = None
    epochs: int | None = None
    precision: Precision | None = None
    data_fingerprint: str | None = None  # of the training pictures and labels
    kernels: str | None = None  # that trained it, of those in C
    whole: bool = False  # trained on the validation pictures too


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
    if text.startswith(("zoo:", PREFIX)) or text.endswith(".json"):
        if input_shape is not None or classes is not None:
            raise UsageError(
                f"{text} has an input shape and classes of its own: leave out --input and "
                "--classes, which are for a notation."
            )
        if text.startswith(PREFIX):
            return _from_pretrained(text)
        return _from_file(Path(text)) if text.endswith(".json") else _from_zoo(text[4:])
    if (input_shape is None) != (classes is None):
        raise UsageError("--input and --classes go together: give both, or --data instead.")
    if input_shape is None or classes is None:
        from pennyweight.train.data import describe

        info = describe(data)
        input_shape, classes = info.input_shape, info.classes
    return Named(parse(text, input_shape, classes))


def first_given(*values: T | None) -> T:
    """The first of `values` that is not None: a flag, what a record says, what is usual."""
    return next(value for value in values if value is not None)


def read_recipe(path: Path, usual: Recipe | None = None) -> Recipe:
    """The recipe in a JSON file, or that of the record it is.

    What a file leaves out is as in the `usual` one; a record leaves out what it did not use.
    """
    document = _json(path)
    if isinstance(document, dict) and "architecture" in document:
        document = document.get("recipe")
    elif isinstance(document, dict) and usual is not None:
        document = {**usual.to_json(), **document}
    with _naming(path):
        return Recipe.from_json(document)


def _from_zoo(name: str) -> Named:
    found = entry(name)
    recipe = Recipe.from_json(found.recipe) if found.recipe else None
    return Named(found.architecture, recipe, epochs=found.epochs)


def _from_pretrained(text: str) -> Named:
    """To be trained anew, as it was; from another seed, or the result is known."""
    origin = find_origin(Path(), text)
    return Named(
        origin.architecture,
        origin.recipe,
        data=origin.data,
        epochs=origin.epochs,
        precision=origin.precision,
    )


def _from_file(path: Path) -> Named:
    document = _json(path)
    with _naming(path):
        if not isinstance(document, dict) or "architecture" not in document:
            return Named(Architecture.from_json(document))
        known: dict[str, Any] = {name: document.get(name) for name, _, _ in _OF_A_RECORD}
        for name, rule, holds in _OF_A_RECORD:
            if known[name] is not None and not holds(known[name]):
                raise UsageError(f"`{name}` must be {rule}, but got {shown(known[name])}.")
        recipe = document.get("recipe")
        return Named(
            Architecture.from_json(document["architecture"]),
            None if recipe is None else Recipe.from_json(recipe),
            seed=known["seed"],
            data=known["data"],
            epochs=known["epochs"],
            precision=known["precision"],
            data_fingerprint=known["data_fingerprint"],
            kernels=(known["versions"] or {}).get("kernels"),
            whole=known["whole"] or False,
        )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an error say which file it is about."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:  # bounded as it is read: a device tells no size
            content = file.read(LARGEST_JSON + 1)
    except OSError as error:
        raise UsageError(
            f"{path} must be a file that can be read, but: {error.strerror}."
        ) from error
    if len(content) > LARGEST_JSON:
        raise UsageError(f"{path} must be JSON of at most {LARGEST_JSON:,} bytes: name another.")
    try:
        return json.loads(content.decode("utf-8"))
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError:
        reason = "it is no UTF-8 text"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError:  # Python reads no integer of more than 4,300 digits
        reason = "a number in it is too long"
    raise UsageError(f"{path} must be JSON, but: {reason}.")
