"""The convolutions in C: where there is a compiler, and where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pennyweight.arch import native_library as library
from pennyweight.search.recording import versions
from pennyweight.train.native import native_digest, use_native_kernels, use_xla_kernels

pytestmark = pytest.mark.skipif(
    library.native_library(Path(os.environ["PENNYWEIGHT_CACHE"], "kernels")) is None,
    reason="there is no C compiler",
)

TRAINED = """
import sys
import numpy as np
from pennyweight.arch.native_library import native
from pennyweight.arch.notation import parse
from pennyweight.search.executors import LocalExecutor
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung

candidate = Candidate(
    architecture=parse("c5bp w c6bl m2 c4br A d10+", (8, 8, 1), 10), recipe=Recipe(), seed=1
)
task = Task(
    source="digits", split_seed=0, candidate=candidate, epochs=2, from_epoch=0, to_epoch=2,
)
outcome = train_rung(task)
print(native(32), len(outcome.curve))
sys.stdout.flush()
np.save(sys.argv[1], np.frombuffer(outcome.model, np.uint8))
"""


def trained(folder: Path, **environment: str) -> tuple[str, bytes]:
    """What a process of its own says, and the model that it trained."""
    file = folder / "model.npy"
    ran = subprocess.run(
        [sys.executable, "-c", TRAINED, str(file)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()[0], np.load(file).tobytes()


def test_without_a_compiler_xla_trains(tmp_path: Path) -> None:
    assert trained(tmp_path, PATH=str(tmp_path))[0] == "False"


def test_the_threads_of_a_process_do_not_change_a_bit_of_what_it_learns(tmp_path: Path) -> None:
    one, two = (trained(tmp_path, NPROC=threads) for threads in ("1", "2"))
    assert one[0] == "True"
    assert one == two


def test_the_kernels_are_among_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions()["kernels"] == native_digest() == use_native_kernels()
    monkeypatch.setenv(library.CHOICE, "c")  # so that it is as it was afterwards
    use_xla_kernels()
    assert "kernels" not in versions()
    assert not library.native(32)
    assert use_native_kernels() is None


def test_a_compiler_that_fails_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gcc", "cc"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\nexit 1\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert library.native_library(tmp_path / "kernels") is None


def test_what_was_compiled_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = library.native_library(tmp_path)
    assert first is not None
    written = first.path.stat().st_mtime_ns
    library._library.cache_clear()
    assert library.native_library(tmp_path) == first
    assert first.path.stat().st_mtime_ns == written
    assert [path.name for path in tmp_path.iterdir()] == [first.path.name]


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    from jax.ffi import include_dir

    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler
    source = Path(library.__file__).with_name("native_kernels.c")
    for bits in (32, 64):
        flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Werror", f"-DBITS={bits}"]
        flags.append("-Wno-psabi")  # no vector goes from file to file
        made = ["-c", str(source), "-o", str(tmp_path / "kernels.o")]
        ran = subprocess.run(
            [compiler, *flags, f"-I{include_dir()}", *made], capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
