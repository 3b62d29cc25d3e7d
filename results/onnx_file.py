"""`model.onnx`: a deployed network as a graph of standard ONNX operators.

Its input is uint8 pictures (n, h, w, c) as they are, its output logits (n, classes), for any n.
Inside, channels come first, as ONNX has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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

if TYPE_CHECKING:
    import onnx

OPSET = 17  # of 2022: what runs on a device is rarely new
IR = 8


def onnx_file(deployed: Deployed, *, notation: str, class_names: Sequence[str]) -> bytes:
    """The content of `model.onnx`, checked by ONNX's own checker."""
    return finished(Graph(deployed).model(), notation, class_names)


def finished(model: onnx.ModelProto, notation: str, class_names: Sequence[str]) -> bytes:
    """`model`, which now tells what it is, checked and serialised."""
    import onnx

    model.doc_string = f"Exported by Pennyweight: {notation}"
    told = {"classes": json.dumps(list(class_names)), "notation": notation}
    onnx.helper.set_model_props(model, told)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


class Graph:
    """Collects the nodes of a network, and the arrays that they use, each once."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._known: dict[Any, str] = {}
        self._names = {id(array): name for name, array in deployed.arrays().items()}

    def model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        height, width, channels = self._deployed.input_shape
        values = [self.picture()]
        for number, step in enumerate(self._deployed.steps):
            value = self._step(number, step, [values[given] for given in step.inputs])
            values.append(self.stored(number + 1, value))
        self.node("Identity", [values[-1]], "logits")
        graph = helper.make_graph(
            self._nodes,
            "network",
            [
                helper.make_tensor_value_info(
                    "pictures", TensorProto.UINT8, ["n", height, width, channels]
                )
            ],
            [
                helper.make_tensor_value_info(
                    "logits", TensorProto.FLOAT, ["n", self._deployed.classes]
                )
            ],
            self._initializers,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR, producer_name="pennyweight"
        )

    def picture(self) -> str:
        """The normalised picture."""
        from onnx import TensorProto

        mean, std = (
            np.asarray(numbers, np.float32) for numbers in (self._deployed.mean, self._deployed.std)
        )
        value = self.node("Cast", ["pictures"], to=TensorProto.FLOAT)
        value = self.node("Mul", [value, self.array("input_scale", np.float32(1) / (255 * std))])
        value = self.node("Sub", [value, self.array("input_offset", mean / std)])
        return self.node("Transpose", [value], perm=[0, 3, 1, 2])

    def stored(self, number: int, value: str) -> str:
        """Value `number`, as later steps read it."""
        del number
        return value

    def kernel(self, number: int, kernel: np.ndarray, order: tuple[int, ...]) -> str:
        """The kernel of step `number`, with its axes in another order."""
        del number
        return self.weight(kernel, order)

    def bias(self, number: int, offset: np.ndarray) -> str:
        """What step `number` adds to its products."""
        del number
        return self.weight(offset)

    def _step(self, number: int, step: Step, inputs: list[str]) -> str:
        functions = list(step.pointwise)
        offset = _offset(functions) if isinstance(step.operation, Convolve | Multiply) else None
        if offset is not None:
            inputs, functions = [*inputs, self.bias(number, offset)], functions[1:]
        value = self._operation(number, step, inputs)
        for function in functions:
            value = self._pointwise(function, value, flat=len(step.output_shape) == 1)
        return value

    def _operation(self, number: int, step: Step, inputs: list[str]) -> str:
        match step.operation:
            case Convolve(kernel=kernel) as convolution:
                top, bottom, left, right = convolution.pads
                return self.node(
                    "Conv",
                    # (h, w, inputs, outputs) to (outputs, inputs, h, w)
                    [inputs[0], self.kernel(number, kernel, (3, 2, 0, 1)), *inputs[1:]],
                    group=kernel.shape[3] if convolution.depthwise else 1,
                    strides=[convolution.stride] * 2,
                    dilations=[convolution.dilation] * 2,
                    pads=[top, left, bottom, right],
                )
            case Multiply(kernel=kernel):
                return self.node(
                    "Gemm", [inputs[0], self.kernel(number, kernel, (0, 1)), *inputs[1:]]
                )
            case Pool(function=function, window=window, stride=stride):
                operator = {"max": "MaxPool", "average": "AveragePool"}[function]
                value = self.node(operator, inputs, kernel_shape=window, strides=stride)
                return self.node("Flatten", [value]) if len(step.output_shape) == 1 else value
            case Flatten():
                return self.node("Flatten", [self.node("Transpose", inputs, perm=[0, 2, 3, 1])])
            case Shift(down=down, right=right):
                value = inputs[0]
                for axis, size, by in zip((2, 3), step.input_shape, (down, right), strict=False):
                    if by:
                        lines = (np.arange(size) - by).clip(0, size - 1)
                        value = self.node("Gather", [value, self.array("lines", lines)], axis=axis)
                return value
            case Add():
                return self.node("Add", inputs)
            case Pass():
                return inputs[0]

    def _pointwise(self, function: Pointwise, value: str, *, flat: bool) -> str:
        match function:
            case Affine(scale=scale, offset=offset):
                for operator, factor in (("Mul", scale), ("Add", offset)):
                    if isinstance(factor, np.ndarray):
                        value = self.node(operator, [value, self._by_channel(factor, flat=flat)])
                    elif factor is not None:
                        value = self.node(
                            operator, [value, self.array("share", np.float32(factor))]
                        )
                return value
            case Activate(function="silu"):
                return self.node("Mul", [value, self.node("Sigmoid", [value])])
            case Activate(slope=float(slope)):
                operator = self.node("LeakyRelu", [value], alpha=slope) if slope else None
                return operator or self.node("Relu", [value])
            case Activate(slope=slope):
                return self.node("PRelu", [value, self.weight(np.asarray(slope), shape=(1,))])

    def _by_channel(self, array: np.ndarray, *, flat: bool) -> str:
        return self.weight(array) if flat else self.weight(array, shape=(-1, 1, 1))

    def weight(
        self,
        array: np.ndarray,
        order: tuple[int, ...] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> str:
        """The name of a weight, with its axes in another order or shape."""
        known = (id(array), order, shape)
        if known not in self._known:
            changed = array if order is None else array.transpose(order)
            changed = changed if shape is None else changed.reshape(shape)
            self._known[known] = self.array(self._names[id(array)], changed)
        return self._known[known]

    def array(self, name: str, array: np.ndarray | np.generic) -> str:
        """An array of the graph, under `name` if that is free."""
        from onnx import numpy_helper

        taken = sum(tensor.name.partition(".")[0] == name for tensor in self._initializers)
        name = f"{name}.{taken}" if taken else name
        content = np.array(array, order="C", copy=None)
        self._initializers.append(numpy_helper.from_array(content, name))
        return name

    def node(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """The output of one more node."""
        from onnx import helper

        name = name or f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


def _offset(functions: list[Pointwise]) -> np.ndarray | None:
    """The offset that follows an operation at once, which the operator adds itself."""
    match functions:
        case [Affine(scale=None, offset=offset), *_]:
            return offset
        case _:
            return None
