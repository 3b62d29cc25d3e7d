"""Dask clusters for tests: a scheduler and workers as one starts them by hand, on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

DASK = Path(sys.executable).with_name("dask")


@dataclass
class Cluster:
    """Processes of one Dask cluster, whose files are in `folder`."""

    folder: Path
    flags: tuple[str, ...] = ()  # of each process: certificates
    protocol: str = "tcp"
    port: int = field(default_factory=lambda: free_port())
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{self.protocol}://127.0.0.1:{self.port}"

    @property
    def executor(self) -> str:
        """What `--executor` takes."""
        return f"dask:{self.address}"

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        flags = ["--protocol", self.protocol, "--port", str(self.port)]
        return self._start("scheduler", *flags, "--dashboard-address", "127.0.0.1:0")

    def start_worker(
        self, *flags: str, threads: int = 1, path: Path | None = None, **environment: str
    ) -> None:
        """A worker under its nanny, which starts it again when it is killed.

        It imports from the folder `path` first.
        """
        own = ["--nthreads", str(threads), "--dashboard-address", "127.0.0.1:0"]
        folder = ["--local-directory", str(self.folder / "scratch")]
        self._start("worker", self.address, *own, *folder, *flags, path=path, **environment)

    def kill_a_worker(self, kind: signal.Signals = signal.SIGKILL) -> int:
        """Kill a worker process, which its nanny replaces, or stop it; its id."""
        nannies = {process.pid for process in self.processes[1:]}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                command = stat.with_name("cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            if parent in nannies and "spawn_main" in command:
                os.kill(int(stat.parent.name), kind)
                return int(stat.parent.name)
        raise AssertionError("there is no worker to kill")

    def log(self) -> str:
        """What its processes printed."""
        return (self.folder / "cluster.log").read_text()

    def _start(
        self, what: str, *flags: str, path: Path | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        own = str(Path(__file__).parent)  # what calls import
        with (self.folder / "cluster.log").open("ab") as log:
            process = subprocess.Popen(
                [DASK, what, *flags, "--host", "127.0.0.1", *self.flags],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": f"{path or own}:{own}", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process


@contextmanager
def cluster(
    folder: Path, workers: int = 0, flags: tuple[str, ...] = (), protocol: str = "tcp"
) -> Iterator[Cluster]:
    """A scheduler with so many workers, which end with the block."""
    started = Cluster(folder, flags, protocol)
    try:
        started.start_scheduler()
        for _ in range(workers):
            started.start_worker()
        yield started
    finally:
        for process in reversed(started.processes):  # a nanny that is told ends its worker
            process.terminate()
        for process in started.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with suppress(ProcessLookupError):  # what it left: a worker that is stopped, say
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """One that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
