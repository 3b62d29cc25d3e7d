"""What layers that hold others have in common: `( … )`, `3[ … ]` and `{ … }`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.arch.errors import UsageError, shown
from pennyweight.arch.layers import Call, Layer
from pennyweight.arch.limits import DEEPEST

if TYPE_CHECKING:
    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule


def too_deep() -> UsageError:
    """What is raised for deeper ones."""
    return UsageError(f"Blocks in brackets nest at most {DEEPEST} deep, but these go deeper.")


@dataclass(frozen=True, kw_only=True)
class Block(Layer):
    """A layer that is its `body`, and what a subclass makes of it."""

    body: tuple[Layer, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.body, tuple) or not all(isinstance(x, Layer) for x in self.body):
            raise ValueError(
                f"`body` of a {self.kind} layer is layers, but got {shown(self.body)}."
            )

    @property
    def children(self) -> tuple[Layer, ...]:
        return self.body

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        raise TypeError(f"A network runs the body of a {self.kind} layer and calls `around`.")
