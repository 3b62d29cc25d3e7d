"""Test pictures come through one door, and whoever goes through it is written down."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.train.data import load_training_set
from pennyweight.train.door import Purpose, distinct_readings, open_test_set, readings

ROOT = Path(__file__).resolve().parent.parent

# What leads to test pictures, and the files that may name it.
KEYS = {
    "_load_test_set": {"train/data.py", "train/door.py"},
    "_load_part": {"train/data.py"},
    "_data_reader": {"train/data.py"},
    "read_part": {
        "train/source.py",
        "train/data.py",
        "train/digits.py",
        "train/own_files.py",
        "train/prepared.py",
    },
    "OwnFiles": {"train/own_files.py", "train/data.py"},
    "read_csv": {"train/csv_file.py", "train/own_files.py", "results/submission.py"},
    "read_idx": {"train/idx_files.py", "train/own_files.py"},
    "read_npz": {"train/npz_file.py", "train/own_files.py"},
    "read_pictures": {"train/picture_folder.py", "train/own_files.py"},
    "cached_arrays": {"train/cache.py", "train/data.py"},
    "RecordReader": {"train/array_record.py", "train/prepared.py"},
    "as_data_source": {"train/array_record.py"},
    "load_digits": {"train/digits.py"},
}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "study" / "test_readings.jsonl"


def read_digits(ledger: Path, purpose: Purpose = "confirm", model: str = "a") -> None:
    open_test_set("digits", purpose=purpose, model=model, ledger=ledger)


def test_a_reading_is_written_down(ledger: Path) -> None:
    test = open_test_set("digits", purpose="evaluate", model="conv 8", ledger=ledger)
    assert len(test.labels) == 360
    line = json.loads(ledger.read_text())
    assert datetime.now(UTC) - datetime.fromisoformat(line.pop("time")) < timedelta(minutes=1)
    assert line == {
        "purpose": "evaluate",
        "data": "digits",
        "data_fingerprint": test.fingerprint,
        "model": "conv 8",
        "test_examples": 360,
    }


def test_test_pictures_are_not_the_training_pictures(ledger: Path) -> None:
    test = open_test_set("digits", purpose="confirm", model="a", ledger=ledger)
    assert test.fingerprint != load_training_set("digits").fingerprint


def test_an_identical_reading_is_a_verification(ledger: Path) -> None:
    for _ in range(3):
        read_digits(ledger)
    assert [entry["purpose"] for entry in readings(ledger)] == ["confirm", "verify", "verify"]
    assert distinct_readings(ledger) == 1


def test_another_model_is_another_reading(ledger: Path) -> None:
    read_digits(ledger, "confirm", "a")
    read_digits(ledger, "baseline", "b")
    assert [entry["purpose"] for entry in readings(ledger)] == ["confirm", "baseline"]
    assert distinct_readings(ledger) == 2


def test_calling_a_first_reading_a_verification_hides_nothing(ledger: Path) -> None:
    read_digits(ledger, "verify")
    assert distinct_readings(ledger) == 1


def test_without_a_ledger_nothing_was_read(ledger: Path) -> None:
    assert distinct_readings(ledger) == 0
    assert not ledger.parent.exists()


def test_an_unknown_purpose_is_refused_before_anything_is_read(ledger: Path) -> None:
    with pytest.raises(ValueError, match="one of confirm, baseline, evaluate, verify"):
        read_digits(ledger, "prune")  # pyright: ignore[reportArgumentType]
    assert not ledger.exists()


def test_no_reading_is_handed_out_that_cannot_be_written_down(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        read_digits(tmp_path / "file" / "test_readings.jsonl")


def test_a_line_torn_by_a_crash_was_no_reading(ledger: Path) -> None:
    read_digits(ledger, model="a")
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + whole[: len(whole) // 2])
    assert distinct_readings(ledger) == 1
    read_digits(ledger, model="b")
    assert ledger.read_bytes().startswith(whole)
    assert [entry["model"] for entry in readings(ledger)] == ["a", "b"]


@pytest.mark.parametrize("damage", ["{}", "[1]", '{"purpose": "conf', "3", ""])
def test_a_damaged_line_is_named(damage: str, ledger: Path) -> None:
    read_digits(ledger)
    ledger.write_text(f"{ledger.read_text()}{damage}\n")
    content = ledger.read_bytes()
    with pytest.raises(UsageError, match=rf"Line 2 of .*{ledger.name}"):
        read_digits(ledger, model="b")
    assert ledger.read_bytes() == content


def test_processes_that_read_at_once_lose_no_line(ledger: Path) -> None:
    program = """
import sys
from pathlib import Path
from pennyweight.train.door import open_test_set
for turn in range(10):
    model = f"model {turn}"
    open_test_set("digits", purpose="baseline", model=model, ledger=Path(sys.argv[1]))
"""
    command = [sys.executable, "-c", program, str(ledger)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    purposes = [entry["purpose"] for entry in readings(ledger)]
    assert (purposes.count("baseline"), purposes.count("verify")) == (10, 10)


def test_only_the_door_reads_test_pictures() -> None:
    folders = ("arch", "train", "results", "search", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert ROOT / "train" / "door.py" in files
    intruders = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in names_in(file.read_text(encoding="utf-8"))
        if name in KEYS and file.relative_to(ROOT).as_posix() not in KEYS[name]
    }
    assert intruders == set()


@pytest.mark.parametrize(
    "intrusion",
    [
        "from pennyweight.train.data import _load_test_set as harmless",
        "data._load_test_set('mnist')",
        "getattr(data, '_load_test_set')('mnist')",
        "load = _load_test_set",
    ],
)
def test_no_form_of_words_goes_past_the_door_unseen(intrusion: str) -> None:
    assert "_load_test_set" in names_in(intrusion)


def names_in(program: str) -> Iterator[str]:
    """Every name a program imports, looks up or spells out as a string."""
    for node in ast.walk(ast.parse(program)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Constant(value=str(name)):
                yield name
