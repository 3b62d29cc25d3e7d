"""Executors: what every one must do, and what becomes of the local one's processes."""

import concurrent.futures
import itertools
import logging
import operator
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from pennyweight.arch import native_library
from pennyweight.arch.errors import UsageError
from pennyweight.search.device import CPU, Device
from pennyweight.search.executors import MOST_CALLS, LocalExecutor
from pennyweight.train.lanes import device_name

CORES = sorted(os.sched_getaffinity(0))
CLEAN_UP_S = 5.0  # how long after its coordinator a process may live


# What runs in workers.


def wait_for(file: Path) -> int:
    """Wait until `file` exists; the worker's process id."""
    file.with_name(f"{file.name}-awaited-by-{os.getpid()}").touch()
    while not file.exists():
        time.sleep(0.005)
    return os.getpid()


def threads_while(file: Path) -> tuple[int, int]:
    """How many kernels may use at first, and once `file` exists."""
    ((threads, _),) = native_library._threads
    first = threads.value
    wait_for(file)
    return first, threads.value


def fail(message: str) -> None:
    raise LookupError(message)


class NeedsTwo(Exception):
    """An error that pickles but cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def fail_unpicklably() -> None:
    raise NeedsTwo("a", "b")


def make_lambda() -> Callable[[], None]:
    return lambda: None


def die_while_answering() -> bytes:
    """Let the next message end this process after its first bytes, as a kill just then would."""
    from multiprocessing.connection import Connection

    def send_a_part(self: Connection, data: Any) -> None:
        os.write(self.fileno(), bytes(data[:1000]))
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send = send_a_part  # type: ignore[attr-defined]
    return bytes(10_000)


def compute(started: Path) -> None:
    """A JAX computation that takes hours."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def run(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 1_000_000, lambda i, y: y @ x * 1e-3, x)

    compiled = run.lower(jnp.ones((1200, 1200))).compile()
    started.touch()
    compiled(jnp.ones((1200, 1200))).block_until_ready()


def compile_a_long_program(started: Path) -> None:
    """An XLA compilation of a minute or more, of what takes 0.2 s to trace."""
    import jax
    import jax.numpy as jnp

    def long(x: jax.Array) -> jax.Array:
        for i in range(400):
            x = jnp.tanh(x * i) @ x
        return x

    lowered = jax.jit(long).lower(jnp.ones((16, 16)))
    started.touch()
    lowered.compile()


def jax_threads() -> int:
    """How many threads XLA's pool has after a computation."""
    import jax.numpy as jnp

    x = jnp.ones((600, 600))
    (x @ x).block_until_ready()
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen")


def ignores_interrupts() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def chatter() -> None:
    print("to stdout")
    os.system("echo from a child process")
    warnings.warn("a warning", stacklevel=1)
    logging.getLogger("jax").warning("a log line")
    logging.getLogger("jax").error("an error line")


def run_out_of_memory() -> None:
    bytearray(2**62)


COUNT = itertools.count(1)


def count() -> int:
    """How often this was called in this process."""
    return next(COUNT)


# Helpers of the tests.


def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value


def awaiting(file: Path) -> Callable[[], bool]:
    return lambda: any(file.parent.glob(f"{file.name}-awaited-by-*"))


def gone(pid: int) -> bool:
    """Whether a process has ended, all its threads, though it may still wait to be reaped."""
    # The main thread may have ended while another one still holds the files open.
    try:
        stats = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return not Path(f"/proc/{pid}").exists()
    return all(stat.rpartition(")")[2].split()[0] in "ZX" for stat in stats)


