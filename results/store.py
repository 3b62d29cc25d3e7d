"""Where a study is kept: what its coordinator and its readers ask of it, whatever holds it.

There are two: a folder (`results/folder.py`) and a database (`results/database_store.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.train.door import Ledger


class StoredFile(Protocol):
    """One of a study's files; as text it is what a message calls it."""

    def exists(self) -> bool:
        """Whether there is one."""
        ...

    def read_bytes(self) -> bytes:
        """All of it; OSError where there is none."""
        ...

    def write(self, data: bytes) -> None:
        """Put `data` there, whole or not at all, and for good when this returns."""
        ...

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove it."""
        ...


class Records(Protocol):
    """The writer of a study's records. There is one at a time: the study's lock sees to that."""

    def append(self, kind: str, **fields: object) -> None:
        """Write one record (see `results/records.py`); it is there for good when this returns."""
        ...


@dataclass(frozen=True)
class OptunaDatabase:
    """How Optuna reaches its tables of a study."""

    url: str  # SQLAlchemy's, without what `connect` knows
    connect: Callable[[], Any]  # a new connection of the driver's
    shown: str  # as a message calls it
    making: Callable[[], AbstractContextManager[object]] = nullcontext  # while tables are made


class Store(ABC):
    """All that is kept of one study: records, Optuna's database, states and models of trials."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The study's name."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where its records are, as a message calls it."""

    @property
    @abstractmethod
    def flags(self) -> list[str]:
        """By which a command finds it, without a password."""

    @abstractmethod
    def read_records(self) -> list[dict[str, Any]]:
        """Its records, in the order in which they were written; a writer may be at work.

        Raises `UsageError` if one is damaged or of a newer version.
        """

    @abstractmethod
    def open_records(self) -> AbstractContextManager[Records]:
        """Append to its records. Only who holds the lock may."""

    @abstractmethod
    def has_begun(self) -> bool:
        """Whether there is a whole record."""

    @abstractmethod
    def optuna(self) -> OptunaDatabase:
        """Optuna's tables of it, which who holds the lock may change."""

    @property
    @abstractmethod
    def readings(self) -> Path | Ledger:
        """The ledger of the test set's readings."""

    @abstractmethod
    def count_readings(self) -> int:
        """How many distinct readings of the test set this study made."""

    @abstractmethod
    def file(self, name: str) -> StoredFile:
        """What is kept, or will be, under `name`."""

    @abstractmethod
    def trials_with_states(self) -> set[int]:
        """The trials that run, and those whose coordinator was killed before it cleared up."""

    @abstractmethod
    def clear(self, trial: int, *, keep: int, running: bool, best: int | None = None) -> None:
        """Remove the trial's files of other epochs than `keep`, and its state unless it runs on.

        The model that is kept is that of the epoch `best`, where there is such a one.
        """

    @abstractmethod
    def was_left(self) -> bool:
        """Whether the coordinator before was cut short, so that Optuna may lack the last it did."""

    @abstractmethod
    def standing_by(self) -> AbstractContextManager[None]:
        """Where another coordinator holds a study that any machine can go on with: wait for it."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Make the place; what it refuses there and inside becomes a UsageError."""

    @abstractmethod
    def refusal(self, error: BaseException) -> str | None:
        """What the place said, where it is what `error` comes from; None for any other."""

    @abstractmethod
    def locked(self, *, settles: bool = False) -> AbstractContextManager[None]:
        """Hold the study alone; the lock goes with the process, even a killed one.

        Who `settles` it makes up for what another left undone: `was_left` ends with that.
        """

    @abstractmethod
    def look(self) -> None:
        """To be called every second while nothing is written: keep hold of the study."""

    def state(self, trial: int, epoch: int) -> StoredFile:
        """All that training goes on from; kept while the trial runs."""
        return self.file(f"states/{trial:06d}-{epoch:04d}.safetensors")

    def model(self, trial: int, epoch: int) -> StoredFile:
        """The weights as they are scored and exported."""
        return self.file(f"models/{trial:06d}-{epoch:04d}.safetensors")

    def fresh_model(self, trial: int, seed: int) -> StoredFile:
        """The weights of a trial that was confirmed, from one of its fresh seeds."""
        return self.file(f"confirmed/{trial:06d}-{seed}.safetensors")

    @property
    def start(self) -> StoredFile:
        """The trained weights that its one network started from, where it did."""
        return self.file("start.safetensors")
