"""What is inside, over five views of its input: `{ … }`."""

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
    macs_of,
    normal_layers,
    output_shape,
    pixels,
)

if TYPE_CHECKING:
    import jax

    from pennyweight.arch.maps import Maps

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""By how many pixels (down, right) the input is moved in each view but the first."""


@kind("views", "{")
@dataclass(frozen=True, kw_only=True)
class Views(Block):
    """The mean of `body` over its input as it is, and moved by a pixel up, down, left and right.

    What comes in from outside repeats the edge. It has no parameters, and takes five times the MACs
    to predict. In training the body sees its input as it is, so that takes no longer.
    """

    keeps_input = True
    views = 1 + len(MOVES)

    def output_shape(self, shape: Shape) -> Shape:
        pixels(shape, "a mean of views")
        return output_shape(self.body, shape)

    def normal(self, shape: Shape, previous: Layer | None) -> Layer:
        body = normal_layers(self.body, shape)
        if not body:
            raise ValueError("a mean of views needs a layer that does something")
        return replace(self, body=body)

    def macs(self, shape: Shape) -> int:
        """Those of all views but the first, which are the body's own."""
        return len(MOVES) * macs_of(self.body, shape)

    def around(self, run: Callable[[Maps, Call], Maps], x: Maps, call: Call) -> Maps:
        import jax.numpy as jnp
        from jax import lax

        from pennyweight.arch.kernels import moved
        from pennyweight.arch.maps import Maps

        if call.batch_statistics is True:
            return run(x, call)
        x_chwn = x.together().settled()
        others = jnp.stack([moved(x_chwn, down, right) for down, right in MOVES])
        known = replace(call, batch_statistics=False)  # statistics are of the input as it is

        def seen(x_chwn: jax.Array) -> jax.Array:
            return run(Maps.made(x_chwn), known).together().settled()

        total = lax.map(seen, others).sum(0)
        total = total + run(Maps.made(x_chwn), call).together().settled()
        return Maps.made(total / self.views)

    @property
    def joined(self) -> str:
        return f"mean of {self.views} views"

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{x}"

    def source_around(self, inside: list[str], depth: int) -> list[str]:
        total = "total" if depth == 1 else f"total{depth}"
        return [
            f"{total}, seen = jnp.zeros(()), views(x)",
            "for x in seen:",
            *(f"    {line}" for line in inside),
            f"    {total} = {total} + x",
            f"x = {total} / {self.views}",
        ]
