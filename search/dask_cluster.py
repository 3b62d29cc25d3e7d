"""A client of a Dask cluster: of one elsewhere, or of one started here, which nobody else hears."""

from __future__ import annotations

import asyncio
import logging
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import resource_tracker

import dask.config
from dask.utils import parse_timedelta
from distributed import Client, LocalCluster, Security
from distributed.comm.core import connect as connect_comm
from distributed.versions import VersionMismatchWarning

from pennyweight.arch.errors import RunError, UsageError, in_a_line
from pennyweight.search import guard
from pennyweight.search.executors import MOST_ATTEMPTS, START_S
from pennyweight.search.worker import Worker

_LOOPBACK = "127.0.0.1"
_TLS = "distributed.comm.tls"
_LEANER = {
    # It looks at what a worker does every 10 ms, for a dashboard that nobody has.
    "distributed.worker.profile.enabled": False,
    # To give memory back at once, and ask for it again, took a third of a short rung's CPU time.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.scheduler.allowed-failures": MOST_ATTEMPTS - 1,  # as in the local executor
    # So long after a worker was lost its nanny would be closed, if its next one is lost just then.
    "distributed.deploy.lost-worker-timeout": "365d",
}


def connect(address: str) -> Client:
    """A client of the scheduler at `address`; certificates are those of Dask's configuration.

    Raises UsageError where none answers within Dask's own patience, 30 seconds unless configured.
    """
    be_quiet()
    if address.startswith("tls:"):
        _check_certificates()
    reason = "there is no answer"
    try:
        with ThreadPoolExecutor(1) as thread:  # this one may have a running loop, in a notebook
            thread.submit(asyncio.run, _shake_hands(address)).result()
        return Client(address, set_as_default=False)
    except OSError as error:  # and its kind TimeoutError
        # Of TLS, its kind alone: what was configured may be a key itself.
        reason = type(error).__name__ if address.startswith("tls:") else reason
    except Exception as error:
        reason = type(error).__name__
    raise UsageError(
        f"--executor must name a Dask scheduler that answers, but {address} does not ({reason}): "
        "start one there, or see to the address and the network."
    )


def start_here(processes: int, stack: ExitStack) -> Client:
    """A client of a new cluster of single-threaded `processes`, which `stack` ends.

    It listens on the loopback interface alone, and talks TLS with certificates of its own: others
    on this machine can reach its ports, and whoever talks to a scheduler runs code.

    Raises `MainGuardError` as the local executor does, and RunError where Dask cannot start it.
    """
    be_quiet()
    probe = Worker(0, None)  # of a script without a main guard, Dask's own would print pages
    try:
        probe.wait_until_ready(START_S)
    finally:
        probe.close()
    guard.forget_stdin()
    # Ctrl-C is the coordinator's. The threads that start workers inherit this mask, and they do;
    # the tracker's start would unblock it.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    anywhere = f"{_LOOPBACK}:0"  # without one, Dask listens on every interface
    stack.enter_context(dask.config.set(_LEANER))
    try:
        cluster = LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            host=_LOOPBACK,
            dashboard_address=anywhere,
            security=True,
            silence_logs=logging.CRITICAL,
        )
        stack.enter_context(cluster)
        return Client(cluster, set_as_default=False, direct_to_workers=True)
    except RuntimeError as error:
        line = in_a_line(error).rstrip(".")
        raise RunError(
            f"The local Dask cluster did not start ({line}): see to that, then give the same "
            "command."
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def be_quiet() -> None:
    """Keep Dask's log and its warnings of versions, which are checked here, from the terminal."""
    for name in [*logging.root.manager.loggerDict]:
        if name.partition(".")[0] == "distributed":  # some have levels of their own
            logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)


async def _shake_hands(address: str) -> None:
    """Raise OSError where none does at `address`: a client would wait for one for ever."""
    patience_s = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
    arguments = Security().get_connection_args("client")
    # The connection has this patience for itself.
    comm = await asyncio.wait_for(connect_comm(address, **arguments), patience_s + 1)
    comm.abort()


def _check_certificates() -> None:
    """Raise UsageError unless Dask's configuration has what a client needs for TLS."""
    needed = {"ca-file": "a CA", "client.cert": "a certificate", "client.key": "its key"}
    for name, what in needed.items():
        if not dask.config.get(f"{_TLS}.{name}", default=None):
            variable = "DASK_" + f"{_TLS}.{name}".upper().replace(".", "__").replace("-", "_")
            raise UsageError(
                f"dask:tls:// needs {what}, but Dask's configuration names none: set {variable} "
                f"or {_TLS}.{name} in ~/.config/dask/."
            )
    try:
        Security().get_connection_args("client")
    except Exception as error:  # which may quote what was configured, and that may be a key
        raise UsageError(
            "dask:tls:// needs a CA, a certificate and its key in PEM files that can be read, but "
            f"those of Dask's configuration ({_TLS}) cannot be used ({type(error).__name__}): see "
            "to them."
        ) from None
