"""A network in 8-bit integers, as a program for a microcontroller computes it.

Levels are int8, from -128 to 127. A value of the network is scale * (level - zero point), with one
scale and one zero point for a whole feature map; 0 is a level of its own, so zeros around a picture
add exactly nothing. Kernels have a scale for each output, and no zero point.

- The picture comes in levels already: with one channel, its bytes less 128, and only the mean is
  rounded to the nearest level. Several channels are normalised and rounded to a common scale.
- Products of levels are summed in int32. The sum times a scale is a float32, which the step's
  pointwise functions are applied to, in float32; the result is rounded to a level, half upwards.
  So kernels that several rounds share, and any activation, are as exact as others.
- The largest of a window keeps its levels, and so does what is moved. A mean is a sum of
  levels; `Add` weighs both levels.
- The logits are floats.

This is the program's arithmetic to the bit, in NumPy; only `silu` is up to the mathematics library.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pennyweight.arch import array_kernels as kernels
from pennyweight.arch.deployed import Deployed, Step, applied
from pennyweight.arch.operations import Add, Convolve, Flatten, Multiply, Pass, Pool, Shift
from pennyweight.train.cores import core_count

LOWEST, HIGHEST = -128, 127
_EXACT = 2**24 // (255 * 127)  # products of levels that float32 sums without rounding
_PART = 256  # pictures at a time


@dataclass(frozen=True)
class Levels:
    """What the levels of one value stand for: scale * (level - zero_point)."""

    scale: float  # a float32
    zero_point: int

    @property
    def inverse(self) -> np.float32:
        return np.float32(1 / self.scale)

    def of(self, x: np.ndarray) -> np.ndarray:
        """The nearest level to each float32 of `x`, as int8."""
        return _nearest(x * self.inverse + np.float32(self.zero_point))


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantised:
    """A network in 8-bit integers: uint8 pictures (h, w, c) to one float logit for each class."""

    input_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    steps: tuple[Step, ...]  # as `Deployed` has them, with kernels of int8
    kernel_scales: tuple[np.ndarray | None, ...]  # of each step's kernel: float32 (outputs,)
    levels: tuple[Levels, ...]  # of each value but the logits

    @property
    def deployed(self) -> Deployed:
        """Its steps alone, without what their levels stand for."""
        return Deployed(
            input_shape=self.input_shape,
            classes=self.classes,
            mean=self.mean,
            std=self.std,
            steps=self.steps,
        )

    @property
    def weight_bytes(self) -> int:
        """What its constants take: kernels in int8; scales, offsets and slopes in float32."""
        scales = [scale for scale in self.kernel_scales if scale is not None]
        return sum(array.nbytes for array in [*self.deployed.arrays().values(), *scales])

    def values(self, images_nhwc: np.ndarray) -> list[np.ndarray]:
        """Of uint8 pictures (n, h, w, c): their levels, and what each step makes."""
        values = [self.picture(images_nhwc)]
        for number, step in enumerate(self.steps):
            x = self.summed(number, [values[given] for given in step.inputs])
            values.append(self.finished(number, x))
        return values

    def logits(self, images_nhwc: np.ndarray) -> np.ndarray:
        """Of uint8 pictures (n, h, w, c): float32 (n, classes)."""
        parts = [images_nhwc[at : at + _PART] for at in range(0, len(images_nhwc), _PART)]
        with ThreadPoolExecutor(core_count()) as pool:  # NumPy lets others run
            logits = pool.map(lambda part: self.values(part)[-1], parts)
        return np.concatenate([np.zeros((0, self.classes), np.float32), *logits])

    def picture(self, images_nhwc: np.ndarray) -> np.ndarray:
        """The levels of uint8 pictures."""
        scale, offset = picture_map(self.mean, self.std, self.levels[0])
        return _nearest(images_nhwc * scale + offset)

    def summed(self, number: int, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """What step `number` makes of levels, as float32, before its pointwise functions."""
        step = self.steps[number]
        given = [self.levels[value] for value in step.inputs]
        sums = sums_of(
            step, [x.astype(np.int16) - of.zero_point for x, of in zip(inputs, given, strict=True)]
        )
        scales = scales_of(step, given, self.kernel_scales[number])
        x = sums[0].astype(np.float32) * scales[0]
        if len(sums) == 2:
            x = x + sums[1].astype(np.float32) * scales[1]
        return x.reshape(len(x), *step.output_shape)

    def finished(self, number: int, x: np.ndarray) -> np.ndarray:
        """The levels, or the logits, that the pointwise functions of step `number` make of `x`."""
        for function in self.steps[number].pointwise:
            x = applied(function, x)
        return self.levels[number + 1].of(x) if number + 1 < len(self.levels) else x


def _nearest(levels: np.ndarray) -> np.ndarray:
    """The nearest level to each float32, half upwards, as int8."""
    levels = np.clip(levels, np.float32(LOWEST), np.float32(HIGHEST))
    return ((levels + np.float32(128.5)).astype(np.int32) - 128).astype(np.int8)


def keeps_levels(step: Step) -> bool:
    """Whether what a step makes is levels of its input."""
    kept = isinstance(step.operation, Flatten | Shift | Pass)
    largest = isinstance(step.operation, Pool) and step.operation.function == "max"
    return (kept or largest) and not step.pointwise


def picture_map(
    mean: Sequence[float], std: Sequence[float], levels: Levels
) -> tuple[np.ndarray, np.ndarray]:
    """(scale, offset) by channel, float32, by which a picture's bytes become levels."""
    if len(mean) == 1:  # a level a byte
        return np.ones(1, np.float32), np.full(1, LOWEST, np.float32)
    scale = 1 / (255 * np.asarray(std) * levels.scale)
    offset = levels.zero_point - 255 * np.asarray(mean) * scale
    return scale.astype(np.float32), offset.astype(np.float32)


def sums_of(step: Step, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The integer sums of levels less their zero points, as integers or as floats that are exact.

    Of `Add`, each input by itself.
    """
    (x, *_) = inputs
    match step.operation:
        case Convolve(kernel=kernel, stride=stride, dilation=dilation, pads=pads):
            exact = np.float32 if np.prod(kernel.shape[:3]) <= _EXACT else np.float64
            x, kernel = x.astype(exact), kernel.astype(exact)
            return [kernels.convolve(x, kernel, stride, dilation, pads)]
        case Multiply(kernel=kernel):
            exact = np.float32 if len(kernel) <= _EXACT else np.float64
            return [x.astype(exact) @ kernel.astype(exact)]
        case Pool(function="average", window=window, stride=stride):
            means = kernels.pool(x.astype(np.float64), "average", window, stride)
            return [np.rint(means * (window[0] * window[1]))]
        case Pool(window=window, stride=stride):
            return [kernels.pool(x, "max", window, stride)]
        case Shift(down=down, right=right):
            return [kernels.shift(x, down, right)]
        case _:
            return list(inputs)


def scales_of(
    step: Step, given: Sequence[Levels], kernel_scale: np.ndarray | None
) -> list[np.ndarray]:
    """What 1 is worth in each of `sums_of`: float32, by channel or for all."""
    scales = [np.asarray(of.scale, np.float32) for of in given]
    if isinstance(step.operation, Convolve | Multiply):
        assert kernel_scale is not None
        return [scales[0] * kernel_scale]
    if isinstance(step.operation, Pool) and step.operation.function == "average":
        height, width = step.operation.window
        return [scales[0] / np.float32(height * width)]
    return scales if isinstance(step.operation, Add) else scales[:1]
