"""`model_numpy.py`: a deployed network as a program that needs NumPy and safetensors alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from string import Template

from pennyweight.arch import array_kernels
from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.operations import (
    Activate,
    Add,
    Affine,
    Convolve,
    Flatten,
    Multiply,
    Pass,
    Pointwise,
    Pool,
    Shift,
)

WEIGHTS = "folded.safetensors"


def numpy_source(deployed: Deployed, notation: str) -> str:
    """The text of `model_numpy.py`; its weights are `deployed.arrays()` in `WEIGHTS`."""
    names = {id(array): f'w["{name}"]' for name, array in deployed.arrays().items()}
    statements = _statements(deployed, names)
    if not statements or not statements[-1].startswith("x = "):
        statements.append("x = x")
    statements[-1] = statements[-1].replace("x = ", "return ", 1)
    used = "\n".join(statements)
    height, width, channels = deployed.input_shape
    return _TEMPLATE.substitute(
        notation=notation,
        params=f"{deployed.params:,}",
        height=height,
        width=width,
        channels=channels,
        classes=deployed.classes,
        mean=list(deployed.mean),
        std=list(deployed.std),
        weights=WEIGHTS,
        kernels="\n\n".join(_used_kernels(used)),
        steps="\n".join(f"    {line}" for line in statements),
    )


def _statements(deployed: Deployed, names: dict[int, str]) -> list[str]:
    """What turns `x` into logits; a value that is skipped back to is kept under a name."""
    last = deployed.last_uses()
    statements = ["kept0 = x"] if last[0] > 0 else []
    for number, step in enumerate(deployed.steps):
        inputs = ["x" if value == number else f"kept{value}" for value in step.inputs]
        texts = [_operation(step, inputs, names)]
        for function in step.pointwise:
            if isinstance(function, Affine) and function.scale is None and len(texts) == 1:
                texts[0] += _plus(function, names)  # a bias
            else:
                texts.append(_applied(function, names))
        statements += [f"x = {text}" for text in texts if text != "x"]
        if last[number + 1] > number + 1:
            statements.append(f"kept{number + 1} = x")
    return statements


def _operation(step: Step, inputs: list[str], names: dict[int, str]) -> str:
    match step.operation:
        case Convolve(kernel=kernel, stride=stride, dilation=dilation, pads=pads):
            options = [f"stride={stride}"] if stride > 1 else []
            options += [f"dilation={dilation}"] if dilation > 1 else []
            options += [f"pads={pads}"] if any(pads) else []
            return f"convolve({', '.join([inputs[0], names[id(kernel)], *options])})"
        case Multiply(kernel=kernel):
            return f"{inputs[0]} @ {names[id(kernel)]}"
        case Pool(function=function, window=window, stride=stride):
            pooled = f'pool({inputs[0]}, "{function}", {window}, {stride})'
            flat = len(step.output_shape) == 1
            return f"{pooled}.reshape(len({inputs[0]}), -1)" if flat else pooled
        case Flatten():
            return f"{inputs[0]}.reshape(len({inputs[0]}), -1)"
        case Shift(down=down, right=right):
            return f"shift({inputs[0]}, {down}, {right})"
        case Add():
            return " + ".join(inputs)
        case Pass():
            return inputs[0]


def _applied(function: Pointwise, names: dict[int, str]) -> str:
    match function:
        case Affine(scale=float(scale)):
            return f"x * {scale}{_plus(function, names)}"
        case Affine(scale=scale):
            return ("x" if scale is None else f"x * {names[id(scale)]}") + _plus(function, names)
        case Activate(function="silu"):
            return "silu(x)"
        case Activate(slope=float(slope)):
            return f"rectify(x, {slope})" if slope else "rectify(x)"
        case Activate(slope=slope):
            return f"rectify(x, {names[id(slope)]})"


def _plus(function: Affine, names: dict[int, str]) -> str:
    return "" if function.offset is None else f" + {names[id(function.offset)]}"


def _used_kernels(text: str) -> Iterator[str]:
    """The source of each kernel that `text` calls."""
    for name, function in vars(array_kernels).items():
        if inspect.isfunction(function) and f"{name}(" in text:
            yield inspect.getsource(function)


_TEMPLATE = Template('''\
"""A network with $params numbers for ${height}x${width}x$channels pictures of $classes classes.

It needs NumPy and safetensors alone. Exported by Pennyweight, in whose notation it was

    $notation

before each BatchNorm was folded into the kernel before it. From Python:

    logits = load("this/folder")(images)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

MEAN, STD = np.float32($mean), np.float32($std)  # by channel, of levels on the scale from 0 to 1


def network(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Normalised pictures (n, $height, $width, $channels) and weights to logits (n, $classes)."""
$steps


$kernels

def load(folder: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, $height, $width, $channels) to logits (n, $classes)."""
    weights = load_file(Path(folder, "$weights"))

    def logits(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != ($height, $width, $channels):
            wanted, got = "uint8 (n, $height, $width, $channels)", f"{images.dtype} {images.shape}"
            raise ValueError(f"Images must be {wanted}, but got {got}.")
        result = np.empty((len(images), $classes), np.float32)
        for i in range(0, len(images), 256):  # in parts, which bounds the memory
            x = (images[i : i + 256] / np.float32(255) - MEAN) / STD
            result[i : i + 256] = network(x, weights)
        return result

    return logits
''')
