"""The processes of architectures.py: notations in, a line each, and what was measured out, as JSON.

Not for people: who starts it sets threads and cache, and names what to measure and the core.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from architectures import ALL, CLASSES, EPOCHS, RECIPE, ROUNDS, SHAPE, SPLITS, STEPS

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.network import abstract, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.train.compiled import compiled, keep_compiled_programs
from pennyweight.train.optimiser import Hypers, hypers
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Pictures, Program, State, initial_state
from pennyweight.train.recipe import Candidate

SHORT_SPLITS = (STEPS * RECIPE.batch_size, 512, 512)
# (pictures, epochs), as many steps in all as whole epochs have: how XLA compiles depends on them.
SHORT = SHORT_SPLITS[0], EPOCHS * SPLITS[0] // SHORT_SPLITS[0]

Measure = Callable[[Architecture], dict[str, Any]]


def main(what: str, core: str) -> None:
    if int(core) != ALL:
        os.sched_setaffinity(0, {int(core)})  # before XLA starts its threads
    keep_compiled_programs()
    kinds = {"compile": compile_seconds, "memory": memory, "ahead": ahead, "speed": speed}
    measure = kinds[what]()
    for line in sys.stdin:
        print(json.dumps(measure(parse(line.strip(), SHAPE, CLASSES))), flush=True)


def compile_seconds() -> Measure:
    """Seconds to initialise and to compile, and of these, of each program."""
    heard: dict[str, dict[str, float]] = defaultdict(lambda: {"lowering": 0.0, "xla": 0.0})
    kinds = {
        "jaxpr_trace_duration": "lowering",
        "jaxpr_to_mlir_module_duration": "lowering",
        "backend_compile_duration": "xla",  # where the cache has it, the reading
    }

    def hear(event: str, duration_secs: float, **about: Any) -> None:
        if kind := kinds.get(event.rpartition("/")[2]):
            name = about.get("fun_name", "").removeprefix("jit(").removesuffix(")")
            heard[name][kind] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(hear)

    def measure(network: Architecture) -> dict[str, Any]:
        begun = time.perf_counter()
        program, _, _ = start(network, SPLITS[0], EPOCHS)
        started = time.perf_counter()
        heard.clear()
        compiled(program, *SPLITS)
        ended = time.perf_counter()
        # Functions within a program are traced too, and that is part of its own tracing.
        programs = {name: parts for name, parts in heard.items() if parts["xla"]}
        return {"initialise": started - begun, "compile": ended - started, "programs": programs}

    return measure


def memory() -> Measure:
    """Peak bytes: with the pictures alone, after compiling, and after an epoch and its score."""
    training, calibration, validation = map(pictures, SPLITS)

    def measure(network: Architecture) -> dict[str, Any]:
        peaks = {"before_bytes": peak_bytes()}
        program, traced, state = start(network, SPLITS[0], EPOCHS)
        run = compiled(program, *SPLITS)
        peaks["compiled_bytes"] = peak_bytes()
        plan = plan_epoch(SPLITS[0], RECIPE, 0, 1)
        state, _ = run.train_steps(state, traced, training, plan)
        jax.block_until_ready(run.score(state.average, calibration, validation))
        return peaks | {"peak_bytes": peak_bytes()}

    return measure


def ahead() -> Measure:
    """Nothing: what `speed` needs is compiled, and in the cache then."""

    def measure(network: Architecture) -> dict[str, Any]:
        program, _, _ = start(network, *SHORT)
        compiled(program, *SHORT_SPLITS)
        return {}

    return measure


def speed() -> Measure:
    """Pictures a second, the median of some short epochs."""
    count = SHORT_SPLITS[0]
    training = pictures(count)

    def measure(network: Architecture) -> dict[str, Any]:
        program, traced, state = start(network, *SHORT)
        run = compiled(program, *SHORT_SPLITS)
        seconds = []
        for number in range(1 + ROUNDS):
            begun = time.perf_counter()
            plan = plan_epoch(count, RECIPE, 0, number)
            state, learned = run.train_steps(state, traced, training, plan)
            jax.block_until_ready((state, learned))
            seconds.append(time.perf_counter() - begun)
        return {"pictures_s": count / statistics.median(seconds[1:])}

    return measure


def start(network: Architecture, count: int, epochs: int) -> tuple[Program, Hypers, State]:
    """What a rung does before it compiles, and the abstract shapes that compiling asks for."""
    program = Program.of(Candidate(architecture=network, recipe=RECIPE, seed=0), epochs)
    abstract(network)
    params, _ = draw_weights(network, 0)
    traced = hypers(RECIPE, count // RECIPE.batch_size)
    return program, traced, initial_state(program, params, traced)


def pictures(count: int) -> Pictures:
    """Random ones, on the device."""
    chance = np.random.default_rng(0)
    return jax.device_put(
        Pictures(
            images_nhwc=chance.integers(0, 256, (count, *SHAPE), np.uint8),  # type: ignore[arg-type]
            labels_n=chance.integers(0, CLASSES, count, np.int32),  # type: ignore[arg-type]
            mean_c=np.full(1, 0.5, np.float32),  # type: ignore[arg-type]
            std_c=np.full(1, 0.3, np.float32),  # type: ignore[arg-type]
        )
    )


def peak_bytes() -> int:
    """The most resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
