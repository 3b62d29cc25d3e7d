"""What runs in a Dask worker before it gets work: whether it is fit for this study, and ready."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pennyweight.arch.errors import UsageError, in_a_line
from pennyweight.arch.native_library import CHOICE
from pennyweight.search.device import Device, find_device
from pennyweight.search.worker_main import choose_device
from pennyweight.train.native import native_digest
from pennyweight.train.sources import sources

CHECKED = ("pennyweight", "jax", "jaxlib", "flax", "optax", "numpy", "distributed")
"""The distributions of which coordinator and workers must have the same versions."""

CALLS = "pennyweight-calls"
"""What a worker tells the scheduler with each heartbeat: the keys of the calls that it runs."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a study asks of its workers. One that meets them has the Dask resource `resource`."""

    resource: str
    device: Device
    sources: str  # of the coordinator's `arch` and `train`
    in_c: bool  # whether the coordinator has kernels in C, so that all or none train with them
    warm: Callable[[], object]
    cores: tuple[int, ...] = ()  # one for each of the workers by name, where it is to keep to it

    @property
    def resources(self) -> dict[str, float]:
        """What a call takes of a worker: all there is, so that they run one at a time."""
        return dict.fromkeys((self.resource, *self.given), 1.0)

    @property
    def given(self) -> list[str]:
        """The resource that a worker with an accelerator is started with; none on a CPU."""
        return [self.device.kind.upper()] if self.device.accelerates else []


async def admit(terms: Terms, dask_worker: Any = None) -> None:
    """Make the worker ready, then offer what calls need. Raises UsageError where it is not fit."""
    from distributed.core import Status

    check_worker(terms, dask_worker.state.nthreads, dask_worker.state.total_resources)
    # In the thread that runs calls: this one answers the scheduler meanwhile.
    thread = dask_worker.executors["default"]
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(thread, make_ready, terms, dask_worker.name)
    except OSError as error:  # as it is, the coordinator would take it for a lost connection
        line = in_a_line(error).rstrip(".")
        raise UsageError(f"must start, but: {line}: see to it.") from error
    dask_worker.metrics[CALLS] = running_calls
    await dask_worker.set_resources(**{terms.resource: 1})
    # The scheduler looks at calls that nobody could run only when a worker begins to run.
    dask_worker.status = Status.paused
    dask_worker.status = Status.running


def running_calls(dask_worker: Any) -> list[str]:
    """Those that are in a thread; others may wait in the worker for it."""
    return [str(key) for key in dask_worker.active_keys]


def check_worker(terms: Terms, threads: int, resources: Mapping[str, float]) -> None:
    """Raise UsageError where the worker was started with other flags than this study needs."""
    if threads != 1:
        raise UsageError(
            f"must run one call at a time, but has {threads} threads: start it with --nthreads 1, "
            "and with --nworkers as many as there are cores."
        )
    for name in terms.given:
        if resources.get(name, 0) < 1:
            raise UsageError(
                f"must offer a {name} for --device {terms.device.kind}, but offers none: start it "
                f"with --resources {name}=1, or use --device cpu."
            )
    if terms.sources != sources():
        raise UsageError(
            "must have the coordinator's sources, but its pennyweight trains by others, though "
            "its version is the same: install the same there."
        )


def make_ready(terms: Terms, name: Any) -> None:
    """Start JAX and load the data, once in this process, in the thread that runs calls."""
    if terms.cores:
        os.sched_setaffinity(0, {terms.cores[name]})
    if not terms.in_c:
        os.environ[CHOICE] = "xla"
    elif native_digest() is None:
        raise UsageError(
            "must have a C compiler as the coordinator has, because XLA's own kernels round "
            f"otherwise: install gcc there, or set {CHOICE}=xla where the search runs."
        )
    wanted = terms.device.kind
    choose_device(find_device(wanted))
    try:
        terms.warm()
    except UsageError as error:
        raise UsageError(f"must find the same data by the same name, but: {error}") from error
    backend = sys.modules["jax"].default_backend() if "jax" in sys.modules else wanted
    if backend != wanted:
        raise UsageError(
            f"must train on --device {wanted}, but its JAX runs on {backend} already: restart it."
        )