def processes(session: int) -> list[str]:
    """The command lines of a session's processes that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session and not gone(int(folder.name)):
                command = (folder / "cmdline").read_text().replace("\0", " ")
                found.append(f"{folder.name}: {command}")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts Python in a session of its own; nothing of it is left after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for line in processes(process.pid):
            os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        process.communicate()


def script(folder: Path, text: str) -> str:
    (folder / "study.py").write_text(textwrap.dedent(text))
    return "study.py"


# Every executor.


def executor_conformance(
    executor: concurrent.futures.Executor,
    workers: int,
    folder: Path,
    *,
    far: bool = False,
) -> None:
    """What the study counts on; ends with the executor shut down. `workers` calls run at a time.

    One that is `far` does not know which calls have begun, and cancels by message.
    """
    # Results arrive, in any number, each in its own future.
    futures = {executor.submit(divmod, n, 7): n for n in range(40)}
    for future in concurrent.futures.as_completed(futures, timeout=60):
        assert future.result() == divmod(futures[future], 7)
    assert executor.submit(dict, [("a", 1)], b=2).result(60) == {"a": 1, "b": 2}
    assert list(executor.map(operator.sub, range(9), range(9)[::-1], timeout=60)) == [
        -8, -6, -4, -2, 0, 2, 4, 6, 8,
    ]  # fmt: skip

    # Exceptions arrive as what they were, and cost nothing else.
    failing = executor.submit(fail, "not there")
    with pytest.raises(LookupError, match="not there"):
        failing.result(60)
    assert isinstance(failing.exception(), LookupError)
    assert executor.submit(abs, -3).result(60) == 3

    # What waits can be cancelled; what runs cannot.
    gate = folder / "gate"
    running = [executor.submit(wait_for, gate) for _ in range(workers)]
    assert until(lambda: len(list(folder.glob("gate-awaited-by-*"))) == workers)
    waiting = [executor.submit(wait_for, folder / f"never-{n}") for n in range(3)]
    last = executor.submit(abs, -4)
    assert far or not running[0].cancel()
    assert all(future.cancel() and future.cancelled() for future in waiting)
    time.sleep(1.0 if far else 0.0)
    gate.touch()
    assert last.result(60) == 4
    assert len({future.result(60) for future in running}) == workers

    # A shutdown finishes what was submitted, and then nothing more is taken.
    left = [executor.submit(time.sleep, 0.05) for _ in range(2 * workers)]
    executor.shutdown()
    assert all(future.done() and future.exception() is None for future in left)
    with pytest.raises(RuntimeError, match="shut"):
        executor.submit(abs, 1)
    executor.shutdown()


def test_the_local_executor_conforms(tmp_path: Path) -> None:
    executor = LocalExecutor(2)
    assert executor.workers == 2
    executor_conformance(executor, 2, tmp_path)


# The local executor.


def test_the_worker_that_was_freed_last_is_used_next(tmp_path: Path) -> None:
    with LocalExecutor(3) as executor:
        gates = [tmp_path / f"gate-{n}" for n in range(3)]
        futures = [executor.submit(wait_for, gate) for gate in gates]
        assert all(until(awaiting(gate)) for gate in gates)
        freed = []
        for n in (1, 0, 2):
            gates[n].touch()
            freed.append(futures[n].result(60))
            time.sleep(0.05)  # the future is resolved just before its worker counts as free
        assert len(set(freed)) == 3
        for _ in range(3):
            assert executor.submit(os.getpid).result(60) == freed[-1]
            time.sleep(0.05)


def test_a_killed_worker_costs_only_the_call_it_ran(tmp_path: Path) -> None:
    with LocalExecutor(2) as executor:
        gates = [tmp_path / "a", tmp_path / "b"]
        first, second = (executor.submit(wait_for, gate) for gate in gates)
        assert all(until(awaiting(gate)) for gate in gates)
        waiting = [executor.submit(os.getpid) for _ in range(3)]
        (mark,) = tmp_path.glob("a-awaited-by-*")
        victim = int(mark.name.rpartition("-")[2])
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool, match="signal 9"):
            first.result(60)
        assert victim not in {future.result(60) for future in waiting}
        assert not second.done()
        gates[1].touch()
        assert second.result(60) != victim


def test_a_worker_that_is_lost_while_it_writes_its_result_is_noticed() -> None:
    with LocalExecutor(1) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(die_while_answering).result(20)
        assert executor.submit(abs, -1).result(20) == 1


def test_a_worker_that_is_killed_while_idle_costs_no_call() -> None:
    with LocalExecutor(1) as executor:
        victim = executor.submit(os.getpid).result(60)
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: gone(victim))
        assert executor.submit(os.getpid).result(60) != victim


def test_a_busy_worker_has_the_threads_of_those_that_idle(tmp_path: Path) -> None:
    with LocalExecutor(len(CORES)) as executor:
        alone = executor.submit(threads_while, tmp_path / "one")
        until(awaiting(tmp_path / "one"))
        others = [executor.submit(wait_for, tmp_path / "two") for _ in CORES[1:]]
        until(lambda: len(list(tmp_path.glob("two-awaited-*"))) == len(others))
        (tmp_path / "one").touch()
        assert alone.result() == (len(CORES), 1)
        (tmp_path / "two").touch()
        for other in others:
            other.result()
        killed = executor.submit(die_while_answering)
        with pytest.raises(BrokenProcessPool):
            killed.result()
        (tmp_path / "three").touch()
        last = executor.submit(threads_while, tmp_path / "three")
        assert last.result() == (len(CORES), len(CORES))


def test_threads_are_no_more_than_cores(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    with LocalExecutor(len(CORES) + 1) as executor:
        first = executor.submit(threads_while, tmp_path / "any")
        assert first.result() == (len(CORES), len(CORES))


def test_what_does_not_pickle_fails_alone_and_keeps_its_worker() -> None:
    with LocalExecutor(1) as executor:
        worker = executor.submit(os.getpid).result(60)
        with pytest.raises(Exception, match="pickle"):
            executor.submit(lambda: None).result(60)
        with pytest.raises(Exception, match="pickle"):
            executor.submit(make_lambda).result(60)
        with pytest.raises(RuntimeError, match="fail_unpicklably"):
            executor.submit(fail_unpicklably).result(60)
        assert executor.submit(os.getpid).result(60) == worker


def test_an_error_tells_where_in_the_worker_it_was_raised() -> None:
    with LocalExecutor(1) as executor:
        error = executor.submit(fail, "not there").exception(60)
    assert error is not None
    assert "raise LookupError(message)" in error.__notes__[0]


def test_each_new_worker_is_warmed_once_before_its_first_call() -> None:
    with LocalExecutor(1, warm=count) as executor:
        assert [executor.submit(count).result(60) for _ in range(2)] == [2, 3]
        os.kill(executor.submit(os.getpid).result(60), signal.SIGKILL)
        assert until(lambda: executor.submit(count).exception(60) is None)
        assert executor.submit(count).result(60) == 3


def test_what_warming_raises_reaches_the_call() -> None:
    with LocalExecutor(1, warm=fail_unpicklably) as executor:
        error = executor.submit(abs, 1).exception(60)
    assert isinstance(error, RuntimeError)
    assert "NeedsTwo" in str(error)


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused(workers: int) -> None:
    with pytest.raises(UsageError, match=f"`workers` must be at least 1, but got {workers}"):
        LocalExecutor(workers)


def test_there_is_one_worker_per_core_by_default_each_pinned_to_its_own(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    with LocalExecutor() as executor:
        assert executor.workers == len(CORES)
        futures = [executor.submit(wait_for, tmp_path / "gate") for _ in CORES]
        assert until(lambda: len(list(tmp_path.glob("*-awaited-by-*"))) == len(CORES))
        (tmp_path / "gate").touch()
        pids = [future.result(60) for future in futures]
        assert sorted(list(os.sched_getaffinity(pid)) for pid in pids) == [[c] for c in CORES]
    assert os.sched_getaffinity(0) == before


def test_on_an_accelerator_there_is_one_worker_with_all_cores_and_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an accelerator's worker is; its platform here is the CPU, which every machine has."""
    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    with LocalExecutor(device=Device(kind="gpu", platforms="cpu")) as executor:
        assert executor.workers == 1
        pid = executor.submit(os.getpid).result(60)
        assert sorted(os.sched_getaffinity(pid)) == CORES
        assert executor.submit(os.getenv, "NPROC").result(60) is None
        assert executor.submit(os.getenv, "JAX_PLATFORMS").result(60) == "cpu"
        assert executor.submit(device_name).result(60).endswith("x cpu")
    with pytest.raises(UsageError, match=r"--workers must be 1 on a GPU, .* but got 2"):
        LocalExecutor(2, device=Device(kind="gpu", platforms="cpu"))


