"""The Dask executor: what every executor must do, and what becomes of clusters' processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest
from clusters import Cluster, cluster
from started import started
from test_executors import (
    COUNT,
    Hangs,
    awaiting,
    count,
    executor_conformance,
    fail_unpicklably,
    gone,
    jax_threads,
    processes,
    script,
    until,
    wait_for,
)
from test_watchdog import looked, task

from pennyweight.arch.errors import RunError, UsageError
from pennyweight.search.dask_executor import DaskExecutor
from pennyweight.search.device import CPU, anywhere
from pennyweight.search.engine import Engine
from pennyweight.search.executors import MOST_ATTEMPTS, WorkersLost
from pennyweight.search.watchdog import Watchdog

SOON_S = 60.0  # starting a worker takes seconds, many on a busy machine


def nothing() -> None:
    """In place of the data and JAX."""


def read_what_is_not_there() -> None:
    Path("/proc/none").read_bytes()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def opened(
    engine: str, workers: int | None = None, *, warm: Callable[[], object] = nothing
) -> DaskExecutor:
    executor = Engine.of(engine).open(workers, warm=warm, device=CPU)
    assert isinstance(executor, DaskExecutor)
    return executor


def test_a_dask_cluster_started_here_conforms(tmp_path: Path) -> None:
    executor = opened("dask:local:2")
    assert executor.workers == 2
    executor_conformance(executor, 2, tmp_path, far=True)


@pytest.mark.extended
def test_a_dask_cluster_by_hand_conforms(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", workers=2) as by_hand:
        executor = opened(by_hand.executor)
        assert until(lambda: executor.workers == 2, SOON_S)
        executor_conformance(executor, 2, tmp_path, far=True)


@pytest.mark.extended
def test_each_worker_is_warmed_once_and_has_one_thread() -> None:
    assert next(COUNT) > 0  # this process counts by itself
    with opened("dask:local:1", warm=count) as executor:
        assert [executor.submit(count).result(SOON_S) for _ in range(2)] == [2, 3]
        assert executor.submit(jax_threads).result(SOON_S) == 1
        for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            assert executor.submit(os.getenv, name).result(SOON_S) == "1"
        assert executor.submit(os.getenv, "JAX_PLATFORMS").result(SOON_S) == "cpu"


@pytest.mark.extended
def test_the_call_of_a_killed_worker_is_run_by_another_and_lands_once(tmp_path: Path) -> None:
    with opened("dask:local:2") as executor:
        landed: list[object] = []
        future = executor.submit(wait_for, tmp_path / "gate")
        future.add_done_callback(landed.append)
        assert until(awaiting(tmp_path / "gate"), SOON_S)
        (mark,) = tmp_path.glob("gate-awaited-by-*")
        victim = int(mark.name.rpartition("-")[2])
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: len(list(tmp_path.glob("gate-awaited-by-*"))) == 2, SOON_S)
        (tmp_path / "gate").touch()
        assert future.result(SOON_S) != victim
        assert until(lambda: executor.workers == 2, SOON_S)  # its nanny started another
        assert landed == [future]


@pytest.mark.extended
def test_a_worker_lost_fifteen_seconds_after_another_is_replaced_as_well() -> None:
    """Just then Dask itself would close the nanny, who is starting the next one."""
    with opened("dask:local:1") as executor:
        first = executor.submit(os.getpid).result(SOON_S)
        lost_after = time.monotonic()
        os.kill(first, signal.SIGKILL)
        second = executor.submit(os.getpid).result(SOON_S)
        assert until(lambda: time.monotonic() - lost_after > 14.8, SOON_S)
        os.kill(second, signal.SIGKILL)
        assert executor.submit(os.getpid).result(SOON_S) != second


@pytest.mark.extended
def test_a_call_that_kills_every_worker_fails_in_the_end() -> None:
    with opened("dask:local:1") as executor:
        error = executor.submit(die).exception(120)
        assert isinstance(error, WorkersLost)
        assert error.workers == MOST_ATTEMPTS
        assert executor.submit(abs, -1).result(SOON_S) == 1


@pytest.mark.extended
@pytest.mark.parametrize("stopped", [False, True])
def test_a_call_that_hangs_is_ended_with_its_worker_and_not_run_again(
    stopped: bool, tmp_path: Path
) -> None:
    with opened("dask:local:2") as executor:
        watchdog = Watchdog(executor, 1_000, limit_s=2.0)
        hung = executor.submit(wait_for, tmp_path / "never")
        watchdog.begin(hung, [task()], 1)
        assert until(lambda: executor.runs(hung), SOON_S)
        (mark,) = tmp_path.glob("never-awaited-by-*")
        worker = int(mark.name.rpartition("-")[2])
        if stopped:
            os.kill(worker, signal.SIGSTOP)
        watchdog.look()
        assert not hung.done()
        assert until(looked(watchdog, hung), SOON_S)
        assert isinstance(hung.exception(), BrokenExecutor)
        assert not isinstance(hung.exception(), WorkersLost)
        assert watchdog.end(hung) == 2.0
        assert gone(worker)
        assert executor.submit(abs, -3).result(SOON_S) == 3
        assert until(lambda: executor.workers == 2, SOON_S)
        assert list(tmp_path.glob("never-awaited-by-*")) == [mark]


@pytest.mark.extended
def test_what_waits_in_dasks_queue_has_not_begun(tmp_path: Path) -> None:
    with opened("dask:local:1") as executor:
        first, second = (executor.submit(wait_for, tmp_path / name) for name in "ab")
        assert until(lambda: executor.runs(first), SOON_S)
        assert not until(lambda: executor.runs(second), 2)
        (tmp_path / "a").touch()
        assert until(lambda: executor.runs(second), SOON_S)
        assert not executor.runs(first)
        (tmp_path / "b").touch()
        assert second.result(SOON_S)


@pytest.mark.extended
def test_a_worker_that_hangs_as_it_starts_is_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warm = Hangs(tmp_path, first=True)
    with DaskExecutor(None, 1, warm=warm, device=CPU, start_s=10) as executor:
        assert executor.submit(abs, -3).result(SOON_S) == 3
    assert "took more than 10 s to start: it is started again." in capsys.readouterr().err


@pytest.mark.extended
def test_workers_may_come_late_and_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with cluster(tmp_path / "cluster") as by_hand, opened(by_hand.executor) as executor:
        assert executor.workers == 1  # what there is to do, a cluster may grow for
        future = executor.submit(os.getpid)
        assert until(lambda: "waiting" in capsys.readouterr().err)
        by_hand.start_worker()
        assert future.result(SOON_S) > 0
        by_hand.start_worker()
        assert until(lambda: executor.workers == 2, SOON_S)
        by_hand.processes[1].terminate()
        assert until(lambda: executor.workers == 1, SOON_S)
        assert executor.submit(abs, -2).result(SOON_S) == 2


@pytest.mark.extended
def test_workers_that_are_not_fit_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(by_hand: Cluster) -> str:
        with pytest.raises(UsageError) as caught, opened(by_hand.executor) as executor:
            until(lambda: executor.workers == 0, SOON_S)  # it is looked at when it has come
        return str(caught.value)

    with cluster(tmp_path / "threads") as by_hand:
        by_hand.start_worker(threads=2)
        assert "must run one call at a time, but has 2 threads: start it" in refused(by_hand)
    with cluster(tmp_path / "versions") as by_hand:
        by_hand.start_worker(path=another_version("optax", "0.0.1", tmp_path))
        line = refused(by_hand)
        assert "must have the coordinator's optax 0." in line
        assert "but has 0.0.1: install the same there" in line
        by_hand.start_worker()
        by_hand.start_worker()
        by_hand.processes[1].terminate()
        by_hand.processes[1].wait(SOON_S)
        with opened(by_hand.executor) as executor:
            assert executor.submit(abs, -1).result(SOON_S) == 1
            by_hand.start_worker(path=another_version("jax", "0.0.2", tmp_path))
            assert until(lambda: "left out: The Dask" in capsys.readouterr().err, SOON_S)
            assert executor.submit(abs, -2).result(SOON_S) == 2
            # Those that were fit may come back: a search is not over because they are restarted.
            for fit in by_hand.processes[2:4]:
                fit.terminate()
            assert until(lambda: "waiting" in capsys.readouterr().err, SOON_S)
            assert executor.workers == 1
            by_hand.start_worker()
            assert executor.submit(abs, -3).result(SOON_S) == 3


@pytest.mark.extended
def test_a_script_without_a_main_guard_gets_one_line(tmp_path: Path) -> None:
    text = """
