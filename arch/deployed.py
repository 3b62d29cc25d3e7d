"""What is left of a network when it only predicts: a few steps over plain arrays.

Every export but `model.py` is written from it. Dropout is gone, blocks are unrolled, and each
BatchNorm is folded into the kernel before it where it can be (`folding`). What works on each value
by itself belongs to the step that makes the value, so that a program can do it before it writes the
value down. NumPy is all that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pennyweight.arch import array_kernels as kernels
from pennyweight.arch.layers import Shape
from pennyweight.arch.operations import (
    Activate,
    Add,
    Affine,
    Convolve,
    Flatten,
    Multiply,
    Operation,
    Pass,
    Pointwise,
    Pool,
    Shift,
)

_PART = 256  # pictures at a time, which bounds the memory


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """One operation, and what is then done to each of its values.

    `inputs` are numbers of values: 0 is the normalised picture, and step i makes value i + 1.
    """

    operation: Operation
    inputs: tuple[int, ...]
    input_shape: Shape  # of the first input
    output_shape: Shape
    pointwise: tuple[Pointwise, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Deployed:
    """A trained network that predicts: uint8 pictures (h, w, c) to one logit for each class.

    Pictures are divided by 255, less `mean`, divided by `std` (both by channel).
    """

    input_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    steps: tuple[Step, ...]

    @property
    def params(self) -> int:
        """How many numbers it holds, those that several steps share once."""
        return sum(array.size for array in self.arrays().values())

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by a name such as `step3_kernel`, after the first step that uses it."""
        named: dict[str, np.ndarray] = {}
        known: set[int] = set()
        for number, step in enumerate(self.steps, 1):
            for name, array in _arrays_of(step):
                if id(array) not in known:
                    known.add(id(array))
                    named[f"step{number}_{name}"] = array
        return named

    def normalised(self, images_nhwc: np.ndarray) -> np.ndarray:
        """Uint8 pictures (n, h, w, c) as the first step takes them: float32."""
        mean, std = (np.asarray(numbers, np.float32) for numbers in (self.mean, self.std))
        return (images_nhwc.astype(np.float32) / 255 - mean) / std

    def values(self, images_nhwc: np.ndarray) -> list[np.ndarray]:
        """Of uint8 pictures (n, h, w, c): the normalised pictures, and what each step makes."""
        values = [self.normalised(images_nhwc)]
        for step in self.steps:
            value = computed(step, [values[number] for number in step.inputs])
            for function in step.pointwise:
                value = applied(function, value)
            values.append(value)
        return values

    def logits(self, images_nhwc: np.ndarray) -> np.ndarray:
        """Of uint8 pictures (n, h, w, c): float32 (n, classes)."""
        parts = range(0, len(images_nhwc), _PART)
        logits = [self.values(images_nhwc[start : start + _PART])[-1] for start in parts]
        return np.concatenate([np.zeros((0, self.classes), np.float32), *logits])

    def last_uses(self) -> list[int]:
        """For each value the number of the last step that reads it."""
        last = [0] * (len(self.steps) + 1)
        for number, step in enumerate(self.steps):
            for value in step.inputs:
                last[value] = number
        return last


def computed(step: Step, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """What the operation of `step` makes of `inputs`, before its pointwise functions."""
    value = _operated(step.operation, inputs)
    return value.reshape(len(value), *step.output_shape)


def applied(function: Pointwise, value: np.ndarray) -> np.ndarray:
    """`function` of each value."""
    match function:
        case Affine(scale=scale, offset=offset):
            value = value if scale is None else value * scale
            return value if offset is None else value + offset
        case Activate(function="silu"):
            return kernels.silu(value)
        case Activate(slope=slope):
            return kernels.rectify(value, slope)


def _operated(operation: Operation, inputs: Sequence[np.ndarray]) -> np.ndarray:
    match operation:
        case Convolve(kernel=kernel, stride=stride, dilation=dilation, pads=pads):
            return kernels.convolve(inputs[0], kernel, stride, dilation, pads)
        case Multiply(kernel=kernel):
            return inputs[0] @ kernel
        case Pool(function=function, window=window, stride=stride):
            return kernels.pool(inputs[0], function, window, stride)
        case Shift(down=down, right=right):
            return kernels.shift(inputs[0], down, right)
        case Add():
            return inputs[0] + inputs[1]
        case Flatten() | Pass():
            return inputs[0]


def _arrays_of(step: Step) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(step.operation, Convolve | Multiply):
        yield "kernel", step.operation.kernel
    for place, function in enumerate(step.pointwise):
        suffix = "" if place == 0 else f"{place + 1}"
        for name, array in vars(function).items():
            if isinstance(array, np.ndarray):
                yield f"{name}{suffix}", array