def test_the_device_that_was_chosen_overrides_the_users_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with LocalExecutor(1, device=CPU) as executor:
        assert executor.submit(os.getenv, "JAX_PLATFORMS").result(60) == "cpu"
        assert executor.submit(os.getenv, "NPROC").result(60) == "1"


def test_a_worker_that_is_killed_as_it_starts_is_replaced(start: Start, tmp_path: Path) -> None:
    study = """
        import os, signal
        from pathlib import Path
        from pennyweight.search.executors import MOST_CALLS, LocalExecutor
        if __name__ != "__main__" and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if __name__ == "__main__":
            with LocalExecutor(1) as executor:
                print(executor.submit(abs, -3).result())
    """
    process = start(script(tmp_path, study))
    assert process.communicate(timeout=60) == ("3\n", "")
    assert (tmp_path / "killed").exists()


def test_a_worker_that_hangs_as_it_imports_the_script_is_replaced(
    start: Start, tmp_path: Path
) -> None:
    study = """
        import os, signal
        from pathlib import Path
        from pennyweight.search.executors import MOST_CALLS, LocalExecutor
        if __name__ != "__main__" and not Path("hung").exists():
            Path("hung").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        if __name__ == "__main__":
            with LocalExecutor(1, start_s=10) as executor:
                print(executor.submit(abs, -3).result())
    """
    process = start(script(tmp_path, study))
    assert process.communicate(timeout=60) == ("3\n", "")
    assert (tmp_path / "hung").exists()


