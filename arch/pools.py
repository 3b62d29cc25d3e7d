"""Pooling (`m2`, `a2`) and the heads that make a vector of a picture (`A`, `M`, `F`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pennyweight.arch.layers import Call, Layer, Shape, kind, pixels, size

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule
    from pennyweight.arch.operations import Piece


@dataclass(frozen=True, kw_only=True)
class _Pool(Layer):
    """An unpadded square window; stride 0 means the window's own size."""

    extent: int = size()  # pixels
    stride: int = size("s", 0, least=0)

    @property
    def window(self) -> tuple[int, int]:
        return self.extent, self.stride or self.extent

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = pixels(shape, "pooling")
        extent, stride = self.window
        if min(height, width) < extent:
            raise ValueError(
                f"pooling over {extent} pixels needs a picture at least as large, "
                f"but got {height}x{width}"
            )
        return (height - extent) // stride + 1, (width - extent) // stride + 1, channels

    def normal(self, shape: Shape, previous: Layer | None) -> Layer | None:
        """Pooling single pixels does nothing; a stride equal to the extent is the default."""
        if self.window == (1, 1):
            return None
        return type(self)(extent=self.extent) if self.stride == self.extent else self

    def _deployed(self, function: Literal["max", "average"]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Pool

        extent, stride = self.window
        return (Pool(function=function, window=(extent, extent), stride=(stride, stride)),)

    def _source(self, function: str) -> tuple[list[str], str]:
        e, s = self.window
        # Keywords: positional pooling arguments crash ONNX exporters.
        return [], f"nnx.{function}({{x}}, window_shape=({e}, {e}), strides=({s}, {s}))"


@kind("max_pool", "m")
@dataclass(frozen=True, kw_only=True)
class MaxPool(_Pool):
    """The largest value of each window."""

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        from pennyweight.arch import pool_kernels

        return pool_kernels.max_pool(x, *self.window)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return self._deployed("max")

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return self._source("max_pool")


@kind("average_pool", "a")
@dataclass(frozen=True, kw_only=True)
class AveragePool(_Pool):
    """The mean of each window."""

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        from pennyweight.arch import pool_kernels

        return pool_kernels.avg_pool(x, *self.window)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return self._deployed("average")

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return self._source("avg_pool")


@dataclass(frozen=True, kw_only=True)
class _Global(Layer):
    """One value for each channel."""

    def output_shape(self, shape: Shape) -> Shape:
        return (pixels(shape, "global pooling")[2],)

    def normal(self, shape: Shape, previous: Layer | None) -> Layer:
        """Over a single pixel, the mean and the maximum are the pixel: `Flatten`."""
        return Flatten() if shape[:2] == (1, 1) else self


def _global_pool(function: Literal["max", "average"], shape: Shape) -> tuple[Piece, ...]:
    from pennyweight.arch.operations import Pool

    height, width, _ = pixels(shape, "global pooling")
    return (Pool(function=function, window=(height, width), stride=(height, width)),)


@kind("global_average", "A")
@dataclass(frozen=True, kw_only=True)
class GlobalAverage(_Global):
    """The mean of each channel (Lin et al., arXiv:1312.4400)."""

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        from pennyweight.arch.pool_kernels import global_average

        return global_average(x)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return _global_pool("average", shape)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{x}.mean(axis=(1, 2))"


@kind("global_max", "M")
@dataclass(frozen=True, kw_only=True)
class GlobalMax(_Global):
    """The largest value of each channel."""

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        from pennyweight.arch.maps import Maps
        from pennyweight.arch.sweep import COLUMNS, ROWS

        values = x.settled()
        return Maps(values.max((ROWS, COLUMNS)).reshape(len(values), -1))

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return _global_pool("max", shape)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{x}.max(axis=(1, 2))"


@kind("flatten", "F")
@dataclass(frozen=True, kw_only=True)
class Flatten(Layer):
    """All values of the picture as one vector: row by row, pixel by pixel, channels last."""

    in_place = True

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(pixels(shape, "flatten")),)

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        from pennyweight.arch.maps import Maps

        values = x.together().settled()
        return Maps(values.transpose(1, 2, 0, 3).reshape(-1, values.shape[3]))

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Flatten

        return (Flatten(),)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{x}.reshape(len({x}), -1)"
