"""Convolutions: over all channels (`c8`), or each channel by itself (`w`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennyweight.arch.layers import (
    Call,
    Layer,
    Shape,
    Weight,
    flag,
    kind,
    pixels,
    size,
)

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule
    from pennyweight.arch.operations import Piece


@dataclass(frozen=True, kw_only=True)
class _Window(Layer):
    """What both convolutions share: a square window that moves over the picture."""

    kernel: int = size("k", 3)
    stride: int = size("s", 1)
    dilation: int = size("x", 1)
    valid: bool = flag("v")
    bias: bool = flag("+")

    folds_batch_norm = True

    @property
    def window(self) -> tuple[int, int]:
        return (self.kernel - 1) * self.dilation + 1, self.stride

    def _moved(self, shape: Shape) -> tuple[int, int, int]:
        height, width, channels = pixels(shape, "a convolution")
        extent = self.window[0] if self.valid else 1
        if min(height, width) < extent:
            raise ValueError(
                f"an unpadded window of {extent} pixels needs a picture at least as large, "
                f"but got {height}x{width}"
            )
        return (
            (height - extent) // self.stride + 1,
            (width - extent) // self.stride + 1,
            channels,
        )

    def normal(self, shape: Shape, previous: Layer | None) -> Layer:
        """A 1x1 window has neither padding nor dilation."""
        del shape, previous
        return replace(self, dilation=1, valid=False) if self.kernel == 1 else self

    def _weights(self, inputs: int, outputs: int) -> dict[str, Weight]:
        weights = {"kernel": Weight((self.kernel, self.kernel, inputs, outputs), "he")}
        return weights | ({"bias": Weight((outputs,), "zeros")} if self.bias else {})

    def macs(self, shape: Shape) -> int:
        height, width, _ = self.output_shape(shape)
        return height * width * math.prod(self.weights(shape)["kernel"].shape)

    def _apply(self, module: LayerModule, x: Maps, call: Call, *, depthwise: bool) -> Maps:
        import jax.numpy as jnp

        from pennyweight.arch import kernels
        from pennyweight.arch.maps import Maps
        from pennyweight.arch.pending import Affine, Pending

        y = kernels.conv(
            x,
            module.kernel[...],
            stride=self.stride,
            padding="VALID" if self.valid else "SAME",
            dilation=self.dilation,
            depthwise=depthwise,
            measured=not self.bias and call.batch_statistics is not False,
        )
        if not self.bias:
            return y
        bias = module.bias[...]
        affine = Affine(jnp.zeros_like(bias), jnp.ones_like(bias), bias)
        return Maps(y.values, pending=Pending(affine))

    def _deployed(
        self, shape: Shape, arrays: Mapping[str, np.ndarray], *, depthwise: bool
    ) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Affine, Convolve, same_pads

        extent, stride = self.window
        pads = (0, 0, 0, 0) if self.valid else same_pads(shape, extent, stride)
        convolution = Convolve(
            kernel=arrays["kernel"],
            stride=stride,
            dilation=self.dilation,
            pads=pads,
            depthwise=depthwise,
        )
        return (convolution, Affine(offset=arrays["bias"])) if self.bias else (convolution,)

    def _source(self, inputs: int, outputs: int, groups: int) -> tuple[list[str], str]:
        arguments = [
            f"{inputs}",
            f"{outputs}",
            f"kernel_size=({self.kernel}, {self.kernel})",
            f"strides={self.stride}" if self.stride > 1 else "",
            f"kernel_dilation={self.dilation}" if self.dilation > 1 else "",
            'padding="VALID"' if self.valid else "",
            f"feature_group_count={groups}" if groups > 1 else "",
            "" if self.bias else "use_bias=False",
            "rngs=rngs",
        ]
        return ["nnx.Conv", *filter(None, arguments)], "{self}({x})"


@kind("conv", "c")
@dataclass(frozen=True, kw_only=True)
class Conv(_Window):
    """A square convolution over all channels."""

    width: int = size()  # output channels

    def output_shape(self, shape: Shape) -> Shape:
        return (*self._moved(shape)[:2], self.width)

    def weights(self, shape: Shape) -> dict[str, Weight]:
        return self._weights(shape[2], self.width)

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        return self._apply(module, x, call, depthwise=False)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return self._deployed(shape, arrays, depthwise=False)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return self._source(shape[2], self.width, 1)


@kind("depthwise", "w")
@dataclass(frozen=True, kw_only=True)
class Depthwise(_Window):
    """A square convolution of each channel by itself."""

    def output_shape(self, shape: Shape) -> Shape:
        return self._moved(shape)

    def weights(self, shape: Shape) -> dict[str, Weight]:
        return self._weights(1, shape[2])

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        return self._apply(module, x, call, depthwise=True)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return self._deployed(shape, arrays, depthwise=True)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return self._source(shape[2], shape[2], shape[2])
