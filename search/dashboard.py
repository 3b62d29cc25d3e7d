"""optuna-dashboard on a study: on a copy of its database, for the page can also write.

It has no mode in which it only reads, and even reading would make it a second user of a database
that a search writes to. So it gets a copy, brought up to date when the page asks, and is asked only
to read.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Lock
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from pennyweight.arch.errors import UsageError
from pennyweight.results.hosts import may_answer
from pennyweight.results.studies import load_study

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_REFRESH_EVERY_S = 2.0  # as often as the page asks at most


class StudyCopy:
    """A copy of a study's database in the file `to`, in which the trials tell their networks.

    Raises UsageError for a study that does not exist, or that Optuna knows nothing of.
    """

    def __init__(self, runs: Path, name: str, to: Path) -> None:
        load_study(runs, name)
        self._runs, self._name, self._to = runs, name, to
        self._source = runs / name / "study.db"
        self._log = self._source.with_name("study.db-wal")  # there while somebody writes
        if not self._source.exists():
            raise UsageError(
                f"Study {name} has no Optuna database: a training has none, and a search from its "
                "first trial on."
            )
        self._lock, self._seen, self._looked = Lock(), [], 0.0
        self.refresh()

    def refresh(self) -> None:
        """Copy it again if it has changed, and was not looked at just now."""
        with self._lock:
            if self._looked and time.monotonic() - self._looked < _REFRESH_EVERY_S:
                return
            self._looked = time.monotonic()
            state = [
                (path.stat().st_mtime_ns, path.stat().st_size)
                for path in (self._source, self._log)
                if path.exists()
            ]
            if state != self._seen:
                self._copy()
                self._seen = state

    def _copy(self) -> None:
        # In memory first, so that whoever reads the copy sees no trial without its network.
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            try:
                with contextlib.closing(self._opened()) as source:
                    source.backup(copy)
                self._note_facts(copy)
            except sqlite3.Error as error:
                raise UsageError(
                    f"{self._source} is no readable Optuna study ({error}): go on with the search, "
                    "which mends it or says what is wrong."
                ) from error
            with contextlib.closing(sqlite3.connect(self._to)) as to:
                copy.backup(to)

    def _opened(self) -> sqlite3.Connection:
        """The study's database, to be read without a trace: no lock, and no new file beside it.

        A log says that it is in use, or was when its search was killed. Without one nobody changes
        it, and who reads it as if it could change would leave a log behind.
        """
        unused = "" if self._log.exists() else "&immutable=1"
        path = self._source.absolute().as_uri()
        return sqlite3.connect(f"{path}?mode=ro{unused}", uri=True)

    def _note_facts(self, copy: sqlite3.Connection) -> None:
        noted = []
        for trial in load_study(self._runs, self._name).trials.values():
            facts = {
                "architecture": trial.notation,
                "parameters": trial.cost["params"],
                "multiply-accumulates": trial.cost["macs"],
            }
            noted += [(key, json.dumps(value), trial.trial) for key, value in facts.items()]
        copy.executemany(
            "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
            "SELECT trial_id, ?, ? FROM trials WHERE number = ?",
            noted,
        )
        copy.execute(  # the axes say what it is, where Optuna would call it an objective
            "INSERT INTO study_system_attributes (study_id, key, value_json) "
            "SELECT study_id, 'study:metric_names', '[\"validation accuracy\"]' FROM studies"
        )
        copy.commit()


def serve(runs: Path, name: str, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve the dashboard of a study, and tell `ready` its address, until Ctrl-C.

    Raises UsageError when the extra is not installed, the study is none, or the address is taken.
    """
    if not 0 <= port < 2**16:
        raise UsageError(f"--port must be from 0 (any that is free) to 65535, but got {port}.")
    try:
        import optuna_dashboard  # noqa: F401
    except ImportError:
        raise UsageError(
            "dashboard needs optuna-dashboard: `pip install 'pennyweight[dashboard]'`."
        ) from None
    with (
        tempfile.TemporaryDirectory(prefix="pennyweight-") as folder,
        contextlib.suppress(KeyboardInterrupt),  # which is how it ends
    ):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the folder would be left
        copy = StudyCopy(runs, name, Path(folder) / "study.db")
        app = _guarded(_reading(copy, Path(folder) / "study.db"), host)
        with _listening(host, port, app) as server:
            ready(f"http://{host}:{server.server_port}/")
            server.serve_forever()


def _reading(copy: StudyCopy, path: Path) -> WSGIApplication:
    """The dashboard, which answers what reads and refuses what writes."""
    import optuna_dashboard
    from optuna.storages import RDBStorage

    page = optuna_dashboard.wsgi(RDBStorage(f"sqlite:///{path}"))

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status = HTTPStatus.FORBIDDEN
            start_response(
                f"{status.value} {status.phrase}", [("Content-Type", "application/json")]
            )
            return [json.dumps({"reason": "This page only shows the study."}).encode()]
        with contextlib.suppress(UsageError, OSError):  # as it was, where it cannot be read now
            copy.refresh()
        return page(environ, start_response)

    return answer


def _guarded(app: WSGIApplication, host: str) -> WSGIApplication:
    """The application for requests that are meant for this machine (see `results.hosts`)."""
    loopback = host == "localhost" or host.startswith("127.")

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if may_answer(environ.get("HTTP_HOST", ""), {host.lower()}, loopback=loopback):
            return app(environ, start_response)
        status = HTTPStatus.MISDIRECTED_REQUEST
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
        return [json.dumps({"reason": "This page is not at that address."}).encode()]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    """Answers while it still computes something else."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Prints no line for each request."""

    def log_message(self, format: str, *args: Any) -> None: ...


def _listening(host: str, port: int, app: WSGIApplication) -> _Server:
    try:
        return make_server(host, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise UsageError(
            f"The page cannot be served at {host}:{port} ({error.strerror}): choose another --port "
            "(0 is any that is free) or --host."
        ) from error
