"""The test set's one door: every reading of test pictures goes through here and is written down.

The ledger is a file of JSON lines, one a reading, or kept elsewhere; it is only ever appended to.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from filelock import FileLock

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_RECORDS, read_plain
from pennyweight.train.cache import Progress
from pennyweight.train.data import Dataset, _load_test_set

Purpose = Literal["confirm", "baseline", "evaluate", "verify"]
Reading = dict[str, Any]


class Ledger(Protocol):
    """Readings of the test set, where they are not in a file."""

    def readings(self) -> list[Reading]:
        """All of them, in the order they were made."""
        ...

    def add(self, reading: Reading) -> None:
        """Write down one more, as a verification where it `repeats`; for good when this returns."""
        ...


_NEEDED = ("purpose", "data_fingerprint", "model")


def open_test_set(
    source: str,
    *,
    purpose: Purpose,
    model: str,
    ledger: Path | Ledger,
    progress: Progress | None = None,
) -> Dataset:
    """The test part of `source`, after the reading is written down in `ledger`.

    `model` says whose predictions will be compared with the labels, down to its weights. Reading
    the same data for the same model again tells nothing new and is written down as "verify".
    Raises `UsageError` as `describe` does, and where the ledger is damaged or cannot be written.
    """
    if purpose not in get_args(Purpose):
        choices = ", ".join(get_args(Purpose))
        raise ValueError(f"`purpose` must be one of {choices}, but got {purpose=}.")
    dataset = _load_test_set(source, progress=progress)
    reading = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "purpose": purpose,
        "data": source,
        "data_fingerprint": dataset.fingerprint,
        "model": model,
        "test_examples": len(dataset.labels),
    }
    if isinstance(ledger, Path):
        _add(ledger, reading)
    else:
        ledger.add(reading)
    return dataset


def repeats(reading: Reading, before: list[Reading]) -> bool:
    """Whether it tells nothing new after those `before`: the same data, for the same model."""
    return (reading["data_fingerprint"], reading["model"]) in _distinct(before)


def distinct_readings(ledger: Path | Ledger) -> int:
    """How many different (data, model) pairs were measured on test pictures; 0 without a ledger.

    A pair counts once, whatever its purpose: calling a first reading "verify" hides nothing.
    """
    return len(_distinct(readings(ledger)))


def readings(ledger: Path | Ledger) -> list[Reading]:
    """All readings in the order they were made.

    A last line without its end was torn by a crash before any picture was handed out: it is no
    reading. A damaged line elsewhere is a `UsageError`.
    """
    if not isinstance(ledger, Path):
        return ledger.readings()
    try:
        lines = read_plain(ledger, LARGEST_RECORDS).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{ledger} must be readable, but: {error.strerror}.") from error
    return parse_readings(lines[:-1], str(ledger))


def parse_readings(lines: list[str], where: str) -> list[Reading]:
    """The readings in `lines`; UsageError where one is damaged."""
    return [_parsed(line, where, number) for number, line in enumerate(lines, start=1)]


def _parsed(line: str, where: str, number: int) -> Reading:
    try:
        reading = json.loads(line)
        if all(isinstance(reading.get(name), str) for name in _NEEDED):
            return reading
    except (ValueError, AttributeError, RecursionError):
        pass
    raise UsageError(
        f"Line {number} of {where} is no reading of a test set: the ledger is only appended to, "
        "so restore it from a copy."
    )


def _distinct(entries: list[Reading]) -> set[tuple[str, str]]:
    return {(entry["data_fingerprint"], entry["model"]) for entry in entries}


def _add(ledger: Path, reading: Reading) -> None:
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{ledger}.lock"):
            if repeats(reading, readings(ledger)):
                reading = reading | {"purpose": "verify"}
            _append(ledger, json.dumps(reading))
    except OSError as error:
        raise UsageError(
            f"The test set is read only where the reading can be written down, but {ledger} "
            f"cannot be written ({error.strerror or error}): make room or make it writable."
        ) from error


def _append(ledger: Path, line: str) -> None:
    with ledger.open("ab+") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)  # a line torn by a crash
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
