"""The ONNX that benchmarks/c_code.py gives to emx-onnx-cgen: of networks that are chains."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.operations import Activate, Affine, Convolve, Flatten, Multiply, Pool


def onnx_of(deployed: Deployed) -> bytes:
    """`deployed` for one picture (1, channels, height, width) that is normalised already."""
    nodes: list[onnx.NodeProto] = []
    arrays: list[onnx.TensorProto] = []
    name = "x"
    for number, step in enumerate(deployed.steps, 1):
        nodes += _nodes(step, name, f"v{number}", arrays)
        name = f"v{number}"
    height, width, channels = deployed.input_shape
    shape = [1, channels, height, width]
    graph = helper.make_graph(
        nodes,
        "peer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, deployed.classes])],
        arrays,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _nodes(
    step: Step, given: str, made: str, arrays: list[onnx.TensorProto]
) -> list[onnx.NodeProto]:
    functions = [each for each in step.pointwise if not isinstance(each, Affine)]
    offsets = [each.offset for each in step.pointwise if isinstance(each, Affine)]
    ends = f"{made}_linear" if functions else made
    operation = step.operation

    def array(name: str, values: np.ndarray) -> str:
        arrays.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{made}_{name}"))
        return f"{made}_{name}"

    bias = [array("bias", offset) for offset in offsets if offset is not None]
    match operation:
        case Convolve(kernel=kernel, stride=stride, dilation=dilation, pads=pads):
            top, bottom, left, right = pads
            nodes = [
                helper.make_node(
                    "Conv",
                    [given, array("kernel", kernel.transpose(3, 2, 0, 1)), *bias],
                    [ends],
                    strides=[stride] * 2,
                    dilations=[dilation] * 2,
                    pads=[top, left, bottom, right],
                    group=kernel.shape[3] if operation.depthwise else 1,
                )
            ]
        case Flatten():
            assert step.input_shape[:2] == (1, 1), "of more pixels the order would differ"
            nodes = [helper.make_node("Flatten", [given], [ends])]
        case Multiply(kernel=kernel):
            nodes = [helper.make_node("Gemm", [given, array("kernel", kernel), *bias], [ends])]
        case Pool(function=function, window=window, stride=stride):
            kind = "MaxPool" if function == "max" else "AveragePool"
            pooled = ends if len(step.output_shape) == 3 else f"{made}_pixel"
            nodes = [helper.make_node(kind, [given], [pooled], kernel_shape=window, strides=stride)]
            if pooled != ends:
                nodes.append(helper.make_node("Flatten", [pooled], [ends]))
        case _:
            raise ValueError(f"this benchmark has no ONNX for {operation}")
    if functions:
        (activation,) = functions
        assert isinstance(activation, Activate)
        if activation.slope == 0:
            nodes.append(helper.make_node("Relu", [ends], [made]))
        else:
            slope = array("slope", np.full((1, 1, 1), activation.slope, np.float32))
            nodes.append(helper.make_node("PRelu", [ends, slope], [made]))
    return nodes
