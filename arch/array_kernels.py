"""The operations of a deployed network in NumPy alone, for pictures (n, h, w, c) of float32.

An export carries this file's functions with it, so they use nothing else of the project.
"""

from __future__ import annotations

import numpy as np


def convolve(
    x: np.ndarray,
    kernel: np.ndarray,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> np.ndarray:
    """With a kernel (h, w, inputs, outputs), or (h, w, 1, c) for each channel by itself.

    `pads` are zeros at the top, bottom, left and right.
    """
    rows, columns, inputs, outputs = kernel.shape
    depthwise = inputs == 1 and x.shape[3] == outputs
    top, bottom, left, right = pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    height = (x.shape[1] - (rows - 1) * dilation - 1) // stride + 1
    width = (x.shape[2] - (columns - 1) * dilation - 1) // stride + 1
    y = np.zeros((len(x), height, width, outputs), x.dtype)
    for i in range(rows):
        for j in range(columns):
            down = slice(i * dilation, i * dilation + (height - 1) * stride + 1, stride)
            across = slice(j * dilation, j * dilation + (width - 1) * stride + 1, stride)
            part = x[:, down, across]
            y += part * kernel[i, j, 0] if depthwise else part @ kernel[i, j]
    return y


def pool(
    x: np.ndarray, function: str, window: tuple[int, int], stride: tuple[int, int]
) -> np.ndarray:
    """The "max" or "average" of each window (height, width)."""
    height = (x.shape[1] - window[0]) // stride[0] + 1
    width = (x.shape[2] - window[1]) // stride[1] + 1
    parts = [
        x[:, i : i + (height - 1) * stride[0] + 1 : stride[0]][
            :, :, j : j + (width - 1) * stride[1] + 1 : stride[1]
        ]
        for i in range(window[0])
        for j in range(window[1])
    ]
    return np.maximum.reduce(parts) if function == "max" else np.add.reduce(parts) / len(parts)


def shift(x: np.ndarray, down: int, right: int) -> np.ndarray:
    """Moved by so many pixels; the edges repeat."""
    _, height, width, _ = x.shape
    x = x[:, (np.arange(height) - down).clip(0, height - 1)]
    return x[:, :, (np.arange(width) - right).clip(0, width - 1)]


def rectify(x: np.ndarray, slope: float | np.ndarray = 0.0) -> np.ndarray:
    """x, or `slope` times x below 0."""
    return np.where(x >= 0, x, np.float32(slope) * x)


def silu(x: np.ndarray) -> np.ndarray:
    """x times its sigmoid."""
    return x / (1 + np.exp(np.minimum(-x, 80)))  # beyond, `exp` overflows
