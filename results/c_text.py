"""Pieces of C that every generated program has: its header, its arrays, its numbers and names."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from pennyweight.arch.layers import Shape


def program(
    name: str, about: str, shape: Shape, names: Sequence[str], body: str, calls: str
) -> dict[str, bytes]:
    """The source and the header of a program called `name`.

    `body` is what its `{name}_logits` needs, which runs `calls`; `names` are those of the classes.
    """
    upper = name.upper()
    source = f"""\
{comment(about)}
#include "{name}.h"
{body}
{_class_names(name, names)}
void {name}_logits(const uint8_t picture[{upper}_PICTURE], float logits[{upper}_CLASSES])
{{
{calls}}}
{_classify(name)}"""
    header = _header(name, about, shape, len(names))
    return {f"{name}.c": source.encode(), f"{name}.h": header.encode()}


def _header(name: str, about: str, shape: Shape, classes: int) -> str:
    """The header of a program called `name`."""
    upper = name.upper()
    height, width, channels = shape
    return f"""\
{comment(about)}
#ifndef {upper}_H
#define {upper}_H

#include <limits.h>
#include <stdint.h>

#if INT_MAX < 2147483647
#error "int must have 32 bits"
#endif

#define {upper}_HEIGHT {height}
#define {upper}_WIDTH {width}
#define {upper}_CHANNELS {channels}
#define {upper}_PICTURE ({upper}_HEIGHT * {upper}_WIDTH * {upper}_CHANNELS) /* bytes */
#define {upper}_CLASSES {classes}

#ifdef __cplusplus
extern "C" {{
#endif

extern const char *const {name}_class_names[{upper}_CLASSES];

/* The logits of a picture: levels from 0 to 255, row by row, the channels of a pixel together.
   Works in one static buffer, so not for two threads at once. */
void {name}_logits(const uint8_t picture[{upper}_PICTURE], float logits[{upper}_CLASSES]);

/* The number of the most likely class. */
int {name}_classify(const uint8_t picture[{upper}_PICTURE]);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _class_names(name: str, names: Sequence[str]) -> str:
    rows = "".join(f"    {string(each)},\n" for each in names)
    return f"const char *const {name}_class_names[{name.upper()}_CLASSES] = {{\n{rows}}};\n"


def _classify(name: str) -> str:
    upper = name.upper()
    return f"""
int {name}_classify(const uint8_t picture[{upper}_PICTURE])
{{
    float logits[{upper}_CLASSES];
    int best = 0;
    {name}_logits(picture, logits);
    for (int i = 1; i < {upper}_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}}
"""


def comment(text: str) -> str:
    """`text` as a block comment; what would end it is taken apart."""
    lines = textwrap.wrap(text.replace("*/", "* /"), 92, break_long_words=True)
    return "/* " + "\n   ".join(lines) + " */"


def string(text: str) -> str:
    """A C string of UTF-8: what is special, or not ASCII, in octal, which has a fixed length."""
    plain = set(range(32, 127)) - set(b'"\\?')  # two question marks begin a trigraph
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def number(value: float | np.floating | np.ndarray) -> str:
    """A float32 by the fewest digits that read back the same."""
    return f"{np.float32(value)!s}f"


def array(name: str, values: np.ndarray) -> str:
    """A constant array, in the order in which `values` lie."""
    flat = values.ravel()
    if values.dtype == np.int8:
        kind, items = "int8_t", map(str, flat.tolist())
    else:
        kind, items = "float", map(number, flat)
    return f"static const {kind} {name}[{flat.size}] = {{\n{filled(items)}\n}};\n"


def filled(items: Iterable[str]) -> str:
    """`items` between commas, in lines of at most 98 columns."""
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) > 92:
            lines.append(line)
            line = ""
        line += f" {item}," if line else f"{item},"
    return "\n".join(f"    {each}" for each in [*lines, line]).removesuffix(",")
