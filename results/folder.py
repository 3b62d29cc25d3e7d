"""A study kept in a folder: its lock, its training states, its records."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_WEIGHTS, read_plain
from pennyweight.results.records import RecordFile, read_records, sync_folder
from pennyweight.results.store import OptunaDatabase, Store


@dataclass(frozen=True)
class FolderFile:
    """A file of a study's folder."""

    path: Path

    def exists(self) -> bool:
        return self.path.exists()

    def read_bytes(self) -> bytes:
        return read_plain(self.path, LARGEST_WEIGHTS)

    def write(self, data: bytes) -> None:
        write_whole(self.path, data)

    def unlink(self, *, missing_ok: bool = False) -> None:
        self.path.unlink(missing_ok=missing_ok)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class StudyFolder(Store):
    """`runs/<study>/`: records, Optuna's database, states of trials in flight, models of all."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def where(self) -> str:
        return str(self.records)

    @property
    def flags(self) -> list[str]:
        return [] if self.path.parent == Path("runs") else ["--runs", str(self.path.parent)]

    @property
    def records(self) -> Path:
        """One line a record."""
        return self.path / "records.jsonl"

    def read_records(self) -> list[dict[str, Any]]:
        return read_records(self.records)

    def open_records(self) -> RecordFile:
        return RecordFile.open(self.records)

    def has_begun(self) -> bool:
        # A coordinator that is killed as it begins leaves a file without a whole line.
        try:
            if not self.records.is_file():
                return self.records.exists()  # which reading it then refuses
            with self.records.open("rb") as file:
                return file.readline().endswith(b"\n")
        except OSError as error:
            raise UsageError(f"{self.records} must be readable, but: {error.strerror}.") from error

    def optuna(self) -> OptunaDatabase:
        path = self.path / "study.db"
        return OptunaDatabase("sqlite:///study.db", partial(_connect, path), str(path))

    def file(self, name: str) -> FolderFile:
        return FolderFile(self.path / name)

    @property
    def readings(self) -> Path:
        return self.path / "test-readings.jsonl"

    def count_readings(self) -> int:
        if not self.readings.exists():
            return 0
        from pennyweight.train.door import distinct_readings

        return distinct_readings(self.readings)

    @property
    def holder(self) -> Path:
        """Who runs the study; still there after a coordinator was killed, or broke off."""
        return self.path / "holder.json"

    def was_left(self) -> bool:
        return self.holder.exists()

    def standing_by(self) -> AbstractContextManager[None]:
        return nullcontext()  # nobody waits for a folder: `locked` refuses

    def refusal(self, error: BaseException) -> str | None:
        return refusal(error)

    def look(self) -> None:
        pass  # nobody takes the lock of a process that is alive

    def trials_with_states(self) -> set[int]:
        paths = (self.path / "states").glob("*-*.safetensors")
        return {int(path.name.partition("-")[0]) for path in paths}

    def clear(self, trial: int, *, keep: int, running: bool, best: int | None = None) -> None:
        kept = {"models": keep if best is None else best, "states": keep if running else None}
        for kind, epoch in kept.items():  # states last: they tell that there is still to clear up
            for path in (self.path / kind).glob(f"{trial:06d}-*.safetensors"):
                if epoch is None or path.stem != f"{trial:06d}-{epoch:04d}":
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, *, settles: bool = False) -> Iterator[None]:
        """Hold the study alone; UsageError names who holds it already.

        The lock is the operating system's: it goes with the process, even a killed one.
        """
        from filelock import FileLock, Timeout  # not to show a table

        lock = FileLock(self.path / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"One coordinator at a time may run study {self.path.name}, and "
                f"{_name(self.holder)} does: wait for it, stop it, or choose another --study."
            ) from None
        left, leaves = self.was_left(), True
        try:
            me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
            self.holder.write_text(json.dumps(me))
            yield
            leaves = left and not settles
        except UsageError:  # it was refused, and all is as it was
            leaves = left
            raise
        finally:
            if not leaves:
                self.holder.unlink(missing_ok=True)
            lock.release()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_written(error.strerror or str(error)) from error
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            if reason := refusal(error):
                raise self._not_written(reason) from error
            raise

    def _not_written(self, reason: str) -> UsageError:
        return UsageError(
            f"The study's folder {self.path} cannot be written ({reason}): make room or make "
            "it writable, and the same command goes on; or choose another --runs."
        )


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in `path`, whole or not at all, and on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)  # or the new name can be lost with the power, after its record
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES}
_SQLITE_REFUSALS = {
    "disk I/O error",
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
}


def refusal(error: BaseException | None) -> str | None:
    """What the disk said, where that is what `error` comes from; SQLite's is wrapped in others."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return error.strerror
        if isinstance(error, sqlite3.OperationalError) and str(error) in _SQLITE_REFUSALS:
            return str(error)
        error = error.__cause__
    return None


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that does not wait for the disk at each of the 30 commits of one question.

    With busy workers that took 0.7 s, while one of them waited. A power cut may lose the last
    commits, never the database; what it lost is in the records.
    """
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _name(holder: Path) -> str:
    try:
        held = json.loads(holder.read_text())
        return f"process {held['pid']} on {held['host']} since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
