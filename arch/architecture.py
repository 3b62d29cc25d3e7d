"""The architecture: what a network is, down to every layer, as a frozen value.

Normal form, applied when a value is made, so that equal networks are equal values: a 1x1
convolution has no dilation and "same" padding; pooling over one pixel, dropout of nothing and a
ReLU straight after a ReLU are left out; a pool's stride is written only where it differs from its
extent; global pooling over a single pixel is `Flatten`. None of these changes what is computed or
what it costs.

A description may come from a stranger's file, so what is read is limited here, before anything is
allocated.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pennyweight.arch import convolution, dense, pointwise, pools, repeat, residual, views
from pennyweight.arch.block import too_deep
from pennyweight.arch.errors import UsageError, shown
from pennyweight.arch.json_form import check_names, layers_from_json, layers_to_json
from pennyweight.arch.layers import Layer, Shape, Weight, normal_layers, output_shape
from pennyweight.arch.limits import (
    DEEPEST,
    LARGEST,
    MOST_IN_A_MAP,
    MOST_LAYERS,
    MOST_MACS,
    MOST_WEIGHTS,
)

__all__ = [
    "Architecture",
    "Placed",
    "convolution",
    "dense",
    "pointwise",
    "pools",
    "repeat",
    "residual",
    "views",
]


@dataclass(frozen=True)
class Placed:
    """A layer in its place: where it stands, under which name, and what goes in and out.

    `held` is the shapes that enclosing blocks keep in memory meanwhile; the input of a layer that
    `opens` a residual connection is the last of them. In a repeated block, every round but the
    first `shares` the trained weights of the layer of that name.
    """

    name: str
    index: int
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    held: tuple[Shape, ...]
    opens: bool
    children: tuple[Placed, ...]
    shares: str | None = None

    def weights(self) -> dict[str, Weight]:
        """The layer's arrays here: of a layer that `shares`, those that are not trained."""
        weights = self.layer.weights(self.input_shape)
        if self.shares is None:
            return weights
        return {name: weight for name, weight in weights.items() if not weight.trained}

    def flat(self) -> Iterator[Placed]:
        """This layer after those inside it: the order in which they run."""
        for child in self.children:
            yield from child.flat()
        yield self


