"""A PostgreSQL database with studies in it: how it is reached, and its tables."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from pennyweight.arch.errors import UsageError, without_passwords

if TYPE_CHECKING:
    import psycopg

# What it warns of is raised too, as an error that is told once and in a line.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

GONE_AFTER_S = 20  # a machine that does not answer for so long has lost its connections
_EVERY_S = GONE_AFTER_S // 4

_SESSION = {
    # The server's side: it lets go of the lock of a machine that vanished.
    "tcp_keepalives_idle": _EVERY_S,
    "tcp_keepalives_interval": _EVERY_S,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": GONE_AFTER_S * 1_000,
    # A process that was stopped amid a transaction keeps others from what it wrote no longer.
    "idle_in_transaction_session_timeout": 60_000,
}
_CONNECTION = {  # our side, for a server that vanished
    "keepalives_idle": _EVERY_S,
    "keepalives_interval": _EVERY_S,
    "keepalives_count": 3,
    "tcp_user_timeout": GONE_AFTER_S * 1_000,
    "connect_timeout": 10,
    "application_name": "pennyweight",
}

_TABLES = """
CREATE TABLE IF NOT EXISTS pennyweight_studies (
    study bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    term bigint NOT NULL DEFAULT 0,  -- goes up with each coordinator; an earlier one cannot write
    holder text  -- who runs it, as JSON; still there after a coordinator was killed
);
CREATE TABLE IF NOT EXISTS pennyweight_records (
    study bigint NOT NULL REFERENCES pennyweight_studies ON DELETE CASCADE,
    number integer NOT NULL,
    line text NOT NULL,  -- as in records.jsonl, with its checksum
    PRIMARY KEY (study, number)
);
CREATE TABLE IF NOT EXISTS pennyweight_files (
    study bigint NOT NULL REFERENCES pennyweight_studies ON DELETE CASCADE,
    name text NOT NULL,  -- as in a study's folder
    content bytea NOT NULL,
    PRIMARY KEY (study, name)
);
ALTER TABLE pennyweight_files ALTER content SET STORAGE EXTERNAL;  -- weights do not compress
CREATE TABLE IF NOT EXISTS pennyweight_readings (
    study bigint NOT NULL REFERENCES pennyweight_studies ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line text NOT NULL  -- as in test-readings.jsonl
);
"""
TABLES_LOCK = 0x70656E6E  # of an advisory lock, under which tables are made


@dataclass(frozen=True)
class Database:
    """The database at `url`, postgresql+psycopg://…; its text and repr have no password.

    Raises UsageError for a URL that is none, and where the extra is not installed.
    """

    url: str = field(repr=False)
    folder: Path = Path("runs")  # where what is made of its studies goes, such as reports
    patience_s: float = 60.0  # of who writes to it, when it does not answer

    def __post_init__(self) -> None:
        _ = self._parameters

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        """What psycopg is to be told; what is missing it takes from PGPASSWORD, .pgpass, ...."""
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError:
            raise UsageError(
                "--storage needs psycopg: `pip install 'pennyweight[postgres]'`."
            ) from None
        # An @ elsewhere is of a password, of which messages would tell what comes after it.
        found = re.fullmatch(r"postgresql(?:\+psycopg)?(://(?:[^@/?#\s]*@)?[^@\s]*)", self.url)
        parts = None
        if found:
            try:
                parts = conninfo_to_dict(f"postgresql{found[1]}")
            except (ProgrammingError, UnicodeError):  # which may quote a part of the password
                parts = None
        if parts is None or not re.fullmatch(r"[0-9,]*", str(parts.get("port", ""))):
            raise UsageError(
                "--storage must be a URL such as postgresql+psycopg://USER@HOST/DATABASE, in whose "
                "parts @, / and : are written %40, %2F and %3A, but what was given is none."
            ) from None
        session = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        own = parts.get("options", "")
        always = {"client_encoding": "UTF8", "options": f"{session} {own}".rstrip()}
        return {**_CONNECTION, **parts, **always}

    def __str__(self) -> str:
        parts = self._parameters
        host = str(parts.get("host", ""))
        port = f":{parts['port']}" if "port" in parts and not host.startswith("/") else ""
        server = "" if host.startswith("/") else host
        return f"postgresql://{server}{port}/{parts.get('dbname', '')}"

    @property
    def flags(self) -> list[str]:
        """By which a command finds it, without a password."""
        runs = [] if self.folder == Path("runs") else ["--runs", str(self.folder)]
        return ["--storage", without_passwords(self.url), *runs]

    def connect(
        self, kind: type[psycopg.Connection[Any]] | None = None, **parameters: str
    ) -> psycopg.Connection[Any]:
        """A new connection; psycopg's OperationalError where the server does not answer."""
        import psycopg

        told = {**self._parameters, **parameters}
        try:
            return (kind or psycopg.Connection).connect(**told, autocommit=kind is None)
        except UnicodeError:  # from Python's search for its address
            raise psycopg.OperationalError("its host has a name that no host has") from None

    def opened(self, *, make: bool = False) -> psycopg.Connection[Any] | None:
        """A new connection; None where there are no tables yet, and they are not to be made.

        Raises UsageError where the database cannot be used.
        """
        import psycopg

        try:
            connection = self.connect()
            try:
                if make:
                    self._make_tables(connection)
                elif not _has_tables(connection):
                    connection.close()
                    return None
            except BaseException:
                connection.close()
                raise
        except psycopg.Error as error:
            raise UsageError(
                f"The database {self} cannot be used ({reason(error)}): see to that, or choose "
                "another --storage."
            ) from None
        return connection

    def _make_tables(self, connection: psycopg.Connection[Any]) -> None:
        if _has_tables(connection):
            return
        with connection.transaction():  # two at a time would each find none, and one would fail
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
            connection.execute(_TABLES)

    def study_names(self) -> list[str]:
        """The studies in it, sorted."""
        rows = self.query(
            "SELECT name FROM pennyweight_studies AS s WHERE EXISTS "
            "(SELECT FROM pennyweight_records AS r WHERE r.study = s.study)"
        )
        return sorted(name for (name,) in rows)

    def query(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """What is found through a connection of its own; nothing where there are no tables yet."""
        import psycopg

        if (connection := self.opened()) is None:
            return []
        try:
            with connection:
                return connection.execute(query, [*values]).fetchall()
        except psycopg.Error as error:
            raise UsageError(f"{self} cannot be read ({reason(error)}): see to that.") from None


def _has_tables(connection: psycopg.Connection[Any]) -> bool:
    found = connection.execute("SELECT to_regclass('pennyweight_readings')").fetchone()
    return found is not None and found[0] is not None


def reason(error: psycopg.Error) -> str:
    """What the server or the driver says, in a line; never a statement, or a value in it."""
    said = error.diag.message_primary or str(error)
    return " ".join(said.split())[:200].rstrip(".")


def refusal(error: BaseException | None) -> str | None:
    """What the server said, where that is what `error` comes from; SQLAlchemy wraps it in others.

    None where it is about tables that are not as they should be.
    """
    from psycopg import Error, ProgrammingError
    from psycopg.errors import InsufficientPrivilege

    while error is not None:
        if isinstance(error, InsufficientPrivilege) or (
            isinstance(error, Error) and not isinstance(error, ProgrammingError)
        ):
            return reason(error)
        error = error.__cause__
    return None
