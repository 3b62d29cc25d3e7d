"""`model.onnx`: a deployed network as a graph of standard ONNX operators.

Its input is uint8 pictures (n, h, w, c) as they are, its output logits (n, classes), for any n.
Inside, channels come first, as ONNX has it.
"""

from __future__ import annotations

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
)

if TYPE_CHECKING:
    import onnx

OPSET = 17  # of 2022: what runs on a device is rarely new
IR = 8


def onnx_file(deployed: Deployed, *, notation: str, class_names: tuple[str, ...]) -> bytes:
    """The content of `model.onnx`, checked by ONNX's own checker."""
    import onnx

    model = _Graph(deployed).model()
    model.doc_string = f"Exported by Pennyweight: {notation}"
    onnx.helper.set_model_props(model, {"classes": "\n".join(class_names), "notation": notation})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


class _Graph:
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
        values = [self._normalised()]
        for step in self._deployed.steps:
            values.append(self._step(step, [values[number] for number in step.inputs]))
        self._node("Identity", [values[-1]], "logits")
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

    def _normalised(self) -> str:
        from onnx import TensorProto

        mean, std = (np.float32(numbers) for numbers in (self._deployed.mean, self._deployed.std))
        value = self._node("Cast", ["pictures"], to=TensorProto.FLOAT)
        value = self._node("Mul", [value, self._array("input_scale", 1 / (255 * std))])
        value = self._node("Sub", [value, self._array("input_offset", mean / std)])
        return self._node("Transpose", [value], perm=[0, 3, 1, 2])

    def _step(self, step: Step, inputs: list[str]) -> str:
        functions = list(step.pointwise)
        bias = _bias(functions) if isinstance(step.operation, Convolve | Multiply) else None
        if bias is not None:
            functions = functions[1:]
        value = self._operation(step, inputs, bias)
        for function in functions:
            value = self._pointwise(function, value, flat=len(step.output_shape) == 1)
        return value

    def _operation(self, step: Step, inputs: list[str], bias: np.ndarray | None) -> str:
        biases = [] if bias is None else [self._weight(bias)]
        match step.operation:
            case Convolve(kernel=kernel) as convolution:
                top, bottom, left, right = convolution.pads
                return self._node(
                    "Conv",
                    # (h, w, inputs, outputs) to (outputs, inputs, h, w)
                    [inputs[0], self._weight(kernel, (3, 2, 0, 1)), *biases],
                    group=kernel.shape[3] if convolution.depthwise else 1,
                    strides=[convolution.stride] * 2,
                    dilations=[convolution.dilation] * 2,
                    pads=[top, left, bottom, right],
                )
            case Multiply(kernel=kernel):
                return self._node("Gemm", [inputs[0], self._weight(kernel), *biases])
            case Pool(function=function, window=window, stride=stride):
                operator = {"max": "MaxPool", "average": "AveragePool"}[function]
                value = self._node(operator, inputs, kernel_shape=window, strides=stride)
                return self._node("Flatten", [value]) if len(step.output_shape) == 1 else value
            case Flatten():
                return self._node("Flatten", [self._node("Transpose", inputs, perm=[0, 2, 3, 1])])
            case Add():
                return self._node("Add", inputs)
            case Pass():
                return inputs[0]

    def _pointwise(self, function: Pointwise, value: str, *, flat: bool) -> str:
        match function:
            case Affine(scale=scale, offset=offset):
                for operator, array in (("Mul", scale), ("Add", offset)):
                    if array is not None:
                        value = self._node(operator, [value, self._by_channel(array, flat=flat)])
                return value
            case Activate(function="silu"):
                return self._node("Mul", [value, self._node("Sigmoid", [value])])
            case Activate(slope=float(slope)):
                operator = self._node("LeakyRelu", [value], alpha=slope) if slope else None
                return operator or self._node("Relu", [value])
            case Activate(slope=slope):
                return self._node("PRelu", [value, self._weight(slope, shape=(1,))])

    def _by_channel(self, array: np.ndarray, *, flat: bool) -> str:
        return self._weight(array) if flat else self._weight(array, shape=(-1, 1, 1))

    def _weight(
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
            self._known[known] = self._array(self._names[id(array)], changed)
        return self._known[known]

    def _array(self, name: str, array: np.ndarray) -> str:
        from onnx import numpy_helper

        taken = sum(tensor.name.partition(".")[0] == name for tensor in self._initializers)
        name = f"{name}.{taken}" if taken else name
        content = np.ascontiguousarray(array, np.float32)
        self._initializers.append(numpy_helper.from_array(content, name))
        return name

    def _node(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = name or f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


def _bias(functions: list[Pointwise]) -> np.ndarray | None:
    """The offset that follows an operation at once, which the operator adds itself."""
    match functions:
        case [Affine(scale=None, offset=offset), *_]:
            return offset
        case _:
            return None
