"""`model.stablehlo`: a deployed network as StableHLO, with its weights, for any number of pictures.

It is what `jax.export` serialises: `jax.export.deserialize(content).call(pictures)` runs it on a
CPU, an NVIDIA GPU or a TPU, with whatever version of JAX, of the years to come, reads it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.kernels import moved
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

PLATFORMS = ("cpu", "cuda", "tpu")


def stablehlo_file(deployed: Deployed) -> bytes:
    """The content of `model.stablehlo`: uint8 pictures (n, h, w, c) to logits (n, classes)."""

    def logits(pictures: jax.Array) -> jax.Array:
        return _logits(deployed, pictures)

    (n,) = export.symbolic_shape("n")
    pictures = jax.ShapeDtypeStruct((n, *deployed.input_shape), jnp.uint8)
    with _without_locations():
        return bytes(export.export(jax.jit(logits), platforms=PLATFORMS)(pictures).serialize())


@contextlib.contextmanager
def _without_locations() -> Iterator[None]:
    """Let no path of this machine get into the program, which JAX notes beside each operation."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _logits(deployed: Deployed, pictures: jax.Array) -> jax.Array:
    mean, std = (
        _last(np.asarray(numbers, np.float32), 4) for numbers in (deployed.mean, deployed.std)
    )
    values = [(pictures.astype(jnp.float32) / 255 - mean) / std]
    for step in deployed.steps:
        value = _computed(step, [values[number] for number in step.inputs])
        value = value.reshape(value.shape[0], *step.output_shape)
        for function in step.pointwise:
            value = _applied(function, value)
        values.append(value)
    return values[-1]


def _computed(step: Step, inputs: list[jax.Array]) -> jax.Array:
    match step.operation:
        case Convolve(kernel=kernel) as convolution:
            top, bottom, left, right = convolution.pads
            return lax.conv_general_dilated(
                inputs[0],
                jnp.asarray(kernel),
                window_strides=[convolution.stride] * 2,
                padding=[(top, bottom), (left, right)],
                rhs_dilation=[convolution.dilation] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=kernel.shape[3] if convolution.depthwise else 1,
                precision=lax.Precision.HIGHEST,  # GPUs and TPUs would round to fewer bits
            )
        case Multiply(kernel=kernel):
            return jnp.matmul(inputs[0], kernel, precision=lax.Precision.HIGHEST)
        case Pool(function=function, window=window, stride=stride):
            start, join = (-jnp.inf, lax.max) if function == "max" else (0.0, lax.add)
            shapes = (1, *window, 1), (1, *stride, 1)
            pooled = lax.reduce_window(inputs[0], np.float32(start), join, *shapes, "VALID")
            return pooled if function == "max" else pooled / np.float32(window[0] * window[1])
        case Shift(down=down, right=right):
            return moved(inputs[0].transpose(3, 1, 2, 0), down, right).transpose(3, 1, 2, 0)
        case Add():
            return inputs[0] + inputs[1]
        case Flatten() | Pass():
            return inputs[0]


def _applied(function: Pointwise, value: jax.Array) -> jax.Array:
    match function:
        case Affine(scale=scale, offset=offset):
            if isinstance(scale, np.ndarray):
                value = value * _last(scale, value.ndim)
            elif scale is not None:
                value = value * np.float32(scale)
            return value if offset is None else value + _last(offset, value.ndim)
        case Activate(function="silu"):
            return jax.nn.silu(value)
        case Activate(slope=slope):
            return jnp.where(value >= 0, value, np.float32(slope) * value)


def _last(array: np.ndarray, axes: int) -> np.ndarray:
    """`array` along the last of so many axes: JAX may be told to refuse what it would guess."""
    return array.reshape((1,) * (axes - 1) + array.shape)
