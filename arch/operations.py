"""What a deployed network computes with: operations, and functions of each value by itself.

Pictures lie with their channels last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pennyweight.arch.layers import Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine:
    """x * scale + offset, by channel; what is None is left out."""

    scale: np.ndarray | float | None = None  # float32 (channels,), or one for all
    offset: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Activate:
    """An activation. `rectify` is x, or `slope` times x below 0; `silu` x times its sigmoid."""

    function: Literal["rectify", "silu"] = "rectify"
    slope: float | np.ndarray = 0.0  # an array () where it was learned, which counts as a parameter


Pointwise = Affine | Activate


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolve:
    """A convolution with `kernel` (height, width, inputs, outputs), or (h, w, 1, c) `depthwise`.

    `pads` are zeros around the picture: (top, bottom, left, right).
    """

    kernel: np.ndarray
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    depthwise: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply:
    """A vector times `kernel` (inputs, outputs)."""

    kernel: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """The largest value or the mean of each window, unpadded."""

    function: Literal["max", "average"]
    window: tuple[int, int]  # (height, width)
    stride: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten:
    """The values of a picture as a vector, in the order in which they lie: channels last."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Shift:
    """A picture moved by one pixel or more, whose edges repeat."""

    down: int
    right: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Add:
    """The sum of two inputs of one shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pass:
    """The input as it is: for functions of a value that others still need as it was."""


Operation = Convolve | Multiply | Pool | Flatten | Shift | Add | Pass
Piece = Operation | Pointwise
"""What a layer contributes."""


def same_pads(shape: Shape, extent: int, stride: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of "same" padding, the larger part after, as XLA has it."""
    pads: list[int] = []
    for size in shape[:2]:
        missing = max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
        pads += [missing // 2, missing - missing // 2]
    top, bottom, left, right = pads
    return top, bottom, left, right
