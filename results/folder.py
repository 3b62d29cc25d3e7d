"""A study's folder: its lock, its training states, its records."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pennyweight.arch.errors import UsageError
from pennyweight.results.records import sync_folder


@dataclass(frozen=True)
class StudyFolder:
    """`runs/<study>/`: records, Optuna's database, states of trials in flight, models of all."""

    path: Path

    @property
    def records(self) -> Path:
        return self.path / "records.jsonl"

    @property
    def readings(self) -> Path:
        """The ledger of the test set's readings."""
        return self.path / "test-readings.jsonl"

    def count_readings(self) -> int:
        """How many distinct readings of the test set this study made."""
        if not self.readings.exists():
            return 0
        from pennyweight.train.door import distinct_readings

        return distinct_readings(self.readings)

    def state(self, trial: int, epoch: int) -> Path:
        """All that training goes on from; kept while the trial runs."""
        return self.path / "states" / f"{trial:06d}-{epoch:04d}.safetensors"

    def model(self, trial: int, epoch: int) -> Path:
        """The weights as they are scored and exported."""
        return self.path / "models" / f"{trial:06d}-{epoch:04d}.safetensors"

    @property
    def start(self) -> Path:
        """The trained weights that its one network started from, where it did."""
        return self.path / "start.safetensors"

    def fresh_model(self, trial: int, seed: int) -> Path:
        """The weights of a trial that was confirmed, from one of its fresh seeds."""
        return self.path / "confirmed" / f"{trial:06d}-{seed}.safetensors"

    @property
    def holder(self) -> Path:
        """Who runs the study; still there after a coordinator was killed."""
        return self.path / "holder.json"

    def trials_with_states(self) -> set[int]:
        """The trials that run, and those whose coordinator was killed before it cleared up."""
        paths = (self.path / "states").glob("*-*.safetensors")
        return {int(path.name.partition("-")[0]) for path in paths}

    def clear(self, trial: int, *, keep: int, running: bool, best: int | None = None) -> None:
        """Remove the trial's files of other epochs than `keep`, and its state unless it runs on.

        The model that is kept is that of the epoch `best`, where there is such a one.
        """
        kept = {"models": keep if best is None else best, "states": keep if running else None}
        for kind, epoch in kept.items():  # states last: they tell that there is still to clear up
            for path in (self.path / kind).glob(f"{trial:06d}-*.safetensors"):
                if epoch is None or path.stem != f"{trial:06d}-{epoch:04d}":
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study alone; UsageError names who holds it already.

        The lock is the operating system's: it goes with the process, even a killed one.
        """
        lock = FileLock(self.path / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"One coordinator at a time may run study {self.path.name}, and "
                f"{_name(self.holder)} does: wait for it, stop it, or choose another --study."
            ) from None
        try:
            me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
            self.holder.write_text(json.dumps(me))
            yield
        finally:
            self.holder.unlink(missing_ok=True)
            lock.release()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder; what the disk refuses there and inside becomes a UsageError."""
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


def _name(holder: Path) -> str:
    try:
        held = json.loads(holder.read_text())
        return f"process {held['pid']} on {held['host']} since {held['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
