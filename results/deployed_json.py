"""A deployed network as JSON and one row of numbers, which `network.js` reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.operations import (
    Affine,
    Convolve,
    Multiply,
    Pointwise,
    Pool,
    Shift,
)


def deployed_json(deployed: Deployed) -> tuple[dict[str, Any], bytes]:
    """The description of `deployed`, and its weights: little-endian float32, one after the other.

    Arrays go by the names of `Deployed.arrays`; `start` counts the numbers before one.
    """
    arrays = deployed.arrays()
    names = {id(array): name for name, array in arrays.items()}
    placed: dict[str, Any] = {}
    start = 0
    for name, array in arrays.items():
        placed[name] = {"start": start, "shape": list(array.shape)}
        start += array.size
    description = {
        "input_shape": list(deployed.input_shape),
        "classes": deployed.classes,
        "mean": list(deployed.mean),
        "std": list(deployed.std),
        "steps": [_step(step, names) for step in deployed.steps],
        "arrays": placed,
    }
    return description, b"".join(array.astype("<f4").tobytes() for array in arrays.values())


def _step(step: Step, names: dict[int, str]) -> dict[str, Any]:
    operation = step.operation
    told: dict[str, Any] = {
        "operation": type(operation).__name__.lower(),
        "inputs": list(step.inputs),
        "input_shape": list(step.input_shape),
        "output_shape": list(step.output_shape),
        "pointwise": [_pointwise(function, names) for function in step.pointwise],
    }
    if isinstance(operation, Convolve | Multiply | Pool | Shift):
        told |= _fields(operation, names)
    return told


def _pointwise(function: Pointwise, names: dict[int, str]) -> dict[str, Any]:
    kind = {"function": "affine"} if isinstance(function, Affine) else {}
    return kind | _fields(function, names)


def _fields(
    piece: Convolve | Multiply | Pool | Shift | Pointwise, names: dict[int, str]
) -> dict[str, Any]:
    """The fields of a piece, each array by its name."""
    return {
        field: names[id(value)] if isinstance(value, np.ndarray) else value
        for field, value in vars(piece).items()
    }
