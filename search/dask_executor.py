"""A Dask cluster as an executor of `concurrent.futures`.

The messages are pickles between the coordinator, the scheduler and the workers, which trust each
other. A worker is admitted before it gets a call: it has the coordinator's versions, has JAX
started and the data loaded (`dask_worker.py`), and then offers a Dask resource that every call
takes. So the scheduler does the rest: it waits for workers, hands a lost worker's call to another,
and tells an adaptive cluster how much there is to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import platform
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from distributed import Future as Remote
from distributed import KilledWorker

from pennyweight.arch.errors import RunError, UsageError, in_a_line
from pennyweight.search.dask_cluster import connect, start_here
from pennyweight.search.dask_worker import CALLS, CHECKED, Terms, admit
from pennyweight.search.device import Device
from pennyweight.search.executors import START_S, WorkersLost
from pennyweight.train.cores import available_cores
from pennyweight.train.native import native_digest
from pennyweight.train.sources import sources

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_EVERY_S = 0.5  # for workers that came or went; and 0.01 s more for each there is
_PATIENCE_S = 2.0  # before it is said that there is no worker
_END_S = 30.0  # a nanny has to end its worker, which takes one of Dask's 4 s if it is stopped


class DaskExecutor(Executor):
    """Runs calls on the workers of a Dask cluster, as many at a time as it has just now.

    A call whose worker is lost is run again by another, and gets `WorkersLost` where that happens
    too often: three times in a cluster started here, and once more than Dask's `allowed-failures`
    elsewhere. One that the scheduler lost gets it too. Workers may come and go; one that does not
    start in time is started again. Use it as a context manager.
    """

    def __init__(
        self,
        address: str | None,
        processes: int | None = None,
        workers: int | None = None,
        *,
        warm: Callable[[], object],
        device: Device,
        show: bool = True,
        start_s: float = START_S,
    ) -> None:
        """Connect to the scheduler at `address`, or start a cluster of `processes` here.

        `warm` runs once in each worker process, and has `start_s` seconds. `workers` is how many
        calls are handed out, whatever the cluster has: an adaptive one grows to it. `show` says on
        stderr what is waited for. Raises UsageError where nothing answers, or a worker that is
        there is not fit.
        """
        self._workers, self._show, self._start_s = workers, show, start_s
        self._ready, self._was_ready = 0, False  # admitted workers; whether there ever were any
        self._asked: dict[str, asyncio.Task[None]] = {}  # workers that are being admitted
        self._refused: dict[str, str] = {}  # why, in a line
        self._remotes: dict[Future[Any], Remote[Any]] = {}  # of calls that are on their way
        self._relays: set[Future[None]] = set()  # that wait for one of them
        self._running: dict[object, str] = {}  # keys of those that have begun, and where
        self._stopped: set[Future[Any]] = set()  # by `stop`
        self._landed: list[Remote[Any]] = []  # whose results the workers still keep
        self._lock, self._closed = threading.Lock(), False
        cores = available_cores()
        in_c = not device.accelerates and native_digest() is not None
        named = repr((device, warm, sources(), in_c, versions_here())).encode()
        self._terms = Terms(
            resource=f"pennyweight-{hashlib.sha256(named).hexdigest()[:12]}",
            device=device,
            sources=sources(),
            in_c=in_c,
            warm=warm,
            # As in the local executor: pinned where there is one for each.
            cores=tuple(cores) if processes == len(cores) and not device.accelerates else (),
        )
        self._stack = ExitStack()
        try:
            self._client = connect(address) if address else start_here(processes or 1, self._stack)
            self._stack.callback(self._close_client)
            self._address: str = self._client.scheduler.addr  # type: ignore[union-attr]
            self._client.sync(self._first_look)
        except BaseException:
            self._stack.close()
            raise
        self._watching = self._on_loop(self._watch())

    @property
    def workers(self) -> int:
        """How many calls it pays to hand out; at least 1, for which a cluster may grow.

        Raises RunError when the scheduler is gone, and UsageError when no worker is fit.
        """
        self._check()
        return self._workers or max(1, self._ready)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a worker. Everything must pickle. Raises as `workers`."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit a call after the executor was shut down.")
            self._check()
            remote = self._client.submit(
                partial(fn, **kwargs) if kwargs else fn,
                *args,
                key=f"{getattr(fn, '__name__', 'call')}-{uuid4().hex}",
                pure=False,
                resources=self._terms.resources,
            )
            self._remotes[future] = remote
            landed, self._landed = self._landed, []
            for each in landed:  # not when they landed: the next message would wait 10 ms for that
                each.release()
        future.add_done_callback(partial(self._forget, remote))
        relay = self._on_loop(self._relay(remote, future))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        return future

    def runs(self, future: Future[Any]) -> bool:
        """Whether a worker runs the call of `future` just now, as it said with its last heartbeat.

        What waits in Dask's queue does not, nor what a lost worker ran.
        """
        remote = self._remotes.get(future)
        return remote is not None and remote.key in self._running

    def stop(self, future: Future[Any]) -> None:
        """End the worker that runs the call of `future`, which then gets `BrokenExecutor`."""
        remote = self._remotes.get(future)
        if remote is not None and (address := self._running.get(remote.key)):
            self._stopped.add(future)
            self._on_loop(self._stop(remote, future, address))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish what was submitted, then leave the cluster, or end it if it was started here.

        With `cancel_futures` nothing is waited for. A worker elsewhere ends what it runs by itself.
        """
        with self._lock:
            if self._closed:
                return
            self._closed, left = True, list(self._remotes)
        if cancel_futures:
            for future in left:
                future.cancel()
        if cancel_futures:
            self._finish([])
        elif wait:
            self._finish(left)
        else:
            threading.Thread(target=self._finish, args=(left,)).start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _finish(self, left: list[Future[Any]]) -> None:
        wait(left)
        for waiting in (self._watching, *list(self._relays)):  # or asyncio tells of each on stderr
            waiting.cancel()
        self._stack.close()

    def _close_client(self) -> None:
        with contextlib.suppress(Exception):  # of a scheduler that is gone
            self._client.close(timeout=_PATIENCE_S)

    def _check(self) -> None:
        if self._client.status == "closed":
            raise RunError(
                f"The Dask scheduler at {self._address} is gone: start it again, then go on with "
                "the study by the same command."
            )
        if self._refused and not (self._was_ready or self._asked):
            raise UsageError(next(iter(self._refused.values())))

    # On the client's event loop

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _relay(self, remote: Remote[Any], future: Future[Any]) -> None:
        """Hand what becomes of `remote` to `future`, once."""
        result, error = None, None
        try:
            result = await remote
        except (asyncio.CancelledError, CancelledError):  # the latter is Dask's
            if future in self._stopped:  # settled when its worker has ended
                return
            error = WorkersLost("the scheduler was lost, and the call with it.", 0)
        except KilledWorker as killed:
            times = killed.allowed_failures + 1
            error = WorkersLost(f"its worker was lost {times} times.", times)
        except BaseException as raised:
            error = raised
        self._landed.append(remote)
        if future.done() or not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _forget(self, remote: Remote[Any], future: Future[Any]) -> None:
        with self._lock:
            self._remotes.pop(future, None)
            self._stopped.discard(future)
        if future.cancelled() and self._client.status != "closed":
            self._on_loop(self._cancel(remote))

    async def _cancel(self, remote: Remote[Any]) -> None:
        await remote.cancel()

    async def _stop(self, remote: Remote[Any], future: Future[Any], address: str) -> None:
        """Take the call from its worker, end that, and only then hand out what became of it."""
        if future.done():  # the heartbeat was older than its result
            return
        try:
            await self._cancel(remote)  # or Dask would hand it to another
            await self._restart(address)
        finally:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(BrokenExecutor("its worker was ended."))

    async def _restart(self, address: str) -> None:
        """End a worker, whatever it is doing; its nanny, if it has one, starts another."""
        scheduler: Any = self._client.scheduler
        with contextlib.suppress(OSError):  # it is gone, or the scheduler is
            await scheduler.restart_workers(
                workers=[address],
                timeout=_END_S,
                wait_for_workers=False,
                on_error="return",
                stimulus_id=f"pennyweight-{uuid4().hex}",
            )

    async def _first_look(self) -> None:
        """Admit the workers that are there; UsageError where one of them is not fit."""
        self._loop = asyncio.get_running_loop()
        await self._look()
        await asyncio.gather(*self._asked.values())
        if self._refused:
            raise UsageError(next(iter(self._refused.values())))
        await self._look()

    async def _watch(self) -> None:
        """Follow the cluster: admit who comes, count who is there, and say when nobody is."""
        empty_for_s, said = 0.0, False
        while True:
            there = 0
            with contextlib.suppress(OSError):  # between two connections
                there = await self._look()
            pause_s = _LOOK_EVERY_S + there / 100
            empty_for_s = 0.0 if self._ready or self._asked else empty_for_s + pause_s
            if empty_for_s > _PATIENCE_S and not said and self._client.status == "running":
                self._say(f"waiting for a Dask worker at {self._address}")
            said = empty_for_s > _PATIENCE_S
            await asyncio.sleep(pause_s)

    async def _look(self) -> int:
        """How many workers there are; those that are new are being admitted from now on."""
        scheduler: Any = self._client.scheduler
        known = (await scheduler.identity(n_workers=-1))["workers"]
        # A restarted worker may have the address of the one before, but not its folder.
        workers = {f"{address} {each['local_directory']}": each for address, each in known.items()}
        fit = {key for key, each in workers.items() if self._terms.resource in each["resources"]}
        self._ready = len(fit)
        self._was_ready = self._was_ready or bool(fit)
        self._running = {
            key: address
            for address, each in known.items()
            for key in each["metrics"].get(CALLS, ())
        }
        self._refused = {key: line for key, line in self._refused.items() if key in workers}
        self._asked = {key: task for key, task in self._asked.items() if not task.done()}
        for key in workers.keys() - fit - self._refused.keys() - self._asked.keys():
            self._asked[key] = asyncio.create_task(self._admit(key))
        return len(workers)

    async def _admit(self, key: str) -> None:
        """Check the worker's versions before anything of ours is unpickled there, then the rest."""
        address = key.partition(" ")[0]
        scheduler: Any = self._client.scheduler
        ask = {"op": "versions", "packages": list(CHECKED)}
        limit = asyncio.timeout(self._start_s)
        try:
            async with limit:
                answers = await scheduler.broadcast(msg=ask, workers=[address])
                _check_versions(answers[address]["packages"])
                await self._client.run(admit, self._terms, workers=[address])
        except UsageError as error:
            self._refuse(key, f"The Dask worker at {address} {error}")
        except OSError:  # it left, and is asked again if it did not; or its time is over
            if limit.expired():
                late = f"took more than {self._start_s:g} s to start"
                self._say(f"The Dask worker at {address} {late}: it is started again.")
                await self._restart(address)
        except Exception as error:
            line = in_a_line(error).rstrip(".")
            self._refuse(key, f"The Dask worker at {address} must start, but: {line}: see to it.")

    def _refuse(self, key: str, line: str) -> None:
        self._refused[key] = line
        if self._was_ready:  # without it, this is why the command ends
            self._say(f"left out: {line}")

    def _say(self, line: str) -> None:
        if self._show:
            print(line, file=sys.stderr, flush=True)


def versions_here() -> dict[str, str]:
    """What must be the same in every worker, as Dask names it."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in CHECKED}


def _check_versions(theirs: Mapping[str, str | None]) -> None:
    """Raise UsageError where a worker's versions, as Dask tells them, are others than here."""
    for name, wanted in versions_here().items():
        found = theirs.get(name)
        if name == "python" and found:  # bug fixes change no result
            found = ".".join(found.split(".")[:2])
        if found != wanted:
            has = f"has {found}" if found else "has none"
            raise UsageError(
                f"must have the coordinator's {name} {wanted}, but {has}: install the same "
                "there, or stop that worker."
            )
