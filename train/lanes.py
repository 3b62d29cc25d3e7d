"""How many candidates a device trains best side by side: measured where more than one may pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pennyweight.train.rung import Task

_STEPS = 20  # a measurement: on a GPU a step of one tiny network takes about a millisecond
_REPEATS = 3  # of which the fastest counts: whatever disturbs makes it slower
_WORTH = 1.1  # twice the lanes must train so many times the pictures, or are not tried further


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How many `lanes` train the most pictures a second on `device`, and how many those are."""

    device: str
    lanes: int
    pictures_per_s: dict[int, float] = field(default_factory=dict)  # by lanes; empty: not measured

    def to_json(self) -> dict[str, Any]:
        rates = {str(lanes): round(rate, 1) for lanes, rate in self.pictures_per_s.items()}
        return {"device": self.device, "lanes": self.lanes, "pictures_per_s": rates}


def device_name() -> str:
    """This process's devices, such as `1 x NVIDIA H200`."""
    import jax

    devices = jax.local_devices()
    return f"{len(devices)} x {devices[0].device_kind}"


def best_lanes(task: Task, most: int) -> Measured:
    """The number of lanes in which this process's devices train candidates like `task` fastest.

    A multiple of the number of devices, at most `most` if that is not fewer.
    """
    import jax

    name = device_name()
    if jax.default_backend() == "cpu" and len(jax.local_devices()) == 1:
        # A CPU is never idle: eight lanes train hardly more than one on 8x8 pictures, and a third
        # less on 28x28, where their maps leave the cache (`benchmarks/records/lanes.json`).
        return Measured(device=name, lanes=1)
    rates: dict[int, float] = {}
    for lanes in _doubling(len(jax.local_devices()), most):
        try:
            rates[lanes] = Measurement.of(task, lanes).pictures_per_s()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or not rates:
                raise
            break  # more do not fit into the device's memory
        if rates[lanes] < _WORTH * rates.get(lanes // 2, 0.0):
            break
    return Measured(device=name, lanes=max(rates, key=lambda n: rates[n]), pictures_per_s=rates)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Some training steps of `lanes` candidates, compiled, to be run as often as one likes."""

    pictures: int  # that a run trains on, over all lanes
    compile_s: float
    run: Callable[[], object]  # returns when the device is done

    @classmethod
    def of(cls, task: Task, lanes: int) -> Measurement:
        """That of candidates like `task`, compiled as a search compiles them and run once."""
        import jax

        from pennyweight.train.compiled import compile_as_trained
        from pennyweight.train.on_device import in_place
        from pennyweight.train.program import Program, train_steps
        from pennyweight.train.spread import in_lanes
        from pennyweight.train.together import plans, start

        tasks = [replace(task, from_epoch=0, state=None)]
        training = in_place(task.source, task.split_seed, task.whole, lanes).training
        program = Program.of(task.candidate, task.epochs, task.frame, task.precision)
        state, traced = jax.device_put(start(program, tasks, lanes, len(training.labels_n)))
        b = task.candidate.recipe.step_size
        n = b * min(_STEPS, len(training.labels_n) // b)
        plan = plans(tasks, lanes, n, 1)
        begun = time.perf_counter()
        train = in_lanes(partial(train_steps, program), lanes, (False, False, True, False))
        lowered = train.lower(state, traced, training, plan)
        steps = compile_as_trained(lowered, program, len(training.labels_n))
        compile_s = time.perf_counter() - begun

        def run() -> object:
            return jax.block_until_ready(steps(state, traced, training, plan))

        run()
        return cls(pictures=lanes * n, compile_s=compile_s, run=run)

    def pictures_per_s(self) -> float:
        """Training pictures a second over all lanes."""
        took: list[float] = []
        for _ in range(_REPEATS):
            begun = time.perf_counter()
            self.run()
            took.append(time.perf_counter() - begun)
        return self.pictures / min(took)


def _doubling(devices: int, most: int) -> Iterator[int]:
    """Lanes to try: one for each device, then twice as many.

    >>> list(_doubling(1, 32)), list(_doubling(8, 20)), list(_doubling(8, 4))
    ([1, 2, 4, 8, 16, 32], [8, 16], [8])
    """
    lanes = devices
    while lanes <= max(most, devices):
        yield lanes
        lanes *= 2
