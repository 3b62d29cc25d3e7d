"""How many trials of a group train side by side: asked of the workers, known from the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from pennyweight.arch.errors import RunError, in_a_line
from pennyweight.train.lanes import best_lanes, device_name
from pennyweight.train.rung import Task


def lanes_on(
    executor: Executor, task: Task, most: int, known: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The record of how many lanes, up to about `most`, train `task`'s like fastest on `executor`.

    One of the `known` records, if it is of the same device: results depend on the number of lanes
    in their last bits. Otherwise it is measured. Raises RunError where that fails.
    """
    what = "measure how many trials it trains best at a time"
    with _named(what, "see to that, then go on with the study"):
        device = executor.submit(device_name).result()
        for record in reversed(known):
            if record["device"] == device:
                return record
        return executor.submit(best_lanes, task, most).result().to_json()


def check_device(executor: Executor) -> None:
    """Raise RunError where JAX cannot start on the device of `executor`."""
    with _named("be used", "see to that"):
        executor.submit(device_name).result()


@contextmanager
def _named(what: str, remedy: str) -> Iterator[None]:
    """Any error within, as one line about the device."""
    try:
        yield
    except Exception as error:
        raise RunError(
            f"The device could not {what} ({in_a_line(error).rstrip(':. ')}): {remedy}, "
            "or choose --device cpu."
        ) from error
