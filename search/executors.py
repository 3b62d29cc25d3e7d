"""Where the work of a search runs: executors of `concurrent.futures` (PEP 3148)."""

import contextlib
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import RawValue
from queue import SimpleQueue
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from pennyweight.arch.errors import UsageError
from pennyweight.search.device import CPU, Device
from pennyweight.search.guard import refuse_nested
from pennyweight.search.worker import Worker
from pennyweight.train.cores import available_cores, core_count
from pennyweight.train.rung import out_of_memory

P = ParamSpec("P")
T = TypeVar("T")

MOST_CALLS = 1_000  # of one worker: in days, what libraries never give back would add up
MOST_ATTEMPTS = 3  # at one call, when workers die of it
START_S = 600.0  # to import and to load the data takes seconds; minutes on a cluster's slow disk
_LEAST_START_S = 60.0  # or ten times as long as another worker took, where that is more


class WorkersLost(BrokenExecutor):
    """What a call gets for which not one worker was lost, but `workers`."""

    def __init__(self, message: str, workers: int) -> None:
        super().__init__(message)
        self.workers = workers


@dataclass(frozen=True, kw_only=True)
class _Call:
    future: Future[Any]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(kw_only=True, eq=False)
class _Slot:
    """A worker, its successors, and the thread that talks to them."""

    index: int
    core: int | None
    worker: Worker
    warm: bool = False  # whether this worker has run the executor's `warm`
    calls: int = 0  # that this worker has run
    running: Future[Any] | None = None  # of the call that it has
    inbox: SimpleQueue[_Call | None] = field(default_factory=SimpleQueue)  # None: no more calls
    thread: threading.Thread | None = None


def workers_lost(error: BrokenExecutor) -> int:
    """For how many attempts a call counts that got `error`."""
    return error.workers if isinstance(error, WorkersLost) else 1


