"""A quantised network as C99: levels of int8 in an arena a quarter as large as that of floats."""

from __future__ import annotations

from collections.abc import Sequence

from pennyweight.arch.operations import Add
from pennyweight.results import c_text
from pennyweight.results.c_kernels import INT8, kernels
from pennyweight.results.c_source import FloatWriter, includes, numbers, times
from pennyweight.results.memory_plan import plan_memory
from pennyweight.results.quantised import Quantised, keeps_levels, picture_map, scales_of

_LEVEL = """
/* The nearest level to a value, half upwards. */
static int8_t level(float x, float inverse_scale, float zero)
{
    x = x * inverse_scale + zero;
    x = x < -128 ? -128 : x > 127 ? 127 : x;
    return (int8_t)((int)(x + 128.5f) - 128);
}
"""


def c_int8_files(
    quantised: Quantised, *, notation: str, class_names: Sequence[str], name: str = "model_int8"
) -> dict[str, bytes]:
    """The C program of a quantised network; `name` begins all that it exports."""
    plan = plan_memory(quantised.deployed, with_logits=False)
    writer = _Int8Writer(quantised)
    calls = writer.calls(plan.offsets)
    shape = quantised.input_shape
    about = (
        f"The network {notation} in 8-bit integers: pictures of {times(shape)} to "
        f"{quantised.classes} classes. Written by Pennyweight."
    )
    functions = writer.constants() + _picture(quantised, name.upper())
    body = f"""\
{includes(quantised.steps)}{_LEVEL if "level(" in functions else ""}\
{kernels(writer.used, INT8)}
{functions}
static int8_t arena[{plan.size}];
"""
    calls = f"    read_picture(picture, arena + {plan.offsets[0]});\n{calls}"
    return c_text.program(name, about, shape, class_names, body, calls)


def _picture(quantised: Quantised, upper: str) -> str:
    scale, offset = picture_map(quantised.mean, quantised.std, quantised.levels[0])
    if len(scale) == 1:
        return f"""
static void read_picture(const uint8_t *picture, int8_t *x)
{{
    for (int at = 0; at < {upper}_PICTURE; at++)
        x[at] = (int8_t)(picture[at] - 128);
}}
"""
    return f"""
static void read_picture(const uint8_t *picture, int8_t *x)
{{
    static const float scale[{upper}_CHANNELS] = {{{numbers(scale.tolist())}}};
    static const float offset[{upper}_CHANNELS] = {{{numbers(offset.tolist())}}};
    for (int at = 0; at < {upper}_PICTURE;)
        for (int channel = 0; channel < {upper}_CHANNELS; channel++, at++)
            x[at] = level(picture[at], scale[channel], offset[channel]);
}}
"""


class _Int8Writer(FloatWriter):
    """Writes `store` functions, which make levels of what `pointwise` leaves."""

    def __init__(self, quantised: Quantised) -> None:
        super().__init__(quantised.steps)
        self._quantised = quantised

    signature = "static void {name}(void *y, int at, int channel, float x)\n"

    def own_fields(self, number: int) -> dict[str, object]:
        quantised = self._quantised
        step = quantised.steps[number - 1]
        given = [quantised.levels[value] for value in step.inputs]
        scales = scales_of(step, given, quantised.kernel_scales[number - 1])
        fields = self.kernel_field(number) | {"zero": given[0].zero_point}
        lines = []
        last = number == len(quantised.steps)
        if keeps_levels(step) and not last:
            zero = given[0].zero_point
            back = f"(int)x {'-' if zero < 0 else '+'} {abs(zero)}"
            lines = [f"((int8_t *)y)[at] = (int8_t)({back});"]
            return fields | {"store": self.function(f"store{number}", lines)}
        if isinstance(step.operation, Add):
            fields |= {"scale": c_text.number(scales[0]), "other": c_text.number(scales[1])}
            fields |= {"other_zero": given[1].zero_point}
        elif scales[0].ndim:
            lines.append(f"x = x * {self.array(f'worth{number}', scales[0])}[channel];")
        else:
            lines.append(f"x = x * {c_text.number(scales[0])};")
        lines += self.pointwise(number, step.pointwise)
        if not last:
            to = quantised.levels[number]
            result = f"level(x, {c_text.number(to.inverse)}, {to.zero_point})"
            lines.append(f"((int8_t *)y)[at] = {result};")
        else:
            lines.append("((float *)y)[at] = x;")
        return fields | {"store": self.function(f"store{number}", lines)}
