"""The test set's one door: every reading of test pictures goes through here and is written down.

The ledger is a file of JSON lines, one a reading, which is only ever appended to.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_RECORDS, read_plain
from pennyweight.train.cache import Progress
from pennyweight.train.data import Dataset, _load_test_set

Purpose = Literal["confirm", "baseline", "evaluate", "verify"]

_NEEDED = ("purpose", "data_fingerprint", "model")


def open_test_set(
    source: str, *, purpose: Purpose, model: str, ledger: Path, progress: Progress | None = None
) -> Dataset:
    """The test part of `source`, after the reading is on disk in `ledger`.

    `model` says whose predictions will be compared with the labels, down to its weights. Reading
    the same data for the same model again tells nothing new and is written down as "verify".
    Raises `UsageError` as `describe` does, and where the ledger is damaged or cannot be written.
    """
    if purpose not in get_args(Purpose):
        choices = ", ".join(get_args(Purpose))
        raise ValueError(f"`purpose` must be one of {choices}, but got {purpose=}.")
    dataset = _load_test_set(source, progress=progress)
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{ledger}.lock"):
            repeated = (dataset.fingerprint, model) in _distinct(readings(ledger))
            reading = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "purpose": "verify" if repeated else purpose,
                "data": source,
                "data_fingerprint": dataset.fingerprint,
                "model": model,
                "test_examples": len(dataset.labels),
            }
            _append(ledger, json.dumps(reading))
    except OSError as error:
        raise UsageError(
            f"The test set is read only where the reading can be written down, but {ledger} "
            f"cannot be written ({error.strerror or error}): make room or make it writable."
        ) from error
    return dataset


def distinct_readings(ledger: Path) -> int:
    """How many different (data, model) pairs were measured on test pictures; 0 without a ledger.

    A pair counts once, whatever its purpose: calling a first reading "verify" hides nothing.
    """
    return len(_distinct(readings(ledger)))


def readings(ledger: Path) -> list[dict[str, Any]]:
    """All readings in the order they were made.

    A last line without its end was torn by a crash before any picture was handed out: it is no
    reading. A damaged line elsewhere is a `UsageError`.
    """
    try:
        lines = read_plain(ledger, LARGEST_RECORDS).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{ledger} must be readable, but: {error.strerror}.") from error
    return [_parsed(line, ledger, number) for number, line in enumerate(lines[:-1], start=1)]


def _parsed(line: str, ledger: Path, number: int) -> dict[str, Any]:
    try:
        reading = json.loads(line)
        if all(isinstance(reading.get(name), str) for name in _NEEDED):
            return reading
    except (ValueError, AttributeError, RecursionError):
        pass
    raise UsageError(
        f"Line {number} of {ledger} is no reading of a test set: the ledger is only appended to, "
        "so restore it from a copy."
    )


def _distinct(entries: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(entry["data_fingerprint"], entry["model"]) for entry in entries}


def _append(ledger: Path, line: str) -> None:
    with ledger.open("ab+") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)  # a line torn by a crash
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
