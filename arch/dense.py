"""A dense layer (`d10`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.arch.layers import Call, Layer, Shape, Weight, flag, kind, size

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule
    from pennyweight.arch.operations import Piece


@kind("dense", "d")
@dataclass(frozen=True, kw_only=True)
class Dense(Layer):
    """Every output sees every input; it follows a head."""

    width: int = size()  # output features
    bias: bool = flag("+")

    folds_batch_norm = True

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                "a dense layer needs a head before it: A (average), M (max) or F (flatten)"
            )
        return (self.width,)

    def weights(self, shape: Shape) -> dict[str, Weight]:
        weights = {"kernel": Weight((shape[0], self.width), "he")}
        return weights | ({"bias": Weight((self.width,), "zeros")} if self.bias else {})

    def macs(self, shape: Shape) -> int:
        return shape[0] * self.width

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        from pennyweight.arch.maps import Maps
        from pennyweight.arch.products import linear

        y = linear(module.kernel[...], x.settled())
        return Maps(y + module.bias[...][:, None] if self.bias else y)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Affine, Multiply

        product = Multiply(kernel=arrays["kernel"])
        return (product, Affine(offset=arrays["bias"])) if self.bias else (product,)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        options = [] if self.bias else ["use_bias=False"]
        arguments = [f"{shape[0]}", f"{self.width}", *options, "rngs=rngs"]
        return ["nnx.Linear", *arguments], "{self}({x})"
