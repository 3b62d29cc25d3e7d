"""Bad data of every reader on the real command line: exit status 2, one line, no study begun."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from command_line import pennyweight
from PIL import Image
from test_own_files import IMAGES, LABELS, SPOILT_CSV, WRITERS, idx


def refused(folder: Path, *arguments: str) -> str:
    """The last line on stderr; before it, at most that pictures were decoded."""
    ran = pennyweight(*arguments, cwd=folder, PENNYWEIGHT_CACHE=folder.parent / "cache")
    assert (ran.status, ran.out) == (2, "")
    *before, line = ran.err.splitlines()
    assert all(said.startswith("decoding ") for said in before)
    assert line.startswith("pennyweight: ")
    assert "Traceback" not in ran.err
    assert not (folder / "runs").exists()
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no label", "and no column `label`"),
        ("short row", "must have a field for each of its 17 columns, but line 10 has 16"),
        ("too bright", "must hold whole levels from 0 to 255, but line 4 has '256'"),
        ("not square", "each pixel of a square picture, such as 784 for 28x28, but has 15"),
        ("bytes", "is no UTF-8 text"),
    ],
)
def test_a_bad_csv_is_refused_by_whatever_reads_it(folder: Path, what: str, message: str) -> None:
    content = SPOILT_CSV[what][0]
    (folder / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    command = ["baselines"] if what == "short row" else ["search"]
    assert message in refused(folder, *command, "--data", "csv:a.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"\0\0\x0b\x03" + bytes(40), "magic number 00000803"),
        ("train-images-idx3-ubyte", idx(IMAGES)[:-1], "damaged or was cut off"),
        ("train-labels-idx1-ubyte.gz", gzip.compress(b"") + b"x", "must be gzipped"),
    ],
    ids=["magic", "truncated", "gzip"],
)
def test_bad_idx_files_are_refused(folder: Path, name: str, content: bytes, message: str) -> None:
    WRITERS["idx"](folder, test=False)
    (folder / name).write_bytes(content)
    assert message in refused(folder, "search", "--data", "idx:.")


def test_a_bad_npz_is_refused(folder: Path) -> None:
    (folder / "a.npz").write_bytes(b"PK nothing of the kind")
    assert "must be an NPZ file" in refused(folder, "search", "--data", "npz:a.npz")
    np.savez(folder / "a.npz", x=IMAGES / 255, y=LABELS)
    assert "whole levels from 0 to 255" in refused(folder, "data", "show", "npz:a.npz")


def test_a_bad_folder_of_pictures_is_refused(folder: Path) -> None:
    WRITERS["folder"](folder, test=False)
    (folder / "1" / "odd.png").write_text("no picture")
    assert "odd.png is no picture" in refused(folder, "search", "--data", "folder:.")
    Image.new("L", (9, 5)).save(folder / "1" / "odd.png")
    line = refused(folder, "train", "c4 A d3", "--data", "folder:.")
    assert "All pictures must be of one size" in line


@pytest.mark.parametrize("kind", WRITERS)
def test_fewer_pictures_than_a_batch_are_refused(folder: Path, kind: str) -> None:
    source = WRITERS[kind](folder, test=False)
    assert "at least one batch of" in refused(folder, "search", "--data", source)


@pytest.mark.parametrize("kind", WRITERS)
def test_pictures_of_one_class_are_refused(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_own_files.LABELS", np.zeros(len(LABELS), int))
    source = WRITERS[kind](folder, test=False)
    for command in (["train", "c4 A d2"], ["baselines", "--models", "svm"]):
        line = refused(folder, *command, "--data", source)
        assert "are all of one class, and telling classes apart takes two: use other data." in line
