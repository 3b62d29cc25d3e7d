"""How many trials of a group train side by side: asked of the workers, known from the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from pennyweight.arch.errors import RunError
from pennyweight.train.lanes import best_lanes, device_name
from pennyweight.train.rung import Task

P = ParamSpec("P")
T = TypeVar("T")


def lanes_on(
    executor: Executor, task: Task, most: int, known: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The record of how many lanes, up to about `most`, train `task`'s like fastest on `executor`.

    One of the `known` records, if it is of the same device: results depend on the number of lanes
    in their last bits. Otherwise it is measured. Raises RunError where that fails.
    """
    device = _asked(executor, device_name)
    for record in reversed(known):
        if record["device"] == device:
            return record
    return _asked(executor, best_lanes, task, most).to_json()


def check_device(executor: Executor) -> None:
    """Raise RunError where JAX cannot start on the device of `executor`."""
    try:
        executor.submit(device_name).result()
    except Exception as error:
        raise RunError(
            f"The device cannot be used ({_in_a_line(error)}): see to that, or choose --device cpu."
        ) from error


def _asked(executor: Executor, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return executor.submit(function, *args, **kwargs).result()
    except Exception as error:
        raise RunError(
            f"The device could not measure how many trials it trains best at a time "
            f"({_in_a_line(error)}): "
            "see to that, then go on with the study, or choose --device cpu."
        ) from error


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300].rstrip(":. ")
