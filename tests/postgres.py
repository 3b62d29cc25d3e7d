"""A real PostgreSQL server for tests, in a temporary folder; skipped where none is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import test_executors

SECRETS = ("n0t@", "n0t%40", "be:seen", "be%3Aseen")  # parts of the password, however written
PASSWORD = "n0t@to/be:seen"
_WRITTEN = "n0t%40to%2Fbe%3Aseen"


@dataclass(frozen=True)
class Server:
    """A server on a free port of this machine, and on a socket in its folder."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """As `--storage` takes it, with the password of a user who owns the database."""
        return f"postgresql+psycopg://penny:{_WRITTEN}@127.0.0.1:{self.port}/studies"

    @property
    def shown(self) -> str:
        """As messages call it."""
        return f"postgresql://127.0.0.1:{self.port}/studies"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._control("start", "-w", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` closes every connection, `immediate` is a crash."""
        self._control("stop", "-w", "-m", mode)

    def ask(self, query: Any, *values: Any, user: str = "postgres") -> list[tuple[Any, ...]]:
        """What a query finds, as the server's owner (through the socket) or another user."""
        import psycopg

        place = {"host": str(self.folder), "port": self.port, "dbname": "studies", "user": user}
        with psycopg.connect(**place, autocommit=True) as connection:
            found = connection.execute(query, values)
            return found.fetchall() if found.description is not None else []

    def files(self, study: str) -> list[str]:
        """The names of a study's files."""
        query = (
            "SELECT f.name FROM pennyweight_files AS f JOIN pennyweight_studies AS s "
            "USING (study) WHERE s.name = %s ORDER BY 1"
        )
        return [file for (file,) in self.ask(query, study)]

    def cut_off(self) -> int:
        """End the connections that hold a study's lock; how many they were."""
        locks = "FROM pg_locks WHERE locktype = 'advisory' AND granted"
        return len(self.ask(f"SELECT pg_terminate_backend(pid) {locks}"))

    def _control(self, *arguments: str) -> None:
        _as_owner(self.programs / "pg_ctl", "-D", str(self.folder / "data"), *arguments)


@contextmanager
def running(*, listen: str = "127.0.0.1") -> Iterator[Server]:
    """A new server with an empty database `studies` of user `penny`, stopped in the end."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pennyweight-pg-"))  # short: a socket's path must be
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(programs, folder, free.getsockname()[1])
    try:
        _as_owner(programs / "initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust")
        (folder / "data" / "pg_hba.conf").write_text(
            "local all all trust\nhost all all samenet scram-sha-256\n"
        )
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {server.port}\nunix_socket_directories = '{folder}'\n"
                f"listen_addresses = '{listen}'\nfsync = off\n"
            )
        server.start()
        _as_owner(programs / "createdb", "-h", str(folder), "-p", str(server.port), "studies")
        server.ask(f"CREATE USER penny PASSWORD '{PASSWORD}'")
        server.ask("ALTER DATABASE studies OWNER TO penny")
        server.ask("ALTER SCHEMA public OWNER TO penny")
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Wait until `condition()` holds."""
    assert test_executors.until(condition, timeout_s), "waited in vain"


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl: Debian keeps them off the path, one for each version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    return newest and newest.parent


def _as_owner(*command: Any) -> None:
    """Run a program of the server's, which refuses to be run by root."""
    root = os.geteuid() == 0
    groups = {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid} if root else {}
    ran = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # pg_ctl's server would keep a pipe open
        stderr=subprocess.DEVNULL,
        check=False,
        **groups,
        extra_groups=[] if root else None,
    )
    assert ran.returncode == 0, command