@dataclass(frozen=True)
class Architecture:
    """A network from an input of (height, width, channels) to one logit for each class.

    Raises UsageError when a layer cannot stand where it is, when the last shape is not (classes,),
    and above `MOST_LAYERS` or `DEEPEST` (`arch/limits.py`).
    """

    input_shape: tuple[int, int, int]
    classes: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        shape = self.input_shape
        if not (isinstance(shape, tuple) and len(shape) == 3 and all(map(_is_size, shape))):
            raise UsageError(
                "The input must be (height, width, channels), each a whole number from 1 to "
                f"{LARGEST}, but got {shown(shape)}."
            )
        if not _is_size(self.classes) or self.classes < 2:
            raise UsageError(
                f"The classes must number from 2 to {LARGEST}, but got {shown(self.classes)}."
            )
        if (running := _count(self.layers)) > MOST_LAYERS:
            raise UsageError(
                f"An architecture has at most {MOST_LAYERS:,} layers, but got {running:,}."
            )
        try:
            layers = normal_layers(self.layers, self.input_shape)
        except ValueError as error:
            raise UsageError(str(error)) from None
        object.__setattr__(self, "layers", layers)
        last = output_shape(layers, shape)
        if last != (self.classes,):
            raise UsageError(
                f"The last layer must give {self.classes} values, one for each class, but gives "
                f"{'x'.join(map(str, last))}; end with a head such as `A d{self.classes}+`."
            )

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """Every layer with its name, such as `conv2`, and its shapes."""
        return _place(self.layers, self.input_shape, _Names())

    def flat(self) -> Iterator[Placed]:
        """Every layer in the order in which it runs, those inside others too, each time."""
        for placed in self.placed:
            yield from placed.flat()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready description that `from_json` reads; every field is written."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "layers": layers_to_json(self.layers),
        }

    @classmethod
    def from_json(cls, description: Any) -> Architecture:
        """The architecture of a description; UsageError names what is unknown, missing or wrong."""
        if not isinstance(description, dict):
            raise UsageError(f"An architecture is a JSON object, but got {shown(description)}.")
        names = ("input_shape", "classes", "layers")
        check_names("An architecture", description, needed=names, known=names)
        shape, classes, layers = (description[name] for name in names)
        shape = tuple(shape) if isinstance(shape, list) else shape
        return limited(cls(shape, classes, layers_from_json(layers)))

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON form: one line, no spaces, keys in order."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits, the start of a SHA-256.

        Of the notation, which leaves out every default: an option that a layer kind gains later
        changes no fingerprint that is already in a record.
        """
        text = f"{'x'.join(map(str, self.input_shape))} {self.classes} {self.notation}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def notation(self) -> str:
        """The one-line notation, such as `c8br m2 c16br A d10+`."""
        from pennyweight.arch.notation import notation

        return notation(self.layers)


def limited(architecture: Architecture) -> Architecture:
    """`architecture`; UsageError when only a mistake or malice can have made it so large.

    For what was read, not for what was computed: a decoder may look far above its budget.
    """
    weights = largest = macs = 0
    for placed in architecture.flat():
        weights += sum(math.prod(weight.shape) for weight in placed.weights().values())
        largest = max(largest, math.prod(placed.input_shape), math.prod(placed.output_shape))
        macs += placed.layer.macs(placed.input_shape)
    for what, needed, most in (
        ("All weights together hold at most {} values", weights, MOST_WEIGHTS),
        ("A feature map holds at most {} values", largest, MOST_IN_A_MAP),
        ("A picture takes at most {} multiply-accumulates", macs, MOST_MACS),
    ):
        if needed > most:
            raise UsageError(
                f"{what.format(f'{most:,}')}, but these layers need {needed:,}; make them narrower."
            )
    return architecture


@dataclass(frozen=True)
class _Names:
    """Names layers by kind and number, and in each further round of a block once more."""

    of_kind: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)

    def next(self, layer: Layer) -> tuple[str, int, str | None]:
        """(name, index, the name of the layer whose trained weights are shared)."""
        self.of_kind[layer.kind] += 1
        first = f"{layer.kind}{self.of_kind[layer.kind]}"
        self.given[first] += 1
        number, index = self.given[first], self.given.total() - 1
        return (first, index, None) if number == 1 else (f"{first}_{number}", index, first)

    def rounds(self, rounds: int) -> Iterator[int]:
        """The numbers of the rounds of a block; in each the numbering starts where it did."""
        start = self.of_kind.copy()
        for number in range(rounds):
            self.of_kind.clear()
            self.of_kind.update(start)
            yield number


def _place(
    layers: tuple[Layer, ...],
    shape: Shape,
    names: _Names,
    held: tuple[Shape, ...] = (),
    *,
    opens: bool = False,
) -> tuple[Placed, ...]:
    """`layers` in their places; with `opens`, the input of the first is the last of `held`."""
    placed = []
    for layer in layers:
        kept = held if opens or not layer.keeps_input else (*held, shape)
        if layer.views > 1:  # what goes in is a copy of what is kept, and the sum of all grows
            kept = (*kept, layer.output_shape(shape))
        children: tuple[Placed, ...] = ()
        inside = shape
        for number in names.rounds(layer.rounds) if layer.children else ():
            first = number == 0 and (opens or layer.keeps_input) and layer.views == 1
            children += _place(layer.children, inside, names, kept, opens=first)
            inside = output_shape(layer.children, inside)
        name, index, shares = names.next(layer)
        after = layer.output_shape(shape)
        placed.append(Placed(name, index, layer, shape, after, held, opens, children, shares))
        shape, opens = after, False
    return tuple(placed)


def _count(layers: tuple[Layer, ...], depth: int = 0) -> int:
    """How many layers run, those inside others too, each as often as it does."""
    if depth > DEEPEST:
        raise too_deep()
    return sum(
        1 + (x.rounds * x.views * _count(x.children, depth + 1) if x.children else 0)
        for x in layers
    )


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= LARGEST