class LocalExecutor(Executor):
    """Spawned worker processes on this machine, by default single-threaded, one per core.

    A worker that is busy while others idle gets their threads, for its kernels in C. On an
    accelerator there is one, which has all of it and as many threads as it likes.

    A call goes to the worker that was freed last, so that what it compiled is used again, and
    waits if none is free. If a worker is lost (killed, out of memory), the call it ran gets
    `BrokenProcessPool`, no other call is disturbed, and its place gets a new one with the next
    call. One that does not start in time is killed, and one that has run `MOST_CALLS` is replaced
    too. No worker outlives the coordinator, even a killed one.

    Use it as a context manager; left through an exception, it stops the workers at once.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        warm: Callable[[], object] | None = None,
        device: Device | None = None,
        start_s: float = START_S,
    ) -> None:
        """Start the processes; return when they are known to start.

        `warm` runs once in each new worker before its first call, from now on and in the
        background: to import JAX, say. What it raises, the call that waits for it gets. Until the
        worker takes calls, and then for `warm`, it has `start_s` seconds, or a minute once another
        has started in a tenth of that.

        On `device` JAX runs there; where it is None, on what `JAX_PLATFORMS` names, or the CPU.

        Raises `MainGuardError` if a script starts this outside its main block.
        """
        refuse_nested()
        if workers is not None and workers < 1:
            raise UsageError(
                f"`workers` must be at least 1, but got {workers}; leave it out for one per core."
            )
        cores, where = available_cores(), device or CPU
        workers = worker_count(workers, where)
        # With fewer workers than cores, two searches would share the first cores and leave the
        # others idle.
        pinned = workers == len(cores) and not where.accelerates
        places: list[int | None] = [*cores] if pinned else [None] * workers
        self._warm = warm
        self._device = device
        self._start_s = start_s
        self._threads = RawValue(ctypes.c_int, 1)  # of each worker that is busy
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._free: list[_Slot] = []  # freed last, last
        self._slots: list[_Slot] = []
        self._closed = False
        self._killing = False
        try:
            for index, core in enumerate(places):
                self._slots.append(_Slot(index=index, core=core, worker=self._start(index, core)))
            self._wait_for_first()  # the others import the same script
        except BaseException:
            self._kill_workers()
            for slot in self._slots:
                slot.worker.close()
            raise
        for slot in self._slots:
            slot.thread = threading.Thread(target=self._serve, args=(slot,), daemon=True)
            slot.thread.start()

    def _start(self, index: int, core: int | None) -> Worker:
        return Worker(index, core, self._device, self._threads)

    def _wait_for_first(self) -> None:
        """Return when a worker has started; where one was killed or hung as it did, the next."""
        slot = self._slots[0]
        with contextlib.suppress(BrokenProcessPool):
            return slot.worker.wait_until_ready(self._start_s)
        slot.worker.close()
        slot.worker = self._start(slot.index, slot.core)
        slot.worker.wait_until_ready(self._start_s)

    @property
    def workers(self) -> int:
        """How many calls run at a time."""
        return len(self._slots)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a worker. Everything must pickle."""
        call = _Call(future=Future(), fn=fn, args=args, kwargs=kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit a call after the executor was shut down.")
            if self._free:
                self._free.pop().inbox.put(call)
            else:
                self._waiting.append(call)
        return call.future

    def runs(self, future: Future[Any]) -> bool:
        """Whether a worker, which has started, runs the call of `future` just now."""
        return any(slot.running is future and slot.warm for slot in self._slots)

    def stop(self, future: Future[Any]) -> None:
        """Kill the worker that runs the call of `future`, which gets `BrokenProcessPool`."""
        with self._lock:
            for slot in self._slots:
                if slot.running is future:
                    slot.worker.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish what was submitted, then end the workers.

        With `cancel_futures`, cancel the calls that wait and, beyond PEP 3148, kill the workers
        of those that run, whose futures get `BrokenProcessPool`.
        """
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
            cancelled: list[_Call] = []
            if cancel_futures:
                self._killing = True
                self._kill_workers()
                cancelled.extend(self._waiting)
                self._waiting.clear()
            self._end_starting()
        for slot in free:
            slot.inbox.put(None)
        for call in cancelled:
            if call.future.cancel():
                call.future.set_running_or_notify_cancel()  # wakes `wait` and `as_completed`
        if wait:
            for slot in self._slots:
                if slot.thread is not None:
                    slot.thread.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_futures=error is not None)

    def _kill_workers(self) -> None:
        for slot in self._slots:
            slot.worker.kill()

    def _end_starting(self) -> None:
        """Kill, where nothing is left to do, the workers that would start for nothing; locked."""
        if self._closed and not self._waiting:
            for slot in self._slots:
                if slot.running is None and not slot.warm:
                    slot.worker.kill()

    def _serve(self, slot: _Slot) -> None:
        """Run one call after the other in the slot's worker, then end that."""
        with contextlib.suppress(Exception):  # the first call tries again, and gets the error
            self._prepare(slot)
        while (call := self._next(slot)) is not None:
            self._run(call, slot)
            del call  # or its arguments and its result live until the next one
        slot.worker.close()

    def _next(self, slot: _Slot) -> _Call | None:
        """Wait for a call; None if there will be none."""
        while True:
            with self._lock:
                call = self._waiting.popleft() if self._waiting else None
                if call is None and self._closed:
                    self._end_starting()
                    return None
                if call is None:
                    self._free.append(slot)
            if call is None:
                call = slot.inbox.get()
            if call is None or call.future.set_running_or_notify_cancel():
                return call

    def _run(self, call: _Call, slot: _Slot) -> None:
        self._note(slot, call.future)
        try:
            self._prepare(slot)
            result = slot.worker.call(call.fn, call.args, call.kwargs)
        except BaseException as error:
            if out_of_memory(error):  # what it holds would be missing at the next call too
                slot.worker.kill()
                slot.worker.close()
            self._note(slot, None)
            call.future.set_exception(error)
        else:
            self._note(slot, None)
            call.future.set_result(result)
            slot.calls += 1
            if slot.calls == MOST_CALLS:
                slot.worker.close()

    def _note(self, slot: _Slot, running: Future[Any] | None) -> None:
        """What the slot's worker runs from now on; all workers that run something share threads."""
        with self._lock:
            slot.running = running
            busy = sum(slot.running is not None for slot in self._slots)
            cores = min(len(self._slots), core_count())
            self._threads.value = max(1, cores // max(busy, 1))

    def _prepare(self, slot: _Slot) -> None:
        """Make the slot's worker alive, ready and warm."""
        if not slot.worker.alive():
            slot.worker.close()
            with self._lock:  # a shutdown either sees the new worker or prevents it
                unneeded = self._closed and slot.running is None and not self._waiting
                if self._killing or unneeded:
                    raise BrokenProcessPool("the executor was shut down before this call ran.")
                slot.worker = self._start(slot.index, slot.core)
                slot.warm, slot.calls = False, 0
        if slot.warm:
            return
        began = time.monotonic()
        slot.worker.wait_until_ready(self._start_s)
        if self._warm is not None:
            slot.worker.call(self._warm, (), {}, self._start_s)
        slot.warm = True
        usual_s = max(_LEAST_START_S, 10 * (time.monotonic() - began))
        self._start_s = min(self._start_s, usual_s)


def check_workers(workers: int | None, device: Device) -> None:
    """Raise UsageError where `device` does not take so many worker processes."""
    if device.accelerates and workers is not None and workers > 1:
        raise UsageError(
            f"--workers must be 1 on a {device.kind.upper()}, because each would claim most of its "
            f"memory, but got {workers}: leave it out, or use --device cpu."
        )


def worker_count(workers: int | None, device: Device) -> int:
    """`workers`; where it is None one per core, and one on an accelerator. As `check_workers`."""
    check_workers(workers, device)
    return workers or (1 if device.accelerates else core_count())
