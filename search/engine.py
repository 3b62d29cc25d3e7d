"""Where the work of a command runs: what `--executor` says, and the executor made of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.arch.errors import UsageError, shown
from pennyweight.search.device import CPU, Asked, Device, anywhere, find_device
from pennyweight.search.executors import LocalExecutor, check_workers, worker_count
from pennyweight.search.units import MOST

if TYPE_CHECKING:
    from pennyweight.search.dask_executor import DaskExecutor

    Pool = LocalExecutor | DaskExecutor  # an executor that says how many calls it runs at a time

EXECUTOR = "local"
_HOST = r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})"


@dataclass(frozen=True)
class Engine:
    """Processes of this machine, unless it names a Dask scheduler or how large a cluster to start.

    >>> Engine.of("dask:tcp://gateway:8786").address, Engine.of("dask:local:2").processes
    ('tcp://gateway:8786', 2)
    """

    address: str | None = None
    processes: int | None = None

    @classmethod
    def of(cls, text: str) -> Engine:
        """What `--executor` says. Raises UsageError for anything else."""
        if text == EXECUTOR:
            return cls()
        if re.fullmatch(rf"dask:(tcp|tls)://{_HOST}:[0-9]{{1,5}}", text):
            return cls(address=text.partition(":")[2])
        found = re.fullmatch(r"dask:local:([0-9]{1,9})", text)
        if found and 1 <= int(found[1]) <= MOST:
            return cls(processes=int(found[1]))
        raise UsageError(
            "--executor must be local, dask:tcp://HOST:PORT, dask:tls://HOST:PORT or dask:local:N "
            f"(N from 1 to {MOST}), but got {shown(text)}."
        )

    @property
    def here(self) -> bool:
        """Whether the workers are on this machine."""
        return self.address is None

    def device(self, asked: Asked) -> Device:
        """The device to train on. What a cluster elsewhere has, its workers find out."""
        return find_device(asked) if self.here else anywhere(asked)

    def check(self, workers: int | None, device: Device) -> None:
        """Raise UsageError where `--workers` cannot be so many."""
        if self.processes is not None and workers is not None:
            raise UsageError(
                f"--workers is what dask:local:{self.processes} says already, but got {workers}: "
                "leave it out."
            )
        if self.here:
            check_workers(self.processes or workers, device)

    def count(self, workers: int | None, device: Device) -> int:
        """How many calls will run at a time, as far as it is known without asking a cluster."""
        self.check(workers, device)
        return worker_count(self.processes or workers, device) if self.here else workers or 1

    def open(
        self,
        workers: int | None,
        *,
        warm: Callable[[], object],
        device: Device = CPU,
        show: bool = True,
    ) -> Pool:
        """The executor, which runs `warm` in each worker before anything else; a context manager.

        Raises UsageError where a scheduler does not answer, or its workers are not fit.
        """
        if self.address is None and self.processes is None:
            return LocalExecutor(workers, warm=warm, device=device)
        try:
            from pennyweight.search.dask_executor import DaskExecutor
        except ModuleNotFoundError as error:
            raise UsageError(
                f"--executor dask needs {error.name}, but it is not installed: pip install "
                "'pennyweight[dask]'."
            ) from error
        return DaskExecutor(
            self.address, self.processes, workers, warm=warm, device=device, show=show
        )


LOCAL = Engine()
