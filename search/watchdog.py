"""Rungs whose worker hangs: how long one may take, and what ends those that take longer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pennyweight.arch.cost import cost
from pennyweight.search.grouping import COMPILE_S, training_s
from pennyweight.train.rung import Task

LEAST_S = 60.0  # a limit that is measured is never shorter
TIMES = 10  # as long as the slowest of the comparable rungs before
RECENT = 50  # rungs that are compared with
_FIRST = 10  # times as long as on the machine of `grouping.py`, until the first rung is back
_SLICE_S = 2.0  # of one look at most: the coordinator was stopped, or the machine slept, if longer


@runtime_checkable
class Stops(Protocol):
    """An executor that can end the worker of a call, which then gets `BrokenExecutor`."""

    def stop(self, future: Future[Any]) -> None: ...


@dataclass
class _Call:
    work_s: float  # what it takes on the machine of `grouping.py`
    limit_s: float
    awake_s: float = 0.0  # that it was seen running
    began: float | None = None  # when that was seen first
    stopped: bool = False


@dataclass
class Watchdog:
    """Has an executor end the calls that take too long.

    Without a `limit_s` of the user's, a rung may take ten times as long as the slowest of the last
    50, in proportion to its epochs and multiply-accumulates. Counted is the time in which the
    coordinator was awake: nothing is ended because a terminal stopped the search or a clock jumped.
    """

    executor: Executor
    examples: int  # pictures of an epoch
    limit_s: float | None = None
    _calls: dict[Future[Any], _Call] = field(default_factory=dict)
    _ratios: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _looked: float = field(default_factory=time.monotonic)
    _idle_s: float = 0.0  # that calls waited and nothing came back

    def begin(self, future: Future[Any], tasks: Sequence[Task], attempt: int) -> None:
        """Watch what was just submitted, for the `attempt`-th time: each may take twice as long."""
        work_s = COMPILE_S + sum(self._work_s(task) for task in tasks)
        slowest = TIMES * max(self._ratios, default=_FIRST) * work_s * 2 ** (attempt - 1)
        self._calls[future] = _Call(work_s, self.limit_s or max(LEAST_S, slowest))

    def end(self, future: Future[Any]) -> float | None:
        """It is done. The limit that it was stopped at; None where it was not stopped."""
        call = self._calls.pop(future)
        self._idle_s = 0.0
        if call.stopped:
            return call.limit_s
        if call.began is not None and future.exception() is None:
            self._ratios.append((time.monotonic() - call.began) / call.work_s)
        return None

    def look(self) -> None:
        """Have ended what takes too long, or what keeps all workers from beginning."""
        now = time.monotonic()
        awake_s, self._looked = min(now - self._looked, _SLICE_S), now
        for future, call in self._calls.items():
            if future.running():
                call.began = call.began or now
                call.awake_s += awake_s
                if call.awake_s > call.limit_s and not call.stopped:
                    call.stopped = self._stop(future)
        waiting = [future for future in self._calls if not future.running()]
        self._idle_s = self._idle_s + awake_s if len(waiting) == len(self._calls) else 0.0
        if waiting and self._idle_s > self._calls[waiting[0]].limit_s:
            self._idle_s = 0.0
            self._stop(waiting[0])

    def _stop(self, future: Future[Any]) -> bool:
        if not isinstance(self.executor, Stops):
            return False
        self.executor.stop(future)
        return True

    def _work_s(self, task: Task) -> float:
        network = task.frame or task.candidate.architecture
        return training_s(cost(network).macs, self.examples, task.to_epoch - task.from_epoch)
