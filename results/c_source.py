"""A deployed network as C99 for a microcontroller: no heap, no library but `expf` for SiLU.

Weights are constants, which lie in flash; feature maps share one static arena. Each kind of
operation is one function (`c_kernels`), called with a constant structure for each step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.layers import Shape
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
from pennyweight.results import c_text
from pennyweight.results.c_kernels import FLOAT, kernels
from pennyweight.results.memory_plan import plan_memory


def c_files(
    deployed: Deployed, *, notation: str, class_names: Sequence[str], name: str = "model"
) -> dict[str, bytes]:
    """The C program of a network, `model.c` and `model.h`; `name` begins all that it exports."""
    plan = plan_memory(deployed, with_logits=False)
    writer = FloatWriter(deployed.steps)
    calls = writer.calls(plan.offsets)
    about = (
        f"The network {notation}: pictures of {times(deployed.input_shape)} to "
        f"{deployed.classes} classes, {deployed.params:,} parameters. Written by Pennyweight."
    )
    upper = name.upper()
    body = f"""\
{kernels(writer.used, FLOAT)}
{writer.constants()}
static float arena[{plan.size}];

/* Levels from 0 to 255, divided by 255, less the mean, divided by the deviation. */
static void normalise(const uint8_t *picture, float *x)
{{
    static const float mean[{upper}_CHANNELS] = {{{numbers(deployed.mean)}}};
    static const float deviation[{upper}_CHANNELS] = {{{numbers(deployed.std)}}};
    for (int at = 0; at < {upper}_PICTURE;)
        for (int channel = 0; channel < {upper}_CHANNELS; channel++, at++)
            x[at] = ((float)picture[at] / 255 - mean[channel]) / deviation[channel];
}}
"""
    calls = f"    normalise(picture, arena + {plan.offsets[0]});\n{calls}"
    return c_text.program(
        name, about, deployed.input_shape, class_names, includes(deployed.steps) + body, calls
    )


def times(shape: Shape) -> str:
    return "x".join(map(str, shape))


def numbers(values: Sequence[float]) -> str:
    return ", ".join(map(c_text.number, values))


def includes(steps: Sequence[Step]) -> str:
    functions = [function for step in steps for function in step.pointwise]
    silu = any(isinstance(f, Activate) and f.function == "silu" for f in functions)
    return "#include <math.h>\n" if silu else ""


@dataclass
class FloatWriter:
    """Collects the functions, arrays and structures of steps, each once."""

    steps: Sequence[Step]
    used: set[str] = field(default_factory=set)  # names of kernels
    arrays: list[str] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)  # name by its body
    structures: list[str] = field(default_factory=list)
    # Of arrays, by identity, which is theirs only as long as they are kept.
    names: dict[int, tuple[str, np.ndarray]] = field(default_factory=dict)

    def calls(self, offsets: Sequence[int]) -> str:
        """The statements that run every step."""
        places = [f"arena + {offset}" for offset in offsets[:-1]] + ["logits"]
        lines = []
        for number, step in enumerate(self.steps, 1):
            given, made = [places[value] for value in step.inputs], places[number]
            if self.changes_nothing(step) and given == [made]:
                continue
            kind = "Window" if isinstance(step.operation, Convolve | Pool | Shift) else "Values"
            kind = "Matrix" if isinstance(step.operation, Multiply) else kind
            self.used.add(function := kernel_name(step))
            fields = layout(step) | self.own_fields(number)
            items = c_text.filled(f".{key} = {value}" for key, value in fields.items())
            self.structures.append(f"static const {kind} step{number} = {{\n{items}\n}};\n")
            shapes = f"{times(step.input_shape)} -> {times(step.output_shape)}"
            arguments = ", ".join([f"&step{number}", *given, made])
            lines.append(f"    {function}({arguments}); /* {shapes} */\n")
        return "".join(lines)

    def constants(self) -> str:
        bodies = self.functions.items()
        functions = [self.signature.format(name=name) + body for body, name in bodies]
        return "\n".join([*self.arrays, *functions, *self.structures])

    signature = "static float {name}(float x, int channel)\n"

    def changes_nothing(self, step: Step) -> bool:
        return isinstance(step.operation, Flatten | Pass) and not step.pointwise

    def own_fields(self, number: int) -> dict[str, object]:
        """What the structure of a step holds beside its layout."""
        step = self.steps[number - 1]
        return self.kernel_field(number) | {
            "finish": self.function(
                f"finish{number}", [*self.pointwise(number, step.pointwise), "return x;"]
            )
        }

    def kernel_field(self, number: int) -> dict[str, object]:
        operation = self.steps[number - 1].operation
        if not isinstance(operation, Convolve | Multiply):
            return {}
        kernel = operation.kernel
        if isinstance(operation, Convolve) and operation.depthwise:
            laid = kernel
        else:
            laid = np.moveaxis(kernel, -1, 0)  # what one output needs lies together
        return {"kernel": self.array(f"kernel{number}", kernel, laid)}

    def pointwise(self, number: int, functions: Sequence[Pointwise]) -> list[str]:
        """Statements that change x."""
        lines = []
        for place, function in enumerate(functions, 1):
            suffix = f"{number}" if place == 1 else f"{number}_{place}"
            match function:
                case Affine(scale=scale, offset=offset):
                    if isinstance(scale, np.ndarray):
                        lines.append(f"x = x * {self.array(f'scale{suffix}', scale)}[channel];")
                    elif scale is not None:
                        lines.append(f"x = x * {c_text.number(scale)};")
                    if offset is not None:
                        lines.append(f"x = x + {self.array(f'offset{suffix}', offset)}[channel];")
                case Activate(function="silu"):
                    lines.append("x = x / (1 + expf(-x));")
                case Activate(slope=slope) if not isinstance(slope, np.ndarray) and slope == 0:
                    lines.append("x = x >= 0 ? x : 0;")
                case Activate(slope=slope):
                    lines.append(f"x = x >= 0 ? x : {c_text.number(slope)} * x;")
        return lines

    def array(self, name: str, values: np.ndarray, laid: np.ndarray | None = None) -> str:
        """The name of a constant array, which `values` is known by."""
        if id(values) not in self.names:
            self.names[id(values)] = name, values
            self.arrays.append(c_text.array(name, values if laid is None else laid))
        return self.names[id(values)][0]

    def function(self, name: str, lines: Sequence[str]) -> str:
        """The name of a function with this body."""
        if not any("channel" in line for line in lines):
            lines = ["(void)channel;", *lines]
        body = "{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"
        return self.functions.setdefault(body, name)


def kernel_name(step: Step) -> str:
    """The function of `c_kernels` that does the operation."""
    match step.operation:
        case Convolve(depthwise=True):
            return "depthwise"
        case Convolve():
            return "convolve"
        case Multiply():
            return "multiply"
        case Pool(function=function):
            return f"pool_{function}"
        case Shift():
            return "shift"
        case Add():
            return "add"
        case _:
            return "pass"


def layout(step: Step) -> dict[str, object]:
    """The shapes of a step, as its structure in C has them."""
    match step.operation:
        case Convolve(kernel=kernel, stride=stride, dilation=dilation, pads=pads):
            return _window(step, kernel.shape[:2], (stride, stride)) | {
                "dilation": dilation,
                "top": pads[0],
                "left": pads[2],
            }
        case Pool(window=window, stride=stride):
            return _window(step, window, stride)
        case Shift(down=down, right=right):
            return _window(step, (1, 1), (1, 1)) | {"top": down, "left": right}
        case Multiply(kernel=kernel):
            return {"inputs": kernel.shape[0], "outputs": kernel.shape[1]}
        case _:
            return {"size": math.prod(step.output_shape), "channels": step.output_shape[-1]}


def _window(step: Step, extent: Sequence[int], stride: Sequence[int]) -> dict[str, object]:
    (height, width, channels), (*pixels, outputs) = step.input_shape, step.output_shape
    high, wide = pixels or (1, 1)
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "high": high,
        "wide": wide,
        "outputs": outputs,
        "rows": extent[0],
        "columns": extent[1],
        "down": stride[0],
        "across": stride[1],
    }
