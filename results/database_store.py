"""A study kept in a PostgreSQL database: records, files and readings as in a folder, in tables."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

from pennyweight.arch.errors import UsageError
from pennyweight.results.database import Database, reason
from pennyweight.results.database_hold import Hold
from pennyweight.results.records import decode_record, encode_record
from pennyweight.results.store import OptunaDatabase, Store
from pennyweight.train.door import Reading, distinct_readings, parse_readings, repeats

_STUDY = "study = (SELECT study FROM pennyweight_studies WHERE name = %s)"


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
        query = f"SELECT line, number FROM pennyweight_records WHERE {_STUDY} ORDER BY number"
        rows = self.query(query, self.name)
        return [decode_record(line.encode(), self.where, number) for line, number in rows]

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
        return OptunaDatabase(
            "postgresql+psycopg://", self.held.connect, self.where, self.held.making_tables
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

    def writing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # what it refuses comes as one line anyway

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        if self._hold:  # it was waited for already
            yield
            return
        self._hold = Hold(self.database, self.name)
        try:
            yield
        finally:
            self._hold.close()
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
        return query_once(self.database, query, *values)


@dataclass(frozen=True, eq=False)
class DatabaseFile:
    """A file of a study, in the database."""

    store: StudyInDatabase
    name: str

    def exists(self) -> bool:
        return bool(self._found("name"))

    def read_bytes(self) -> bytes:
        found = self._found("content")
        if not found:
            raise FileNotFoundError(2, f"there is none in {self.store.where}", self.name)
        return bytes(found[0][0])

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

    def _found(self, column: LiteralString) -> list[tuple[Any, ...]]:
        query = f"SELECT {column} FROM pennyweight_files WHERE {_STUDY} AND name = %s"
        return self.store.query(query, self.store.name, self.name)


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


@dataclass(frozen=True)
class DatabaseLedger:
    """The readings of the test set made for a study, which need no lock: they are only added."""

    database: Database
    study: str

    def readings(self) -> list[Reading]:
        query = f"SELECT line FROM pennyweight_readings WHERE {_STUDY} ORDER BY number"
        lines = [line for (line,) in query_once(self.database, query, self.study)]
        return parse_readings(lines, str(self))

    def add(self, reading: Reading) -> None:
        import psycopg

        query = "SELECT study FROM pennyweight_studies WHERE name = %s FOR UPDATE"
        insert = "INSERT INTO pennyweight_readings (study, line) VALUES (%s, %s)"
        connection = self.database.opened(make=True)
        assert connection is not None
        try:
            with connection, connection.transaction():
                found = connection.execute(query, [self.study]).fetchone()
                assert found, "a study with weights is there"
                if repeats(reading, self.readings()):
                    reading = reading | {"purpose": "verify"}
                connection.execute(insert, [found[0], json.dumps(reading)])
        except psycopg.Error as error:
            raise UsageError(
                "The test set is read only where the reading can be written down, but "
                f"{self.database} refused it ({reason(error)}): see to that."
            ) from None

    def __str__(self) -> str:
        return f"the readings of study {self.study} in {self.database}"


def query_once(database: Database, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    """What is found through a connection of its own; nothing where there are no tables yet."""
    import psycopg

    if (connection := database.opened()) is None:
        return []
    try:
        with connection:
            return connection.execute(query, [*values]).fetchall()
    except psycopg.Error as error:
        raise UsageError(f"{database} cannot be read ({reason(error)}): see to that.") from None
