"""The residual connection: `( … )`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennyweight.arch.errors import UsageError, shown
from pennyweight.arch.layers import Call, Layer, Shape, kind, normal_layers, output_shape

if TYPE_CHECKING:
    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule

DEEPEST = 8  # blocks inside one another


def too_deep() -> UsageError:
    """What is raised for deeper ones."""
    return UsageError(f"Blocks in brackets nest at most {DEEPEST} deep, but these go deeper.")


@kind("residual", "(")
@dataclass(frozen=True, kw_only=True)
class Residual(Layer):
    """x + body(x), for a body that keeps the shape (He et al., arXiv:1512.03385)."""

    body: tuple[Layer, ...]

    keeps_input = True

    def __post_init__(self) -> None:
        if not isinstance(self.body, tuple) or not all(isinstance(x, Layer) for x in self.body):
            raise ValueError(f"`body` of a residual layer is layers, but got {shown(self.body)}.")

    @property
    def children(self) -> tuple[Layer, ...]:
        return self.body

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

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        raise TypeError("A network runs the body of a residual connection and calls `join`.")

    def join(self, x: Maps, y: Maps) -> Maps:
        from pennyweight.arch.maps import Maps

        return Maps(x.settled() + y.settled())

    @property
    def joined(self) -> str:
        return "+ input"

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{skip} + {x}"
