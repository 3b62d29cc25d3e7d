"""A worker process as its coordinator sees it.

Why not a `ProcessPoolExecutor` of one process: killed while it wrote a result, it left its future
unresolved for ever (7 of 7 tries, Python 3.11), because the pool holds the writing end of the
result pipe too. A coordinator of ours holds only its own end: a lost worker is an end of file.
"""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any

from pennyweight.search import guard, worker_main
from pennyweight.search.device import Device
from pennyweight.train.cores import available_cores

_PATIENCE_S = 1.0  # an idle worker with JAX loaded ends within 0.2 s


class Worker:
    """A spawned process that runs one call at a time. Only `kill` is for any thread."""

    def __init__(
        self,
        index: int,
        core: int | None,
        device: Device | None = None,
        threads: ctypes.c_int | None = None,
    ) -> None:
        """Start the process without waiting for it, pinned to `core` unless that is None.

        `device` and `threads`, in memory that processes share, are as for `worker_main.serve`.
        """
        guard.forget_stdin()
        # Its start unblocks SIGINT in this thread (Python 3.11), so not within `_bequeathed`.
        resource_tracker.ensure_running()
        spawn = multiprocessing.get_context("spawn")  # a forked JAX may deadlock
        self._ready = False
        self._pipe, far_end = spawn.Pipe()
        self._process = spawn.Process(
            target=worker_main.serve,
            args=(far_end, device, threads, available_cores()),
            name=f"{guard.WORKER_NAME}-{index}",
            daemon=True,  # an interpreter that exits without a shutdown ends it
        )
        with far_end, _bequeathed(core):
            self._process.start()

    def wait_until_ready(self, limit_s: float | None = None) -> None:
        """Return when the process has imported the script and takes calls.

        Raises `MainGuardError` if the script started a search on being imported, and
        `BrokenProcessPool` if the process ended for another reason, or was killed because that
        took longer than `limit_s`.
        """
        if self._ready:
            return
        try:
            self._receive(limit_s)
        except (EOFError, OSError):
            status = self._reap()
            if status == guard.REIMPORTED:
                raise guard.main_guard_error() from None
            raise BrokenProcessPool(
                f"a worker process ended while it started ({_ending(status)})."
            ) from None
        self._ready = True

    def call(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        limit_s: float | None = None,
    ) -> Any:
        """What `fn(*args, **kwargs)` returns or raises there.

        Raises `BrokenProcessPool` if the process is lost, or killed as for `wait_until_ready`.
        """
        request = pickle.dumps((fn, args, kwargs))
        try:
            self._pipe.send_bytes(request)
            answer = self._receive(limit_s)
        except (EOFError, OSError):
            raise BrokenProcessPool(
                f"the worker process was lost in the middle of a call ({_ending(self._reap())})."
            ) from None
        result, error = pickle.loads(answer)
        if error is not None:
            raise error
        return result

    def _receive(self, limit_s: float | None) -> bytes:
        if limit_s is not None and not self._pipe.poll(limit_s):
            self.kill()
            self._reap()
            raise BrokenProcessPool(f"a worker process took more than {limit_s:g} s to start.")
        return self._pipe.recv_bytes()

    def alive(self) -> bool:
        # Unlike `Process.is_alive`, this cannot take the exit status from a thread that waits.
        return not wait([self._process.sentinel], timeout=0)

    def kill(self) -> None:
        """End the process, whatever it is doing; from any thread.

        Without SIGTERM first: no worker handles it, and a stopped one would not even get it.
        """
        self._process.kill()

    def close(self) -> None:
        """End an idle process, gently if it can be."""
        self._pipe.close()
        self._reap()

    def _reap(self) -> int | None:
        """The exit status of a process that is ending; one that does not is killed."""
        self._process.join(_PATIENCE_S)
        self._process.kill()
        # Any `Process.start` polls all children: another thread may have taken the status and
        # not have stored it yet.
        deadline = time.monotonic() + _PATIENCE_S
        while self._process.exitcode is None and time.monotonic() < deadline:
            time.sleep(0.001)
        return self._process.exitcode


def _ending(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None or status >= 0:
        return f"exit status {'unknown' if status is None else status}"
    return f"signal {-status}, {signal.strsignal(-status)}"


@contextlib.contextmanager
def _bequeathed(core: int | None) -> Iterator[None]:
    """What a process started inside must have before it imports anything, so inherits from here.

    Its core, because the script it imports may start XLA, with as many threads as it sees cores;
    and no Ctrl-C, which is the coordinator's, and ends an importing worker in a traceback.
    """
    # Both belong to this thread, not to the whole coordinator.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    cores = None if core is None else os.sched_getaffinity(0)
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        yield
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