from pennyweight.search import search

search("digits", max_params=60, trials=1, executor="dask:local:1", progress=False)
"""
    command = [sys.executable, script(tmp_path, text)]
    process = started(
        subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    assert '`if __name__ == "__main__":`' in err
    assert until(lambda: not processes(process.pid), 10)


@pytest.mark.extended
def test_a_gpu_is_what_a_worker_was_started_with(tmp_path: Path) -> None:
    with cluster(tmp_path, workers=1) as by_hand:
        gpu = anywhere("gpu")
        with (
            pytest.raises(UsageError, match="must offer a GPU for --device gpu, but offers none"),
            Engine.of(by_hand.executor).open(None, warm=nothing, device=gpu) as executor,
        ):
            until(lambda: executor.workers == 0, SOON_S)


@pytest.mark.extended
@pytest.mark.parametrize(
    ("warm", "kind"),
    [(fail_unpicklably, "NeedsTwo"), (read_what_is_not_there, "FileNotFoundError")],
)
def test_what_warming_raises_refuses_the_worker(warm: Callable[[], object], kind: str) -> None:
    with pytest.raises(UsageError, match=rf"must start, but: .*{kind}"):
        opened("dask:local:1", warm=warm)


@pytest.mark.extended
def test_a_scheduler_that_is_gone_ends_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask.config

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        cluster(tmp_path / "cluster", workers=1) as by_hand,
        opened(by_hand.executor) as executor,
    ):
        future = executor.submit(wait_for, tmp_path / "gate")
        assert until(awaiting(tmp_path / "gate"), SOON_S)
        by_hand.processes[0].kill()
        assert "the scheduler was lost" in str(future.exception(SOON_S))
        with pytest.raises(RunError, match=r"is gone: start it again, then go on"):
            until(lambda: executor.workers == 0, SOON_S)


def another_version(name: str, version: str, folder: Path) -> Path:
    """A folder for PYTHONPATH in which the distribution `name` says that it is `version`."""
    metadata = folder / f"{name}-{version}" / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return metadata.parent
