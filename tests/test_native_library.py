"""The kernels in C: where there is a compiler, and where there is none."""

import os
import platform
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

import jax
import numpy as np
import pytest
from convolutions import COMPILER
from flax import nnx
from training import candidate, random_labelled, start

from pennyweight.arch import native_library as library
from pennyweight.arch.errors import UsageError
from pennyweight.arch.network import abstract, draw_weights
from pennyweight.search.progress import say_where_slow
from pennyweight.search.recording import versions
from pennyweight.train.native import native_digest, native_kernels, xla_kernels
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import train_steps
from pennyweight.train.score import score

CHOSEN = candidate("c4br wb (c4b)r c6k1ro0.1 A d10+", batch_size=128)
pytestmark = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")

TRAINED = """
import ctypes
import os
import sys
import numpy as np
from pennyweight.arch.native_library import work_with
from pennyweight.arch.notation import parse
from pennyweight.train.cores import available_cores
from pennyweight.train.native import native_digest
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung

file, *numbers = sys.argv[1:]
threads, width, batch_size = map(int, numbers)
work_with(ctypes.c_int(threads), available_cores())
candidate = Candidate(
    architecture=parse(f"c{width}bp w c{width}blo0.1 m2 c4br A d10+", (8, 8, 1), 10),
    recipe=Recipe(batch_size=batch_size),
    seed=1,
)
task = Task(
    source="digits", split_seed=0, candidate=candidate, epochs=2, from_epoch=0, to_epoch=2,
)
outcome = train_rung(task)
names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
helped = sum(seconds for kind, seconds in outcome.seconds.items() if kind == "help")
assert helped <= (threads - 1) * outcome.seconds["train"]
print(native_digest() is not None, names.count("pennyweight\\n"), helped > 0)
np.save(file, np.frombuffer(outcome.model, np.uint8))
"""


def trained(
    folder: Path, threads: int, width: int = 16, batch_size: int = 400, **environment: str
) -> tuple[bool, int, bool, bytes]:
    """Whether a process with so many threads has kernels in C, how many of them helped, whether its
    ledger has their seconds, and its model."""
    file = folder / "model.npy"
    ran = subprocess.run(
        [sys.executable, "-c", TRAINED, str(file), str(threads), str(width), str(batch_size)],
        env=os.environ | {"NPROC": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    in_c, helping, helped = ran.stdout.split()
    return in_c == "True", int(helping), helped == "True", np.load(file).tobytes()


def test_without_a_compiler_xla_trains(tmp_path: Path) -> None:
    assert not trained(tmp_path, 1, PATH=str(tmp_path))[0]


@pytest.mark.skipif(sys.platform != "linux", reason="it counts threads as Linux does")
@pytest.mark.parametrize(
    ("width", "batch_size"), [(16, 400), *((64, size) for size in (32, 64, 80, 100, 128))]
)
def test_threads_do_not_change_a_bit_of_what_is_learned(
    width: int, batch_size: int, tmp_path: Path
) -> None:
    in_c, helping, helped, model = trained(tmp_path, 1, width, batch_size)
    assert (in_c, helping, helped) == (True, 0, False)
    assert trained(tmp_path, 3, width, batch_size) == (True, 2, True, model)


def test_the_kernels_are_among_the_versions() -> None:
    assert versions()["kernels"] == native_digest()
    with native_kernels() as used:
        assert used == native_digest()
    with xla_kernels():
        assert "kernels" not in versions()
        with native_kernels() as used:
            assert used is None
            assert not library.native(32)
    assert versions()["kernels"] == native_digest()


def test_another_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.CHOICE, "XLA")
    with pytest.raises(UsageError, match="must be xla, or not set, but got XLA"):
        native_digest()


def test_only_training_and_scoring_are_computed_with_them() -> None:
    """An export is made of what is traced elsewhere, and must not hold a call of this machine."""
    program, state, traced = start(CHOSEN, 1, 1)
    pictures = random_labelled(128, (8, 8, 1), 10)
    plan = plan_epoch(128, CHOSEN.recipe, 0, 1)
    steps = jax.jit(partial(train_steps, program)).lower(state, traced, pictures, plan).as_text()
    scores = jax.jit(partial(score, program)).lower(state.average, pictures, pictures).as_text()
    network = nnx.merge(abstract(CHOSEN.architecture)[0], *draw_weights(CHOSEN.architecture, 0))
    exported = jax.jit(network).lower(np.zeros((1, 8, 8, 1), np.float32)).as_text()
    in_c = ["pennyweight_" in text for text in (steps, scores, exported)]
    assert in_c == [True, True, False]
    kinds = "conv_gradient", "pool_gradient", "bernoulli"
    assert all(f"pennyweight_{kind}_float32" in steps for kind in kinds)


def test_a_compiler_that_fails_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gcc", "cc"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\nexit 1\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert library.native_library(tmp_path / "kernels") is None


def test_a_search_says_where_there_is_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say_where_slow()
    monkeypatch.setenv("PATH", str(tmp_path))
    library._library.cache_clear()
    with xla_kernels():
        say_where_slow()  # as it was chosen so
    assert capsys.readouterr().err == ""
    say_where_slow()
    assert capsys.readouterr().err.startswith("No C compiler works here, so training takes")
    library._library.cache_clear()


def test_what_was_compiled_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = library.native_library(tmp_path)
    assert first is not None
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    library._library.cache_clear()
    assert library.native_library(tmp_path) == first
    assert path.stat().st_mtime_ns == written
    path.chmod(0o666)  # whoever could write it might have
    library._library.cache_clear()
    assert library.native_library(tmp_path) == first
    assert path.stat().st_mtime_ns != written
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_loaded_is_compiled_again(tmp_path: Path) -> None:
    """Such as a file that a power cut left empty."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    first = library.native_library(good)
    (path,) = good.iterdir()
    bad.mkdir(0o700)
    (bad / path.name).touch(0o700)
    assert library.native_library(bad) == first
    assert (bad / path.name).read_bytes()


def test_a_folder_that_others_can_write_into_is_not_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert library.native_library(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("-mno-avx512f",)], ids=["this processor", "a smaller one"])
def test_it_compiles_without_a_warning(more: tuple[str, ...], tmp_path: Path) -> None:
    from jax.ffi import include_dir

    if more and platform.machine() != "x86_64":
        pytest.skip("there is one kind of vectors")
    for source, bits in product(sorted(library.SOURCES.glob("*.c")), (32, 64)):
        flags = [*library.FLAGS, *more, "-Wall", "-Wextra", "-Werror", f"-DBITS={bits}"]
        flags.append("-Wno-psabi")  # no vector goes from file to file
        made = ["-c", str(source), "-o", str(tmp_path / "kernels.o")]
        ran = subprocess.run(
            [str(COMPILER), *flags, f"-I{include_dir()}", *made], capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