class Hangs:
    """A start that hangs the first time, or every time after that."""

    def __init__(self, folder: Path, *, first: bool) -> None:
        self.folder, self.first = folder, first

    def __call__(self) -> None:
        try:
            (self.folder / "started").touch(exist_ok=False)
        except FileExistsError:
            hangs = not self.first
        else:
            hangs = self.first
        if hangs:
            (self.folder / f"hung-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_hangs_as_it_is_warmed_is_replaced(tmp_path: Path) -> None:
    with LocalExecutor(1, warm=Hangs(tmp_path, first=True), start_s=10) as executor:
        assert executor.submit(abs, -3).result(60) == 3
    assert len(list(tmp_path.glob("hung-*"))) == 1


def test_where_no_worker_starts_in_time_a_call_says_so(tmp_path: Path) -> None:
    (tmp_path / "started").touch()
    with LocalExecutor(1, warm=Hangs(tmp_path, first=False), start_s=5) as executor:
        error = executor.submit(abs, -3).exception(60)
        assert isinstance(error, BrokenProcessPool)
        assert str(error) == "a worker process took more than 5 s to start."


def test_a_worker_that_hangs_as_it_starts_does_not_hold_back_the_end(tmp_path: Path) -> None:
    with LocalExecutor(2, warm=Hangs(tmp_path, first=False)) as executor:
        assert until(lambda: list(tmp_path.glob("hung-*")), 60)
        assert executor.submit(abs, -3).result(60) == 3
        began = time.monotonic()
    assert time.monotonic() - began < 5
    (mark,) = tmp_path.glob("hung-*")
    assert gone(int(mark.name.removeprefix("hung-")))


def test_a_worker_that_ran_out_of_memory_says_so_and_is_replaced() -> None:
    with LocalExecutor(1) as executor:
        before = executor.submit(os.getpid).result(60)
        with pytest.raises(MemoryError):
            executor.submit(run_out_of_memory).result(60)
        assert executor.submit(os.getpid).result(60) != before
        assert gone(before)


def test_after_a_thousand_calls_another_worker_takes_over() -> None:
    with LocalExecutor(1) as executor:
        first, *others = [executor.submit(os.getpid).result(60) for _ in range(MOST_CALLS)]
        assert set(others) == {first}
        assert executor.submit(os.getpid).result(60) != first
        assert gone(first)


def test_a_worker_leaves_the_cores_to_its_coordinator() -> None:
    with LocalExecutor(1) as executor:
        niceness = executor.submit(os.nice, 0).result(60)
    assert niceness == min(os.nice(0) + 5, 19)


def test_a_worker_is_single_threaded_and_deaf_to_interrupts() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with LocalExecutor(1) as executor:
        assert executor.submit(jax_threads).result(60) == 1
        for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            assert executor.submit(os.getenv, name).result(60) == "1"
        assert executor.submit(ignores_interrupts).result(60)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_workers_are_quiet_but_for_errors_and_the_coordinator_needs_no_jax(
    start: Start, tmp_path: Path
) -> None:
    study = """
        import sys
        from pennyweight.search.executors import MOST_CALLS, LocalExecutor
        if __name__ == "__main__":
            with LocalExecutor(1) as executor:
                import test_executors
                executor.submit(test_executors.chatter).result()
                executor.submit(test_executors.jax_threads).result()
            print("jax" in sys.modules)
    """
    process = start(script(tmp_path, study))
    stdout, stderr = process.communicate(timeout=60)
    assert (stdout, stderr, process.returncode) == ("False\n", "an error line\n", 0)


def test_a_shutdown_that_cancels_is_quick_whatever_the_workers_do(tmp_path: Path) -> None:
    executor = LocalExecutor(3)
    marks = [tmp_path / name for name in ("compiling", "computing", "stopped")]
    running = [
        executor.submit(compile_a_long_program, marks[0]),
        executor.submit(compute, marks[1]),
        executor.submit(wait_for, marks[2]),
    ]
    waiting = executor.submit(abs, 1)
    assert until(lambda: marks[0].exists() and marks[1].exists() and awaiting(marks[2])(), 60)
    (mark,) = tmp_path.glob("stopped-awaited-by-*")
    stopped = int(mark.name.rpartition("-")[2])
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    executor.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 2
    assert waiting.cancelled()
    assert all(isinstance(future.exception(0), BrokenProcessPool) for future in running)
    assert gone(stopped)
    assert not concurrent.futures.wait([*running, waiting], timeout=0).not_done


def test_leaving_the_block_through_an_exception_stops_the_workers(tmp_path: Path) -> None:
    futures = []

    def interrupted() -> None:
        with LocalExecutor(1) as executor:
            futures.append(executor.submit(wait_for, tmp_path / "never"))
            assert until(awaiting(tmp_path / "never"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(futures[0].exception(0), BrokenProcessPool)


def test_a_shutdown_without_waiting_still_finishes_what_was_submitted(tmp_path: Path) -> None:
    executor = LocalExecutor(1)
    futures = [executor.submit(wait_for, tmp_path / "gate") for _ in range(2)]
    executor.shutdown(wait=False)
    (tmp_path / "gate").touch()
    pids = {future.result(60) for future in futures}
    assert until(lambda: all(gone(pid) for pid in pids), CLEAN_UP_S)


# Its processes, when the coordinator ends.

BUSY = """
    import time
    from pathlib import Path
    from pennyweight.search.executors import MOST_CALLS, LocalExecutor
    import test_executors as tasks

    if __name__ == "__main__":
        with LocalExecutor(2) as executor:
            a = executor.submit(tasks.compute, Path("computing"))
            b = executor.submit(tasks.compile_a_long_program, Path("compiling"))
            a.result()
"""


def start_busy(start: Start, folder: Path) -> subprocess.Popen[str]:
    """A coordinator whose workers compute and compile, in the middle of that."""
    coordinator = start(script(folder, BUSY))
    assert until(lambda: (folder / "computing").exists() and (folder / "compiling").exists(), 60)
    time.sleep(0.5)  # both marks are set just before
    assert len(processes(coordinator.pid)) >= 3
    return coordinator


def test_no_process_outlives_a_killed_coordinator(start: Start, tmp_path: Path) -> None:
    coordinator = start_busy(start, tmp_path)
    coordinator.kill()
    coordinator.wait()
    until(lambda: not processes(coordinator.pid), CLEAN_UP_S)
    assert processes(coordinator.pid) == []


def test_an_interrupt_ends_the_coordinator_and_its_workers_promptly(
    start: Start, tmp_path: Path
) -> None:
    coordinator = start_busy(start, tmp_path)
    began = time.monotonic()
    os.killpg(coordinator.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, stderr = coordinator.communicate(timeout=30)
    assert time.monotonic() - began < 2
    assert coordinator.returncode == -signal.SIGINT
    assert stderr.count("Traceback") == stderr.count("KeyboardInterrupt") == 1
    assert until(lambda: not processes(coordinator.pid), 1)


def test_a_coordinator_that_forgets_the_shutdown_still_ends_with_its_workers(
    start: Start, tmp_path: Path
) -> None:
    study = """
        import time
        from pennyweight.search.executors import MOST_CALLS, LocalExecutor

        if __name__ == "__main__":
            executor = LocalExecutor(2)
            executor.submit(time.sleep, 1000)
            print(executor.submit(abs, -3).result())
    """
    coordinator = start(script(tmp_path, study))
    assert coordinator.communicate(timeout=30) == ("3\n", "")
    assert coordinator.returncode == 0
    assert until(lambda: not processes(coordinator.pid), 1)


# The main guard.

UNGUARDED = """
from pennyweight.search.executors import MOST_CALLS, LocalExecutor
from pennyweight.search.guard import refuse_nested

def study():
    refuse_nested()
    with LocalExecutor(2) as executor:
        print(executor.submit(abs, -3).result())
"""
GUARDED = UNGUARDED + "\nif __name__ == '__main__':\n    study()\n"
UNGUARDED += "\nstudy()\n"


@pytest.mark.parametrize("module", [False, True], ids=["file", "module"])
def test_a_script_without_a_main_guard_gets_one_line(
    start: Start, tmp_path: Path, module: bool
) -> None:
    name = script(tmp_path, UNGUARDED)
    began = time.monotonic()
    process = start(*(["-m", "study"] if module else [name]))
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 2, stderr
    assert time.monotonic() - began < 10
    assert stdout == ""
    (line,) = stderr.splitlines()
    assert str(tmp_path / name) in line
    assert '`if __name__ == "__main__":`' in line
    assert until(lambda: not processes(process.pid), 1)


def test_the_missing_guard_is_an_error_that_can_be_caught(start: Start, tmp_path: Path) -> None:
    text = UNGUARDED.replace("\nstudy()\n", "") + textwrap.dedent("""
        from pennyweight.arch.errors import UsageError
        try:
            study()
        except UsageError as error:
            print(type(error).__name__)
    """)
    process = start(script(tmp_path, text))
    assert process.communicate(timeout=30) == ("MainGuardError\n", "")
    assert process.returncode == 0


def test_a_script_that_fails_while_workers_import_it_is_no_guard_error(
    start: Start, tmp_path: Path
) -> None:
    text = "if __name__ != '__main__': raise OSError('no such disk')\n" + GUARDED
    process = start(script(tmp_path, text))
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "OSError: no such disk" in stderr
    assert stderr.endswith("a worker process ended while it started (exit status 1).\n")


def test_a_script_with_a_main_guard_works(start: Start, tmp_path: Path) -> None:
    process = start(script(tmp_path, GUARDED))
    assert process.communicate(timeout=30) == ("3\n", "")
    assert process.returncode == 0
    assert until(lambda: not processes(process.pid), 1)


def test_a_main_without_a_file_needs_no_guard(start: Start) -> None:
    command = start("-c", UNGUARDED)
    assert command.communicate(timeout=30) == ("3\n", "")
    stdin = start("-", stdin=subprocess.PIPE)
    assert stdin.communicate(UNGUARDED, timeout=30) == ("3\n", "")


def test_a_notebook_cell_needs_no_guard(start: Start) -> None:
    # A kernel runs its cells in a `__main__` module of its own making, without a file or a spec.
    kernel = (
        "import sys, types\n"
        "sys.modules['__main__'] = module = types.ModuleType('__main__')\n"
        f"exec({UNGUARDED!r}, module.__dict__)\n"
    )
    process = start("-c", kernel)
    assert process.communicate(timeout=30) == ("3\n", "")


def test_a_caller_in_a_thread_gets_results_too() -> None:
    results = []
    with LocalExecutor(1) as executor:
        thread = threading.Thread(
            target=lambda: results.append(executor.submit(abs, -3).result(60))
        )
        thread.start()
        thread.join()
    assert results == [3]
