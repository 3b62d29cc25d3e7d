"""A block that runs several times with the same weights: `3[ … ]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennyweight.arch.block import Block
from pennyweight.arch.layers import (
    Call,
    Layer,
    Shape,
    kind,
    normal_layers,
    output_shape,
    size,
    trained_shapes,
)

if TYPE_CHECKING:
    from pennyweight.arch.maps import Maps


@kind("repeat", "[")
@dataclass(frozen=True, kw_only=True)
class Repeat(Block):
    """`body`, `times` times over with the same trained weights.

    The maps may shrink from time to time, but keep their channels. Each BatchNorm has statistics of
    its own each time, and one scale and offset.
    """

    times: int = size(least=2)

    in_place = True  # its body's layers have their own buffers

    @property
    def rounds(self) -> int:
        return self.times

    def output_shape(self, shape: Shape) -> Shape:
        first = trained_shapes(self.body, shape)
        for _ in range(self.times - 1):
            before, shape = shape, output_shape(self.body, shape)
            if shape == before:  # and so in every further round
                return shape
            if (here := trained_shapes(self.body, shape)) != first:
                raise ValueError(
                    "a repeated block must give what it takes, but its weights would change "
                    f"their shapes from {first} to {here}"
                )
        return output_shape(self.body, shape)

    def normal(self, shape: Shape, previous: Layer | None) -> Layer:
        body = normal_layers(self.body, shape)
        if not trained_shapes(body, shape):
            raise ValueError("a repeated block needs a layer with weights to share")
        return replace(self, body=body)

    def around(self, run: Callable[[Maps, Call], Maps], x: Maps, call: Call) -> Maps:
        return run(x, call)

    @property
    def joined(self) -> str:
        return f"{self.times} times"

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{x}"
