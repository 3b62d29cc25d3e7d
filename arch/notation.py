"""The one-line notation of an architecture: it prints and parses.

A layer is its kind's letter, its size if it has one, and its options: `c8` is a convolution of 8
channels, `c8k5s2v+` one of 5x5 pixels with stride 2, unpadded, with bias. `b`, `r` and `o0.1`
(BatchNorm, ReLU, dropout) are written against the layer before them. `( … )` is a residual
connection, `3[ … ]` a block that runs three times with the same weights, `{ … }` the mean over
views. `docs/architecture.md` has the table of all kinds. Spaces do not matter, but between a size
and the number of a block.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from pennyweight.arch.architecture import Architecture, limited
from pennyweight.arch.block import too_deep
from pennyweight.arch.errors import UsageError
from pennyweight.arch.layers import KINDS, Layer
from pennyweight.arch.limits import DEEPEST, MOST_LAYERS
from pennyweight.arch.repeat import Repeat
from pennyweight.arch.residual import Residual
from pennyweight.arch.views import Views

_OPENING = re.compile(r"([0-9]{1,18})\[|\(|\{")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_NUMBERS: dict[type, str] = {int: r"[0-9]{1,18}", float: r"[0-9]*\.?[0-9]+(?:[eE]-?[0-9]+)?"}
_LONGEST = 32 * MOST_LAYERS  # characters; reading a layer copies what follows it


def notation(layers: Iterable[Layer]) -> str:
    """The canonical one-line notation of `layers`."""
    text = ""
    for layer in layers:
        text += ("" if layer.glued else " ") + _print_layer(layer)
    return text.strip()


def parse(text: str, input_shape: tuple[int, int, int], classes: int) -> Architecture:
    """The architecture that `text` describes for pictures of `input_shape` and so many classes.

    Raises UsageError that shows where `text` stops being understood, or which layer does not fit.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"A notation has at most {_LONGEST:,} characters, but got {len(text):,}.")
    layers, _ = _parse_layers(text, text, 0)
    try:
        return limited(Architecture(input_shape, classes, layers))
    except UsageError as error:
        raise UsageError(f"`{_start(text)}` is no network for this data: {error}") from None


def _print_layer(layer: Layer) -> str:
    if isinstance(layer, Repeat):
        return f"{layer.times}[{notation(layer.children)}]"
    if layer.children:
        return f"{layer.code}{notation(layer.children)}{_CLOSING[layer.code]}"
    text = layer.code
    for field in dataclasses.fields(layer):
        value, code = getattr(layer, field.name), field.metadata["code"]
        if field.metadata["type"] is bool:
            text += code if value else ""
        elif field.default is dataclasses.MISSING:  # the layer's size stands first
            text = f"{layer.code}{value}{text.removeprefix(layer.code)}"
        elif value != field.default:
            text += f"{code}{value}"
    return text


def _parse_layers(text: str, whole: str, depth: int) -> tuple[tuple[Layer, ...], str]:
    """The layers at the start of `text`, up to a closing bracket, and what follows them."""
    layers: list[Layer] = []
    by_code = {kind.code: kind for kind in KINDS.values() if kind.code not in _CLOSING}
    while (text := text.lstrip()) and text[0] not in _CLOSING.values():
        if opening := _OPENING.match(text):
            layer, text = _parse_block(opening, text, whole, depth + 1)
        elif kind := by_code.get(text[0]):
            layer, text = _parse_layer(kind, text, whole)
        else:
            raise _misunderstood(whole, text)
        layers.append(layer)
    if depth == 0 and text:
        raise _misunderstood(whole, text)
    return tuple(layers), text


def _parse_block(opening: re.Match[str], text: str, whole: str, depth: int) -> tuple[Layer, str]:
    if depth > DEEPEST:
        raise too_deep()
    body, rest = _parse_layers(text[opening.end() :], whole, depth)
    closing = _CLOSING[opening[0][-1]]
    if not rest:
        raise UsageError(
            f"The notation `{_start(whole)}` leaves a bracket open; add a `{closing}`."
        )
    if not body or rest[0] != closing:
        raise _misunderstood(whole, rest)
    try:
        if opening[1]:
            layer: Layer = Repeat(times=int(opening[1]), body=body)
        else:
            layer = Views(body=body) if opening[0] == "{" else Residual(body=body)
    except ValueError as error:
        raise UsageError(f"`{opening[0]}`: {error}") from None
    return layer, rest[1:]


def _parse_layer(kind: type[Layer], text: str, whole: str) -> tuple[Layer, str]:
    fields = dataclasses.fields(kind)
    values: dict[str, int | float | bool] = {}
    rest = text[1:]
    for field in sorted(fields, key=lambda f: f.default is not dataclasses.MISSING):
        if field.default is dataclasses.MISSING:
            if not (found := re.match(_NUMBERS[field.metadata["type"]], rest)):
                raise _misunderstood(whole, text)
            values[field.name] = field.metadata["type"](found[0])
            rest = rest[found.end() :]
    options = [f for f in fields if f.default is not dataclasses.MISSING]
    while options:
        for field in options:
            number = (
                "" if field.metadata["type"] is bool else f"({_NUMBERS[field.metadata['type']]})"
            )
            if found := re.match(re.escape(field.metadata["code"]) + number, rest):
                values[field.name] = True if not number else field.metadata["type"](found[1])
                rest = rest[found.end() :]
                options.remove(field)
                break
        else:
            break
    try:
        return kind(**values), rest
    except ValueError as error:
        raise UsageError(f"`{text[: len(text) - len(rest)]}`: {error}") from None


def _start(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _misunderstood(whole: str, rest: str) -> UsageError:
    return UsageError(
        f"The notation `{_start(whole)}` is not understood at `{rest[:20]}`; "
        "an example: `c8br m2 (c8br c8b)r A d10+`."
    )
