"""The watchdog over real processes: what hangs is ended, and nothing else."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from test_executors import awaiting, gone, until, wait_for

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.notation import parse
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.watchdog import LEAST_S, TIMES, Watchdog
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task

NETWORK = parse("m2 c4r A d10+", (8, 8, 1), 10)
LARGE = parse("c64br c64br A d10+", (28, 28, 1), 10)


def task(architecture: Architecture = NETWORK, epochs: int = 1) -> Task:
    candidate = Candidate(architecture=architecture, recipe=Recipe(), seed=0)
    return Task(
        source="digits",
        split_seed=0,
        candidate=candidate,
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )


def looked(watchdog: Watchdog, future: Future[Any]) -> Callable[[], bool]:
    def look() -> bool:
        watchdog.look()
        return future.done()

    return look


def test_a_stopped_worker_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    with LocalExecutor(2) as executor:
        watchdog = Watchdog(executor, 1_000, limit_s=2.0)
        hung = executor.submit(wait_for, tmp_path / "never")
        watchdog.begin(hung, [task()], 1)
        assert until(awaiting(tmp_path / "never"), 60)
        (mark,) = tmp_path.glob("never-awaited-by-*")
        os.kill(int(mark.name.rpartition("-")[2]), signal.SIGSTOP)
        watchdog.look()
        assert not hung.done()
        other = executor.submit(abs, -3)
        assert until(looked(watchdog, hung), 60)
        assert isinstance(hung.exception(), BrokenProcessPool)
        assert watchdog.end(hung) == 2.0
        assert other.result(60) == 3
        assert executor.submit(abs, -4).result(60) == 4, "a new worker takes its place"


def test_what_comes_back_in_time_was_not_stopped() -> None:
    with LocalExecutor(1) as executor:
        watchdog = Watchdog(executor, 1_000, limit_s=60.0)
        future = executor.submit(time.sleep, 0.2)
        watchdog.begin(future, [task()], 1)
        assert until(looked(watchdog, future), 60)
        assert watchdog.end(future) is None


def test_the_time_that_workers_take_to_start_is_no_rungs() -> None:
    """Neither at first, nor where the place of a lost one gets another with the next call."""
    with LocalExecutor(1, warm=partial(time.sleep, 3)) as executor:
        watchdog = Watchdog(executor, 1_000, limit_s=1.0)
        for _ in range(2):
            future = executor.submit(os.getpid)
            watchdog.begin(future, [task()], 1)
            assert until(looked(watchdog, future), 60)
            assert watchdog.end(future) is None
            os.kill(worker := future.result(), signal.SIGKILL)
            assert until(lambda worker=worker: gone(worker))


def limit_s(watchdog: Watchdog, tasks: list[Task], attempt: int = 1) -> float:
    future: Future[Any] = Future()
    watchdog.begin(future, tasks, attempt)
    return watchdog._calls.pop(future).limit_s


def test_the_limit_grows_with_the_work_and_with_each_attempt() -> None:
    with LocalExecutor(1) as executor:
        watchdog = Watchdog(executor, 60_000)
        one, more = limit_s(watchdog, [task(LARGE)]), limit_s(watchdog, [task(LARGE)] * 8)
        assert LEAST_S < one < more
        assert limit_s(watchdog, [task(LARGE, epochs=3)]) > 2 * one
        assert limit_s(watchdog, [task(LARGE)], attempt=2) == 2 * one


def test_the_limit_is_ten_times_what_comparable_rungs_took() -> None:
    with LocalExecutor(1) as executor:
        watchdog = Watchdog(executor, 60_000)
        future = executor.submit(time.sleep, 1.5)
        watchdog.begin(future, [task(LARGE)], 1)
        assert until(looked(watchdog, future), 60)
        watchdog.end(future)
        # In the proportion of their work: a thousand times as much may take as much longer.
        took = limit_s(watchdog, [task(LARGE, epochs=1_000)]) / TIMES / 1_000
        assert 0.5 < took < 3


def test_time_in_which_the_search_itself_was_stopped_does_not_count(tmp_path: Path) -> None:
    with LocalExecutor(1) as executor:
        watchdog = Watchdog(executor, 1_000, limit_s=4.5)
        future = executor.submit(wait_for, tmp_path / "gate")
        watchdog.begin(future, [task()], 1)
        assert until(awaiting(tmp_path / "gate"), 60)
        watchdog.look()
        time.sleep(6)  # nobody looked: each of the two looks counts 2 s at most
        watchdog.look()
        assert not until(future.done, 0.5)
        (tmp_path / "gate").touch()
        assert future.result(60)
        assert watchdog.end(future) is None


def test_a_rung_took_no_longer_because_the_search_itself_was_stopped() -> None:
    with LocalExecutor(1) as executor:
        watchdog = Watchdog(executor, 60_000)
        future = executor.submit(time.sleep, 5)
        watchdog.begin(future, [task(LARGE)], 1)
        assert until(lambda: executor.runs(future), 60)
        watchdog.look()
        future.result(60)  # nobody looked
        watchdog.look()
        watchdog.end(future)
        assert limit_s(watchdog, [task(LARGE, epochs=1_000)]) / TIMES / 1_000 < 3
