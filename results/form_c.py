"""The forms for microcontrollers: C99, in float and in 8-bit integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.results.form import Form, Ran, Unavailable

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.trained import Trained


def _files(trained: Trained) -> dict[str, bytes]:
    from pennyweight.results.c_source import c_files

    notation, names = trained.architecture.notation, trained.facts.class_names
    return c_files(trained.deployed, notation=notation, class_names=names)


def _int8_files(trained: Trained) -> dict[str, bytes]:
    from pennyweight.results.c_int8 import c_int8_files

    notation, names = trained.architecture.notation, trained.facts.class_names
    return c_int8_files(trained.quantised, notation=notation, class_names=names)


def _run(name: str, folder: Path, images: np.ndarray) -> Ran:
    """Compiled without a warning, and run; with the flash and RAM that it takes on this machine."""
    from pennyweight.results.c_program import find_compiler, measure_c, run_c

    compiler = find_compiler()
    if compiler is None:
        raise Unavailable("no C compiler, such as gcc")
    files = {file: (folder / file).read_bytes() for file in (f"{name}.c", f"{name}.h")}
    logits = run_c(files, images, compiler=compiler, name=name)
    details: dict[str, Any] = {"compiler": compiler.version, "target": compiler.target}
    if footprint := measure_c(files, compiler=compiler):
        details |= footprint.to_json()
    return Ran(logits, details)


def _example(name: str) -> str:
    return f"""\
#include <stdio.h>
#include "{name}.h"

int main(void)
{{
    static const uint8_t picture[{name.upper()}_PICTURE] = {{0}}; /* yours */
    puts({name}_class_names[{name}_classify(picture)]);
    return 0;
}}
/* cc -O2 main.c {name}.c -lm */"""


C = Form(
    name="c",
    what="C99 for microcontrollers",
    needs="a C compiler whose int has 32 bits, no heap and no library; SiLU needs expf",
    use=_example("model"),
    language="c",
    files=_files,
    run=lambda folder, images: _run("model", folder, images),
)

C_INT8 = Form(
    name="c-int8",
    what="C99 for microcontrollers, in 8-bit integers",
    needs="a C compiler whose int has 32 bits, no heap and no library; floats, by which each value "
    "of a map is scaled once, are routines of the compiler where the processor has none",
    use=_example("model_int8"),
    language="c",
    files=_int8_files,
    run=lambda folder, images: _run("model_int8", folder, images),
    apart=0.01,  # the same arithmetic, but for `expf`
)
