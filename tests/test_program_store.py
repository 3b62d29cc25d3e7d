"""Compiled programs on disk: the same program comes back, anything else is not found."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pennyweight.train import program_store
from pennyweight.train.program_store import ProgramStore


def multiplying(by: int) -> Any:
    return jax.jit(lambda x: {"product": x * by}).lower(jnp.zeros(3)).compile()


def test_a_program_comes_back_and_computes_the_same(tmp_path: Path) -> None:
    store = ProgramStore(tmp_path / "new")
    assert store.get("by 2") is None
    store.put("by 2", multiplying(2))
    found = ProgramStore(tmp_path / "new").get("by 2")
    assert found is not None
    assert found(jnp.arange(3.0))["product"].tolist() == [0, 2, 4]
    assert store.get("by 3") is None


def test_the_environment_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProgramStore(tmp_path)
    store.put("by 2", multiplying(2))
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    program_store._setting.cache_clear()
    try:
        assert store.get("by 2") is None
    finally:
        monkeypatch.undo()
        program_store._setting.cache_clear()
    assert store.get("by 2") is not None


@pytest.mark.parametrize("left", [0, 10, 40, -1])
def test_a_damaged_file_is_not_found_and_can_be_replaced(tmp_path: Path, left: int) -> None:
    store = ProgramStore(tmp_path)
    store.put("by 2", multiplying(2))
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    assert store.get("by 2") is None
    store.put("by 2", multiplying(2))
    assert store.get("by 2") is not None


def test_what_anybody_may_write_is_not_trusted(tmp_path: Path) -> None:
    store = ProgramStore(tmp_path)
    store.put("by 2", multiplying(2))
    [path] = tmp_path.iterdir()
    path.chmod(0o666)
    assert store.get("by 2") is None
    path.chmod(0o600)
    assert store.get("by 2") is not None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = ProgramStore(tmp_path / "file")
    store.put("by 2", multiplying(2))
    assert store.get("by 2") is None


def test_the_least_recently_used_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProgramStore(tmp_path)
    store.put(0, multiplying(2))
    [first] = tmp_path.iterdir()
    size = first.stat().st_size
    monkeypatch.setattr(program_store, "MOST_BYTES", int(2.5 * size))
    for number in (1, 2, 3):
        assert store.get(0) is not None  # used last, each time
        store.put(number, multiplying(2))
    assert store.get(0) is not None
    assert len(list(tmp_path.iterdir())) == 2
