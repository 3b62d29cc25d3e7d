"""Rungs whose worker hangs: how long one may take, and what ends those that take longer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pennyweight.arch.cost import training_macs
from pennyweight.search.grouping import COMPILE_S, training_s
from pennyweight.train.rung import Task

LEAST_S = 60.0  # a limit that is measured is never shorter
TIMES = 10  # as long as the slowest of the comparable rungs before
RECENT = 50  # rungs that are compared with
_FIRST = 10  # times as long as on the machine of `grouping.py`, until the first rung is back
_LOOK_S = 0.5
_SLICE_S = 2.0  # of one look at most: the coordinator was stopped, or the machine slept, if longer


@runtime_checkable
class Stops(Protocol):
    """An executor that knows which calls run, and can end their workers."""

    def runs(self, future: Future[Any]) -> bool:
        """Whether a worker, which has started, runs the call just now."""
        ...

    def stop(self, future: Future[Any]) -> None:
        """End the worker of the call, which then gets `BrokenExecutor`."""
        ...


@dataclass
class _Call:
    work_s: float  # what it takes on the machine of `grouping.py`
    limit_s: float
    ran_s: float = 0.0  # as far as it was seen, in one worker
    stopped: bool = False


@dataclass
class Watchdog:
    """Has an executor end the calls that take too long.

    Without a `limit_s` of the user's, a rung may take ten times as long as the slowest of the last
    50, in proportion to its epochs and multiply-accumulates. Counted is the time in which a worker
    has it and the coordinator was awake: nothing is ended because it waited for a worker, one had
    to start, a terminal stopped the search or a clock jumped. How long a worker may take to start
    is the executor's to say.
    """

    executor: Executor  # whose calls have no limit unless it is one that `Stops`
    examples: int  # pictures of an epoch
    limit_s: float | None = None
    _calls: dict[Future[Any], _Call] = field(default_factory=dict)
    _ratios: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _looked: float = field(default_factory=time.monotonic)

    def begin(self, future: Future[Any], tasks: Sequence[Task], attempt: int) -> None:
        """Watch what was just submitted, for the `attempt`-th time: each may take twice as long."""
        work_s = COMPILE_S + sum(self._work_s(task) for task in tasks)
        slowest = TIMES * max(self._ratios, default=_FIRST) * work_s * 2 ** (attempt - 1)
        self._calls[future] = _Call(work_s, self.limit_s or max(LEAST_S, slowest))

    def end(self, future: Future[Any]) -> float | None:
        """It is done. The limit that it was stopped at; None where it was not stopped."""
        call = self._calls.pop(future)
        if call.stopped:
            return call.limit_s
        if call.ran_s and future.exception() is None:
            self._ratios.append(call.ran_s / call.work_s)
        return None

    def wait(self, *looks: Callable[[], None], more: Callable[[], bool]) -> set[Future[Any]]:
        """The calls that are done, once one is; none where, sooner, there is `more` to hand out.

        Every half second, and where one is done, what takes too long is ended, and each of `looks`
        is called.
        """
        while True:
            # In slices: on some platforms an uninterruptible wait would hold back Ctrl-C.
            done = wait(self._calls, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
            self.look()
            for look in looks:
                look()
            if done or more():
                return done

    def look(self) -> None:
        """Have ended what takes too long. To be called every half second, whatever comes back."""
        now = time.monotonic()
        awake_s, self._looked = min(now - self._looked, _SLICE_S), now
        if not isinstance(self.executor, Stops):
            return
        for future, call in self._calls.items():
            if future.done():
                continue
            # Of a worker that was lost it may be handed to another, from its beginning.
            call.ran_s = call.ran_s + awake_s if self.executor.runs(future) else 0.0
            if call.ran_s > call.limit_s and not call.stopped:
                call.stopped = True
                self.executor.stop(future)

    def _work_s(self, task: Task) -> float:
        network = task.frame or task.candidate.architecture
        return training_s(training_macs(network), self.examples, task.to_epoch - task.from_epoch)
