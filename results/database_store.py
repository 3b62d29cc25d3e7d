"""A study kept in a PostgreSQL database: records, files and readings as in a folder, in tables."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

from pennyweight.arch.errors import RunError, UsageError
from pennyweight.arch.limits import LARGEST_RECORDS, LARGEST_WEIGHTS, too_large
from pennyweight.results.database import Database, reason, refusal
from pennyweight.results.database_hold import POLL_S, Hold
from pennyweight.results.records import decode_record, encode_record
from pennyweight.results.store import OptunaDatabase, Store
from pennyweight.train.door import Reading, distinct_readings, parse_readings, repeats

T = TypeVar("T")

_STUDY = "study = (SELECT study FROM pennyweight_studies WHERE name = %s)"
# Null, and so not read, where they are larger than a file may be.
_LINE = "CASE WHEN sum(octet_length(line)) OVER (ORDER BY number) <= %s THEN line END"
_CONTENT = "CASE WHEN octet_length(content) <= %s THEN content END"


class StudyInDatabase(Store):
    """The study called `name` in a `database`. A coordinator that finds it held stands by."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self._name = database, name
        self._hold: Hold | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def where(self) -> str:
        return f"study {self.name} in {self.database}"

    @property
    def flags(self) -> list[str]:
        return self.database.flags

    def read_records(self) -> list[dict[str, Any]]:
        query = f"SELECT {_LINE}, number FROM pennyweight_records WHERE {_STUDY} ORDER BY number"
        rows = self.query(query, LARGEST_RECORDS, self.name)
        lines = _within([line for line, _ in rows], LARGEST_RECORDS, self.where)
        numbers = [number for _, number in rows]
        return [
            decode_record(line.encode(), self.where, number)
            for line, number in zip(lines, numbers, strict=True)
        ]

    @contextlib.contextmanager
    def open_records(self) -> Iterator[DatabaseRecords]:
        query = f"SELECT max(number) FROM pennyweight_records WHERE {_STUDY}"
        ((last,),) = self.query(query, self.name)
        yield DatabaseRecords(self.held, last or 0)

    def has_begun(self) -> bool:
        return bool(
            self.query(f"SELECT FROM pennyweight_records WHERE {_STUDY} LIMIT 1", self.name)
        )

    def optuna(self) -> OptunaDatabase:
        shown = f"What Optuna keeps in {self.database}"
        return OptunaDatabase(
            "postgresql+psycopg://", self.held.connect, shown, self.held.making_tables
        )

    @property
    def readings(self) -> DatabaseLedger:
        return DatabaseLedger(self.database, self.name)

    def count_readings(self) -> int:
        return distinct_readings(self.readings)

    def file(self, name: str) -> DatabaseFile:
        return DatabaseFile(self, name)

    def trials_with_states(self) -> set[int]:
        query = f"SELECT name FROM pennyweight_files WHERE {_STUDY} AND name LIKE 'states/%%'"
        names = self.query(query, self.name)
        return {int(name.removeprefix("states/").partition("-")[0]) for (name,) in names}

    def clear(self, trial: int, *, keep: int, running: bool, best: int | None = None) -> None:
        kept = [str(self.model(trial, keep if best is None else best))]
        kept += [str(self.state(trial, keep))] if running else []
        statement = (
            "DELETE FROM pennyweight_files WHERE study = %s AND name ~ %s AND name <> ALL(%s)"
        )
        self.held.write(statement, [self.held.study, f"^(models|states)/{trial:06d}-", kept])

    def was_left(self) -> bool:
        if self._hold:
            return self._hold.was_left
        query = "SELECT FROM pennyweight_studies WHERE name = %s AND holder IS NOT NULL"
        return bool(self.query(query, self.name))

    def standing_by(self) -> contextlib.AbstractContextManager[None]:
        return self.locked()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        try:
            yield
        except (UsageError, RunError):
            raise
        except Exception as error:  # from Optuna's connection
            if said := refusal(error):
                raise UsageError(
                    f"The database {self.database} refused ({said}): see to that, and the same "
                    "command goes on; or choose another --storage."
                ) from error
            raise

    def refusal(self, error: BaseException) -> str | None:
        return refusal(error)

    def look(self) -> None:
        if self._hold:
            self._hold.look()

    @contextlib.contextmanager
    def locked(self, *, settles: bool = False) -> Iterator[None]:
        waited = self._hold  # for it already
        hold = self._hold = waited or Hold(self.database, self.name)
        if not waited:
            hold.leaves = hold.was_left
        try:
            yield
            hold.leaves = hold.leaves and not settles
        except UsageError:  # it was refused, and all is as it was
            raise
        except BaseException:
            hold.leaves = True
            raise
        finally:
            if not waited:
                hold.close()
                self._hold = None

    @property
    def held(self) -> Hold:
        """The hold on it, through which all is written; there is one inside of `locked`."""
        assert self._hold, "a study is written to by who holds it"
        return self._hold

    def query(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """What is found; nothing where there are no tables yet."""
        if self._hold:
            return self._hold.rows(query, [*values])
        return self.database.query(query, *values)


@dataclass(frozen=True, eq=False)
class DatabaseFile:
    """A file of a study, in the database."""

    store: StudyInDatabase
    name: str

    def exists(self) -> bool:
        query = f"SELECT FROM pennyweight_files WHERE {_STUDY} AND name = %s"
        return bool(self.store.query(query, self.store.name, self.name))

    def read_bytes(self) -> bytes:
        query = f"SELECT {_CONTENT} FROM pennyweight_files WHERE {_STUDY} AND name = %s"
        found = self.store.query(query, LARGEST_WEIGHTS, self.store.name, self.name)
        if not found:
            raise FileNotFoundError(2, f"there is none in {self.store.where}", self.name)
        what = f"{self.name} of {self.store.where}"
        return bytes(*_within(found[0], LARGEST_WEIGHTS, what))

    def write(self, data: bytes) -> None:
        held = self.store.held
        held.write(
            "INSERT INTO pennyweight_files (study, name, content) VALUES (%s, %s, %s) "
            "ON CONFLICT (study, name) DO UPDATE SET content = excluded.content",
            [held.study, self.name, data],
        )

    def unlink(self, *, missing_ok: bool = False) -> None:
        if not missing_ok and not self.exists():
            raise FileNotFoundError(2, f"there is none in {self.store.where}", self.name)
        held = self.store.held
        statement = "DELETE FROM pennyweight_files WHERE study = %s AND name = %s"
        held.write(statement, [held.study, self.name])

    def __str__(self) -> str:
        return self.name


class DatabaseRecords:
    """The writer of a study's records, after those up to number `last`."""

    def __init__(self, hold: Hold, last: int) -> None:
        self._hold, self._last = hold, last

    def append(self, kind: str, **fields: object) -> None:
        line = encode_record(kind, fields).decode()
        self._hold.write(
            "INSERT INTO pennyweight_records (study, number, line) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING",  # there since a connection that broke as it was told so
            [self._hold.study, self._last + 1, line.rstrip("\n")],
        )
        self._last += 1


_READINGS = f"SELECT {_LINE} FROM pennyweight_readings WHERE {_STUDY} ORDER BY number"


@dataclass(frozen=True)
class DatabaseLedger:
    """The readings of the test set made for a study, which need no lock: they are only added."""

    database: Database
    study: str

    def readings(self) -> list[Reading]:
        return self._parsed(self.database.query(_READINGS, LARGEST_RECORDS, self.study))

    def add(self, reading: Reading) -> None:
        import psycopg

        until = time.monotonic() + self.database.patience_s
        while True:
            try:
                return self._add(reading)
            except psycopg.Error as error:
                gone = isinstance(error, psycopg.OperationalError) and time.monotonic() < until
                if not gone:
                    raise UsageError(
                        "The test set is read only where the reading can be written down, but "
                        f"{self.database} refused it ({reason(error)}): see to that."
                    ) from None
            time.sleep(POLL_S)

    def _add(self, reading: Reading) -> None:
        query = "SELECT study FROM pennyweight_studies WHERE name = %s FOR UPDATE"
        insert = "INSERT INTO pennyweight_readings (study, line) VALUES (%s, %s)"
        with self.database.connect() as connection, connection.transaction():
            found = connection.execute(query, [self.study]).fetchone()
            assert found, "a study with weights is there"
            rows = connection.execute(_READINGS, [LARGEST_RECORDS, self.study]).fetchall()
            if repeats(reading, self._parsed(rows)):
                reading = reading | {"purpose": "verify"}
            connection.execute(insert, [found[0], json.dumps(reading)])

    def _parsed(self, rows: list[tuple[Any, ...]]) -> list[Reading]:
        lines = _within([line for (line,) in rows], LARGEST_RECORDS, str(self))
        return parse_readings(lines, str(self))

    def __str__(self) -> str:
        return f"the readings of study {self.study} in {self.database}"


def _within(found: Sequence[T | None], most: int, what: str) -> list[T]:
    """What was found; UsageError where it was not all read because it is too large."""
    read = [each for each in found if each is not None]
    if len(read) < len(found):
        raise too_large(what, most)
    return read
