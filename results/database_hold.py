"""A study of a database, held: an advisory lock says who runs it, its term says who may write.

The lock belongs to a connection, so it goes with its coordinator, even a killed one; a server finds
out within seconds that a machine has vanished. Who takes a lock begins a new term. Every write is a
transaction that also reads the term, and keeps the next one from beginning before its end: so a
coordinator that was stopped, or cut off, and woke up after another took over cannot write any more.
Who takes over ends the connections that such a one left, which may be amid a transaction.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

from pennyweight.arch.errors import RunError, UsageError, visible
from pennyweight.results.database import TABLES_LOCK, Database, reason

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

POLL_S = 1.0
_GRACE_S = 5.0  # after a database was restarted, its coordinator may take its lock back first
_LOCK = 0x70656E6D  # an advisory lock's first number; its second one is the study's
_TERM = "SELECT FROM pennyweight_studies WHERE study = %s AND term = %s FOR SHARE"


class Hold:
    """Holds the study called `name`, waiting until nobody else does; `close` it in the end."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._failed: RunError | None = None  # for good: the next write need not try
        connection = database.opened(make=True)
        assert connection is not None
        self._connection = connection
        self.study, self._term = -1, -1
        self._others: list[psycopg.Connection[Any]] = []
        self._looked = time.monotonic()
        self.was_left = False  # whether who held it before was killed, or broke off
        self.leaves = False  # whether the next is to find that of this one
        try:
            self.study = self.patiently(self._find_study)
            self._wait()
        except BaseException:
            self.close()
            raise

    def _find_study(self) -> int:
        """Its number in the database, where it is made if there is none."""
        insert = "INSERT INTO pennyweight_studies (name) VALUES (%s) ON CONFLICT DO NOTHING"
        self._connection.execute(insert, [self._name])
        return self._one("SELECT study FROM pennyweight_studies WHERE name = %s", [self._name])

    def _wait(self) -> None:
        told = False
        while not self.patiently(self._taken):
            if not told:
                by = self.patiently(lambda: self._holder(self._connection))
                line = f"waiting: study {self._name} is run by {by}; this takes over when it ends"
                print(line, file=sys.stderr, flush=True)
                told = True
            time.sleep(POLL_S)

    def _try_lock(self) -> bool:
        return self._one("SELECT pg_try_advisory_lock(%s, %s::int)", [_LOCK, self.study])

    def _taken(self) -> bool:
        """Whether the study was free, and is held now, in a new term."""
        if not self._try_lock():
            return False
        self._end_connections_of_earlier_terms()
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
        ((self._term, before),) = self._connection.execute(
            "WITH before AS (SELECT holder FROM pennyweight_studies WHERE study = %s FOR UPDATE) "
            "UPDATE pennyweight_studies SET term = term + 1, holder = %s FROM before "
            "WHERE study = %s RETURNING term, before.holder",
            [self.study, json.dumps(me), self.study],
        )
        self.was_left = before is not None
        return True

    def _end_connections_of_earlier_terms(self) -> None:
        self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
            "AND datname = current_database() AND usename = current_user "
            "AND pid <> pg_backend_pid()",
            [self._application],
        )
        self._connection.execute(
            "SELECT set_config('application_name', %s, false)", [self._application]
        )

    @property
    def _application(self) -> str:
        """What the connections of who holds the study are called."""
        return f"pennyweight, holding study {self.study}"

    def _holder(self, connection: psycopg.Connection[Any]) -> str:
        query = "SELECT holder FROM pennyweight_studies WHERE study = %s"
        held = connection.execute(query, [self.study]).fetchone()
        try:
            told = json.loads(held[0] or "") if held else {}
            return visible(f"{told['host']}, pid {told['pid']}")
        except (ValueError, KeyError, TypeError):  # it was let go of meanwhile, or another wrote it
            return "another process"

    def _one(self, query: LiteralString, values: list[Any]) -> Any:
        row = self._connection.execute(query, values).fetchone()
        assert row is not None
        return row[0]

    def rows(self, query: LiteralString, values: list[Any]) -> list[tuple[Any, ...]]:
        """What `query` finds."""
        return self.patiently(lambda: self._connection.execute(query, values).fetchall())

    def write(self, statement: LiteralString, values: list[Any]) -> None:
        """Run `statement`, which must do no harm where it was done already.

        Raises RunError where the study is held by another meanwhile, or the database is gone.
        """

        def run() -> None:
            with self._connection.transaction():
                self.check_term(self._connection)
                self._connection.execute(statement, values)

        self.patiently(run)

    def check_term(self, connection: psycopg.Connection[Any]) -> None:
        """Let the transaction of `connection` end in this hold's term, or raise RunError."""
        if connection.execute(_TERM, [self.study, self._term]).fetchone() is None:
            self._failed = RunError(
                f"Study {self._name} was taken over by {self._holder(connection)} while this "
                "coordinator was cut off from the database: that one goes on with it, and nothing "
                "was lost."
            )
            raise self._failed

    def patiently(self, call: Callable[[], T]) -> T:
        """What `call` returns; where the database goes away, it is called again when it is back."""
        import psycopg

        if self._failed:
            raise self._failed
        since, said = 0.0, ""  # when it was found to be gone, and what it said last
        while True:
            try:
                if since:
                    time.sleep(POLL_S)
                if self._connection.closed:
                    self._reconnect()
                return call()
            except psycopg.Error as error:
                # One that cannot be made has no code.
                no_new = isinstance(error, psycopg.OperationalError) and not error.sqlstate
                if not self._connection.closed and not no_new:  # it is there, and refuses
                    refused = f"The database {self._database} refused ({reason(error)})"
                    if self._term < 0:  # nothing was begun
                        raise UsageError(
                            f"{refused}: see to that, or choose another --storage."
                        ) from None
                    raise self._fail(refused) from None
                since, said = since or time.monotonic(), reason(error)
            except KeyboardInterrupt:
                if not since:
                    raise
                raise self._fail(f"The database {self._database} is gone ({said})") from None
            if time.monotonic() > since + self._database.patience_s:
                gone = f"The database {self._database} is gone for {self._database.patience_s:g} s"
                raise self._fail(f"{gone} ({said})")

    def look(self) -> None:
        """Take the lock back after the connection broke, before who stands by does.

        For a coordinator that has nothing to write for long. Raises RunError where another holds
        the study by now; that the database is gone is no matter until there is something to write.
        """
        import psycopg

        if self._failed:
            raise self._failed
        if time.monotonic() < self._looked + POLL_S:
            return
        self._looked = time.monotonic()
        with contextlib.suppress(psycopg.Error):
            if self._connection.closed:
                self._reconnect()
            self._connection.execute("SELECT")

    def _fail(self, said: str) -> RunError:
        self._failed = RunError(f"{said}: see to that, and the same command goes on from here.")
        return self._failed

    def _reconnect(self) -> None:
        """Connect anew, with the lock where it was held, and only if nobody held it since."""
        import psycopg

        if self._term < 0:
            self._connection = self._database.connect()
            time.sleep(_GRACE_S)
            return
        self._connection = self._database.connect(application_name=self._application)
        try:
            self.check_term(self._connection)
            if not self._try_lock():  # the old one's, which the server does not know to be dead
                raise psycopg.OperationalError("the study's lock is not free yet")
        except BaseException:  # without the lock, a connection is of no use
            self._connection.close()
            raise

    def connect(self) -> psycopg.Connection[Any]:
        """Another connection, which commits nothing once this hold has ended; it ends with it."""
        kind, named = fenced_by(self), self._application
        connect = partial(self._database.connect, kind, application_name=named)
        self._others.append(self.patiently(connect))
        return self._others[-1]

    @contextlib.contextmanager
    def making_tables(self) -> Iterator[None]:
        """While Optuna makes its own: two at a time would each find none, and one would fail."""
        self.rows("SELECT pg_advisory_lock(%s)", [TABLES_LOCK])
        try:
            yield
        finally:
            self.rows("SELECT pg_advisory_unlock(%s)", [TABLES_LOCK])

    def close(self) -> None:
        """Let go of the study; another may take it."""
        import psycopg

        with contextlib.suppress(psycopg.Error):
            if self._term >= 0 and not self._failed and not self.leaves:
                update = (
                    "UPDATE pennyweight_studies SET holder = NULL WHERE study = %s AND term = %s"
                )
                self._connection.execute(update, [self.study, self._term])
        for connection in (self._connection, *self._others):
            connection.close()


def fenced_by(hold: Hold) -> type[psycopg.Connection[Any]]:
    """The kind of connection that commits in the term of `hold`, or raises its RunError."""
    import psycopg

    class Fenced(psycopg.Connection[Any]):
        def commit(self) -> None:
            hold.check_term(self)
            super().commit()

    return Fenced
