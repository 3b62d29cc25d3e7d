"""Layers as JSON. A file may come from a stranger, so every name and type is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pennyweight.arch.block import too_deep
from pennyweight.arch.errors import UsageError, close_names, shown
from pennyweight.arch.layers import KINDS, Layer
from pennyweight.arch.limits import DEEPEST, MOST_LAYERS


def layers_to_json(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    """A JSON-ready list; every field is written, so that the file explains itself."""
    return [_layer_to_json(layer) for layer in layers]


def layers_from_json(descriptions: Any, depth: int = 0) -> tuple[Layer, ...]:
    """The layers of such a list; UsageError names what is unknown, missing or wrong."""
    if not isinstance(descriptions, list):
        raise UsageError(f"Layers are a JSON list, but got {shown(descriptions)}.")
    if depth > DEEPEST:  # before Python's own limit on recursion
        raise too_deep()
    if len(descriptions) > MOST_LAYERS:
        raise UsageError(
            f"An architecture has at most {MOST_LAYERS:,} layers, but got {len(descriptions):,}."
        )
    return tuple(_layer_from_json(description, depth) for description in descriptions)


def check_names(
    what: str, given: Mapping[Any, Any], *, needed: Collection[str], known: Collection[str]
) -> None:
    """Raise UsageError for a name that is not `known`, or one that is `needed` and not there."""
    for name in given:
        if name not in known:
            near = close_names(str(name)[:60], known)
            raise UsageError(f"{what} has no field {shown(name)}: {near}")
    for name in needed:
        if name not in given:
            raise UsageError(f"{what} needs the field `{name}`, but it is missing.")


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    fields = {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)}
    if layer.children:
        fields["body"] = layers_to_json(layer.children)
    return {"kind": layer.kind, **fields}


def _layer_from_json(description: Any, depth: int) -> Layer:
    fields = dict(description) if isinstance(description, dict) else {}
    name = fields.pop("kind", None)
    if not isinstance(name, str):
        raise UsageError(f'A layer is such as {{"kind": "relu"}}, but got {shown(description)}.')
    if name not in KINDS:
        raise UsageError(f"No layer kind is called {shown(name)}: {close_names(name[:60], KINDS)}")
    known = dataclasses.fields(KINDS[name])
    needed = [field.name for field in known if field.default is dataclasses.MISSING]
    check_names(f"A {name} layer", fields, needed=needed, known=[field.name for field in known])
    if "body" in fields:
        fields["body"] = layers_from_json(fields["body"], depth + 1)
    try:
        return KINDS[name](**fields)
    except ValueError as error:
        raise UsageError(str(error)) from None
