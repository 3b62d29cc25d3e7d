"""What a stranger sends cannot run code, and nothing listens beyond this machine unless told to."""

import ast
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import confirmed, copied, pennyweight
from corpus_bundles import GOOD, bundle, sealed
from test_imports import FILES

from pennyweight.results.drawing_server import listen
from pennyweight.search import commands_serve

PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
TRUSTED = {  # between processes of one user, and in the user's own cache
    "search/worker.py",
    "search/worker_main.py",
    "train/program_store.py",
}
RUNNERS = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("file", FILES)
def test_no_file_unpickles_or_runs_what_it_reads(file: str) -> None:
    for node in ast.walk(ast.parse(FILES[file].read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom) and file not in TRUSTED:
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not PICKLERS & {name.partition(".")[0] for name in names}
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in RUNNERS)
            for given in node.keywords:
                allowed = isinstance(given.value, ast.Constant) and given.value.value is False
                assert given.arg != "allow_pickle" or allowed


class Payload:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that is there once a payload has run."""
    return tmp_path / "run"


@pytest.fixture
def payload(mark: Path) -> bytes:
    """A pickle, which works."""
    content = pickle.dumps(Payload(mark))
    pickle.loads(content)
    mark.unlink()
    return content


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a study, a bundle and a picture."""
    here = copied(confirmed()[0], tmp_path / "here")
    bundle(here / "b")
    return here


STUDY_FILES = ("records.jsonl", "test-readings.jsonl", "confirmed/000002-2000.safetensors")


@pytest.mark.parametrize("name", [f"runs/small/{name}" for name in STUDY_FILES] + ["a.json"])
def test_a_pickle_in_place_of_a_file_is_refused(
    name: str, here: Path, payload: bytes, mark: Path
) -> None:
    (here / name).write_bytes(payload)
    words = ("inspect", name) if name == "a.json" else ("evaluate", "small", "--split", "test")
    assert pennyweight(*words, cwd=here).status == 2
    assert not mark.exists()


@pytest.mark.parametrize("name", sorted(path.name for path in GOOD.iterdir()))
def test_a_pickle_in_a_bundle_is_refused_or_not_looked_at(
    name: str, here: Path, payload: bytes, mark: Path
) -> None:
    (here / "b" / name).write_bytes(payload)
    status = pennyweight("predict", "./b", "a.png", cwd=here).status
    assert status == (2 if name in ("architecture.json", "manifest.json") else status)
    assert pennyweight("export", "--verify", "b", cwd=here).status == 2
    assert not mark.exists()


def test_a_pickle_among_arrays_is_refused(here: Path, mark: Path) -> None:
    objects = np.array([Payload(mark)] * 40, object)
    np.savez(here / "a.npz", allow_pickle=True, x=objects, y=objects)
    ran = pennyweight("data", "show", "npz:a.npz", cwd=here)
    assert ran.status == 2
    assert "it holds Python objects" in ran.err
    assert not mark.exists()


def test_a_bundles_code_is_run_by_nothing_but_verify(
    here: Path, mark: Path, tmp_path: Path
) -> None:
    """As if a stranger had made all of it: every hash is right."""
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n".encode()
    sealed(lambda manifest: None, **{"model.py": code})(here / "strange")
    for words in (
        ("predict", "./strange", "a.png"),
        ("evaluate", "./strange", "--json"),
        ("inspect", "strange/architecture.json"),
        ("export", "./strange", "--out", "mine"),
        ("search", "--after", "./strange", "--dry-run"),
    ):
        assert pennyweight(*words, cwd=here).status == 0, words
        assert not mark.exists(), words
    pennyweight("export", "--verify", "strange", cwd=here)
    assert mark.exists()


def test_whoever_serves_a_page_does_so_for_this_machine_unless_told() -> None:
    for command in (commands_serve.draw, commands_serve.dashboard):
        assert inspect.signature(command).parameters["host"].default == "127.0.0.1"
    with listen("127.0.0.1", 0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
