"""A program is compiled, run and measured; what fails says so in one line."""

import platform
from pathlib import Path

import numpy as np
import pytest
from c_networks import compiler

from pennyweight.arch.errors import RunError
from pennyweight.results import c_program
from pennyweight.results.c_program import Footprint, find_compiler, measure_c, run_c

HEADER = b"""\
#include <stdint.h>
#define MODEL_PICTURE 4
#define MODEL_CLASSES 2
void model_logits(const uint8_t picture[4], float logits[2]);
"""
BYTES = b"""\
#include "model.h"
static const float table[1000] = {1, 2};
static char memory[5000];
static void inner(const uint8_t *picture, float *logits)
{
    volatile char local[3000];
    local[picture[0]] = 1;
    logits[0] = table[picture[1]] + (float)local[picture[0]];
    logits[1] = (float)memory[picture[2]]++;
}
static void (*volatile chosen)(const uint8_t *, float *) = inner;
void model_logits(const uint8_t picture[4], float logits[2])
{
    chosen(picture, logits);
}
"""


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None


def test_a_program_says_the_logits_of_each_picture() -> None:
    pictures = np.array([[0, 0, 0, 0], [0, 1, 0, 0]], np.uint8).reshape(2, 2, 2, 1)
    logits = run_c({"model.h": HEADER, "model.c": BYTES}, pictures, compiler=compiler())
    assert logits.tolist() == [[2, 0], [3, 1]]


def test_a_warning_is_an_error_and_names_its_line() -> None:
    wrong = BYTES + b"static void unused(void) {}\n"
    with pytest.raises(RunError, match=r"model\.c:\d+:.*unused"):
        run_c(
            {"model.h": HEADER, "model.c": wrong},
            np.zeros((1, 2, 2, 1), np.uint8),
            compiler=compiler(),
        )


def test_constants_are_flash_and_variables_and_the_deepest_stack_are_ram() -> None:
    found = measure_c({"model.h": HEADER, "model.c": BYTES}, compiler=compiler())
    assert found is not None
    assert 4000 <= found.flash_bytes < 4600
    assert 5000 <= found.static_bytes < 5100
    if "gcc" in compiler().version:
        assert found.stack_bytes is not None
        assert 2800 <= found.stack_bytes < 3300  # less 128 that x86-64 has below the stack
        assert found.ram_bytes == found.static_bytes + found.stack_bytes
        assert found.to_json()["ram_bytes"] == found.ram_bytes


def test_ram_is_not_told_where_the_stack_is_unknown() -> None:
    told = Footprint(flash_bytes=10, static_bytes=20, stack_bytes=None).to_json()
    assert told == {"flash_bytes": 10, "static_bytes": 20}


def test_the_target_is_told() -> None:
    assert platform.machine() in compiler().target


def test_a_compiler_without_headers_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only_says = tmp_path / "gcc"
    only_says.write_text('#!/bin/sh\n[ "$1" = --version ]\n')
    only_says.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None


def test_logits_that_do_not_fit_the_pictures_are_told_in_one_line() -> None:
    two_in_one = np.zeros((1, 2, 2, 2), np.uint8)
    with pytest.raises(RunError, match=r"gave 4 logits for 1 pictures, .* tells of 2 classes"):
        run_c({"model.h": HEADER, "model.c": BYTES}, two_in_one, compiler=compiler())


def test_a_header_that_names_no_classes_is_told_in_one_line() -> None:
    header = HEADER.replace(b"#define MODEL_CLASSES 2", b"enum { MODEL_CLASSES = 2 };")
    picture = np.zeros((1, 2, 2, 1), np.uint8)
    with pytest.raises(RunError, match=r"model\.h tells of no classes: export it again\.$"):
        run_c({"model.h": header, "model.c": BYTES}, picture, compiler=compiler())


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_program, "_RUN_S", 1)
    endless = BYTES.replace(b"chosen(picture, logits);", b"for (;;) chosen(picture, logits);")
    files = {"model.h": HEADER, "model.c": endless}
    with pytest.raises(RunError, match="program took more than 1 seconds"):
        run_c(files, np.zeros((1, 2, 2, 1), np.uint8), compiler=compiler())
