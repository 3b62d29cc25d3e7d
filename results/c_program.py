"""A generated C program, compiled and run here, and how much flash and RAM it takes."""

from __future__ import annotations

import math
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import RunError
from pennyweight.results.bounded import run_bounded

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")

_COMPILE_S = 120
_RUN_S = 60
_PICTURE_S = 0.1  # for each, beside
_TRIAL = """\
#include <math.h>
#include <stdio.h>
int main(int count, char **words) { return printf("%f %s", exp(count), words[0]) < 0; }
"""


@dataclass(frozen=True)
class Compiler:
    """A C compiler on the PATH."""

    path: str
    version: str  # the first line that it says of itself
    target: str  # what it compiles for, such as x86_64-linux-gnu


@dataclass(frozen=True)
class Footprint:
    """Bytes that an object file compiled with -Os takes; `stack_bytes` is None if it can't tell."""

    flash_bytes: int  # code, constants and what variables begin as
    static_bytes: int  # variables
    stack_bytes: int | None  # at the deepest call

    @property
    def ram_bytes(self) -> int | None:
        return None if self.stack_bytes is None else self.static_bytes + self.stack_bytes

    def to_json(self) -> dict[str, int]:
        """What is known of it."""
        told = {**asdict(self), "ram_bytes": self.ram_bytes}
        return {name: bytes_ for name, bytes_ in told.items() if bytes_ is not None}


def find_compiler() -> Compiler | None:
    """gcc or cc; None where neither makes programs."""
    paths = filter(None, map(shutil.which, ("gcc", "cc")))
    return next(filter(None, map(_compiler, paths)), None)


@cache
def _compiler(path: str) -> Compiler | None:
    """None of one that lacks a library's headers, as some systems have it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "trial.c").write_text(_TRIAL)
        try:
            _run([path, "trial.c", "-o", "trial", "-lm"], place, _COMPILE_S)
            version = _run([path, "--version"], place, _COMPILE_S).partition("\n")[0]
        except RunError:
            return None
        target = run_bounded([path, "-dumpmachine"], timeout_s=_COMPILE_S).stdout.strip()
    return Compiler(path, version, target or platform.machine())


def run_c(
    files: Mapping[str, bytes],
    images_nhwc: np.ndarray,
    *,
    compiler: Compiler,
    name: str = "model",
    flags: Sequence[str] = ("-O3",),
) -> np.ndarray:
    """The logits (n, classes) that the program in `files` gives for uint8 pictures.

    Raises RunError where it does not compile without a warning, or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = write_program(place, files, name)
        _run([compiler.path, *STRICT, *flags, *source, "-o", "program", "-lm"], place, _COMPILE_S)
        (place / "pictures").write_bytes(np.ascontiguousarray(images_nhwc).tobytes())
        timeout_s = _RUN_S + _PICTURE_S * len(images_nhwc)
        _run([str(place / "program"), "pictures", "logits"], place, timeout_s)
        logits = np.fromfile(place / "logits", np.float32)
    classes = re.search(rb"_CLASSES (\d+)", files[f"{name}.h"])
    shape = len(images_nhwc), int(classes[1]) if classes else 0
    if not classes or logits.size != math.prod(shape):
        raise RunError(
            f"The C program gave {logits.size} logits for {shape[0]} pictures, but {name}.h tells "
            f"of {shape[1] if classes else 'no'} classes: export it again."
        )
    return logits.reshape(shape)


def write_program(folder: Path, files: Mapping[str, bytes], name: str) -> list[str]:
    """Writes `files` and a `main` for pictures in a file; the names of the sources."""
    for file, content in files.items():
        (folder / file).write_bytes(content)
    (folder / f"main_{name}.c").write_text(_main(name))
    return [*(file for file in files if file.endswith(".c")), f"main_{name}.c"]


def measure_c(
    files: Mapping[str, bytes], *, compiler: Compiler, flags: Sequence[str] = ()
) -> Footprint | None:
    """What the one source in `files` takes, compiled with -Os; None where `size` can't tell."""
    (source,) = (file for file in files if file.endswith(".c"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for file, content in files.items():
            (place / file).write_bytes(content)
        # Addresses in constants are known beforehand on a microcontroller, as they are without PIC.
        compile_it = [compiler.path, "-std=c99", "-Os", "-fno-pic", *flags, "-c", source]
        _run([*compile_it, "-o", "model.o"], place, _COMPILE_S)
        sections = _sections(place)
        if not sections:
            return None
        sizes = [(kind, int(size)) for kind, size in sections]
        return Footprint(
            flash_bytes=sum(size for kind, size in sizes if kind != "bss"),
            static_bytes=sum(size for kind, size in sizes if kind in ("data", "bss")),
            stack_bytes=_stack(compile_it, place),
        )


def _sections(place: Path) -> list[tuple[str, str]]:
    """(kind, bytes) of what is in `model.o`; nothing where `size` is none of GNU or LLVM."""
    if not shutil.which("size"):
        return []
    said = run_bounded(["size", "-A", "model.o"], cwd=place, timeout_s=_COMPILE_S)
    return re.findall(r"^\.(text|rodata|data|bss)\S*\s+(\d+)", said.stdout, re.MULTILINE)


def _stack(compile_it: Sequence[str], place: Path) -> int | None:
    """The stack at the deepest call, from gcc's call graph; None of another compiler."""
    command = [*compile_it, "-fcallgraph-info=su", "-o", "graph.o"]
    told = run_bounded(command, cwd=place, timeout_s=_COMPILE_S)
    graphs = list(place.glob("*.ci"))
    if told.returncode or not graphs:
        return None
    graph = graphs[0].read_text()
    sizes = {
        name: int(size)
        for name, size in re.findall(r'node: { title: "([^"]+)" label: "[^"]*?(\d+) bytes', graph)
    }
    calls: dict[str, set[str]] = {}
    for caller, called in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
        calls.setdefault(caller, set()).add(called)
    direct = set().union(*calls.values()) if calls else set()
    # What is called through a pointer is called by no name.
    calls["__indirect_call"] = {name for name in sizes if name not in direct and ":" in name}
    return _deepest(calls, sizes)


def _deepest(calls: Mapping[str, set[str]], sizes: Mapping[str, int]) -> int:
    known: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in known:
            known[name] = 0  # of a call that comes back to itself
            known[name] = sizes.get(name, 0) + max(map(depth, calls.get(name, ())), default=0)
        return known[name]

    return max((depth(name) for name in sizes), default=0)


def _run(command: Sequence[str], folder: Path, timeout_s: float) -> str:
    ran = run_bounded(command, cwd=folder, timeout_s=timeout_s)
    if ran.returncode:
        what = Path(command[0]).name
        lines = [line for line in ran.stderr.splitlines() if "error" in line]
        lines = lines or [" ".join(ran.stderr[-300:].split())]
        raise RunError(f"The C program failed in {what} (status {ran.returncode}): {lines[0]}")
    return ran.stdout


def _main(name: str) -> str:
    upper = name.upper()
    return f"""\
#include <stdio.h>
#include "{name}.h"

int main(int count, char **arguments)
{{
    static unsigned char picture[{upper}_PICTURE];
    float logits[{upper}_CLASSES];
    FILE *from = count == 3 ? fopen(arguments[1], "rb") : NULL;
    FILE *to = from ? fopen(arguments[2], "wb") : NULL;
    if (!to)
        return 2;
    while (fread(picture, sizeof picture, 1, from) == 1) {{
        {name}_logits(picture, logits);
        if (fwrite(logits, sizeof logits, 1, to) != 1)
            return 1;
    }}
    return fclose(to) != 0;
}}
"""
