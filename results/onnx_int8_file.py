"""`model_int8.onnx`: a quantised network as an ONNX graph of the QDQ form.

Between steps a value is rounded to levels and back (QuantizeLinear, DequantizeLinear), kernels are
levels with a scale for each output, and what is added to products is in their units, as int32: so a
runtime that has integer operators sees where it may use them, and another one computes the same in
float.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pennyweight.results.onnx_file import Graph, finished
from pennyweight.results.quantised import Quantised


def onnx_int8_file(quantised: Quantised, *, notation: str, class_names: Sequence[str]) -> bytes:
    """The content of `model_int8.onnx`, checked by ONNX's own checker."""
    return finished(_QuantisedGraph(quantised).model(), notation, class_names)


class _QuantisedGraph(Graph):
    def __init__(self, quantised: Quantised) -> None:
        super().__init__(quantised.deployed)
        self._quantised = quantised

    def picture(self) -> str:
        levels = self._quantised.levels[0]
        if self._quantised.input_shape[2] == 1:  # each byte is a level already
            value = self.node("Transpose", ["pictures"], perm=[0, 3, 1, 2])
            zero = np.uint8(levels.zero_point + 128)
            return self._back(0, value, np.float32(levels.scale), zero)
        return self.stored(0, super().picture())

    def stored(self, number: int, value: str) -> str:
        if number == len(self._quantised.levels):  # the logits
            return value
        levels = self._quantised.levels[number]
        scale, zero = np.float32(levels.scale), np.int8(levels.zero_point)
        given = [value, self.array(f"scale{number}", scale), self.array(f"zero{number}", zero)]
        return self._back(number, self.node("QuantizeLinear", given), scale, zero)

    def kernel(self, number: int, kernel: np.ndarray, order: tuple[int, ...]) -> str:
        scale = self.array(f"kernel_scale{number + 1}", self._kernel_scale(number))
        output = order.index(kernel.ndim - 1)
        return self.node("DequantizeLinear", [self.weight(kernel, order), scale], axis=output)

    def bias(self, number: int, offset: np.ndarray) -> str:
        given = self._quantised.levels[self._quantised.steps[number].inputs[0]]
        unit = np.float32(given.scale) * self._kernel_scale(number)
        steps = np.clip(np.rint(offset.astype(np.float64) / unit), -(2**31), 2**31 - 1)
        names = [
            self.array(f"offset{number + 1}", steps.astype(np.int32)),
            self.array(f"offset_scale{number + 1}", unit),
        ]
        return self.node("DequantizeLinear", names, axis=0)

    def _kernel_scale(self, number: int) -> np.ndarray:
        scale = self._quantised.kernel_scales[number]
        assert scale is not None
        return scale

    def _back(self, number: int, value: str, scale: np.float32, zero: np.integer) -> str:
        given = [value, self.array(f"scale{number}", scale), self.array(f"zero{number}", zero)]
        return self.node("DequantizeLinear", given)
