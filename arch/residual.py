"""The residual connection: `( … )`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennyweight.arch.block import Block
from pennyweight.arch.layers import Call, Layer, Shape, kind, normal_layers, output_shape

if TYPE_CHECKING:
    from pennyweight.arch.maps import Maps


@kind("residual", "(")
@dataclass(frozen=True, kw_only=True)
class Residual(Block):
    """x + body(x), for a body that keeps the shape (He et al., arXiv:1512.03385)."""

    keeps_input = True

    def output_shape(self, shape: Shape) -> Shape:
        after = output_shape(self.body, shape)
        if after != shape:
            raise ValueError(f"a residual body must keep the shape {shape}, but it gives {after}")
        return shape

    def normal(self, shape: Shape, previous: Layer | None) -> Layer:
        body = normal_layers(self.body, shape)
        if not body:  # it would double its input, and print as `()`
            raise ValueError("a residual body needs a layer that does something")
        return replace(self, body=body)

    def around(self, run: Callable[[Maps, Call], Maps], x: Maps, call: Call) -> Maps:
        return x.added(run(x, call))

    @property
    def joined(self) -> str:
        return "+ input"

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{skip} + {x}"
