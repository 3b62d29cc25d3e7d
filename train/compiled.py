"""Compiling a program once per process, and keeping what was compiled on disk."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from pennyweight.arch.cost import cost
from pennyweight.arch.network import draw_weights
from pennyweight.train.cache import cache_folder
from pennyweight.train.optimiser import Hypers, hypers
from pennyweight.train.program import (
    Pictures,
    Program,
    State,
    initial_state,
    plan_epoch,
    score,
    train_steps,
)
from pennyweight.train.recipe import Recipe
from pennyweight.train.spread import in_lanes, shapes

_CACHE_BYTES = 1_000_000_000  # of compiled programs on disk, least recently used go first
_LARGE_WORK = 10**11  # multiply-accumulates forward; 8x8 digits need about 10**10, MNIST 10**12


@dataclass(frozen=True)
class Executables:
    """One program's plan, steps and score, compiled."""

    plan_epoch: Callable[..., Any]
    train_steps: Callable[..., Any]
    score: Callable[..., Any]

    def train_epoch(
        self, state: State, hypers: Hypers, training: Pictures, key: jax.Array
    ) -> tuple[State, jax.Array]:
        """As `program.train_epoch`."""
        plan = self.plan_epoch(key, hypers.strengths)
        return self.train_steps(state, hypers, training, plan)


def keep_compiled_programs() -> None:
    """Turn on JAX's persistent compilation cache: in the user's cache folder, bounded."""
    # JAX warns where the cache cannot be read or written: then it compiles, and nothing is wrong.
    warnings.filterwarnings("ignore", message="Error .* persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    # The default, 1 s, would skip most of ours.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_compilation_cache_max_size", _CACHE_BYTES)


@lru_cache(maxsize=8)  # executables hold memory; a rung continues on what was compiled last
def compiled(
    program: Program, training: int, calibration: int, validation: int, lanes: int = 1
) -> Executables:
    """`program` compiled for so many training, calibration and validation pictures.

    More than one of `lanes` train side by side: see `spread`.
    """
    params, _ = draw_weights(program.architecture, 0)  # for their shapes
    traced = hypers(Recipe(), 1)
    state = shapes(initial_state(program, params, traced), lanes, shared=False)
    traced = shapes(traced, lanes, shared=False)
    sizes = (training, calibration, validation)
    sets = [shapes(_pictures(program, n), lanes, shared=True) for n in sizes]
    planned = _planner(training, program.batch_size, lanes)
    steps = in_lanes(partial(train_steps, program), lanes, (False, False, True, False))
    scored = in_lanes(partial(score, program), lanes, (False, True, True))
    options = _options(program, training)
    return Executables(
        planned,
        _compile(steps.lower(state, traced, sets[0], planned.out_info), options),
        _compile(scored.lower(state.average, *sets[1:]), options),
    )


def compile_as_trained(lowered: Any, program: Program, training: int) -> Any:
    """What was `lowered` for `program`, compiled as `compiled` does it."""
    return _compile(lowered, _options(program, training))


def _compile(lowered: Any, options: dict[str, str | bool]) -> Any:
    """`lowered` compiled with XLA `options`, or without them where this XLA does not know one."""
    try:
        return lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return lowered.compile()


@lru_cache(maxsize=8)
def _planner(training: int, batch_size: int, lanes: int) -> Any:
    """`plan_epoch` compiled; candidates of one batch size share it."""
    one = jax.eval_shape(jax.random.key, 0), hypers(Recipe(), 1).strengths
    planned = in_lanes(partial(plan_epoch, training, batch_size), lanes, (False, False))
    return planned.lower(*shapes(one, lanes, shared=False)).compile()


def _options(program: Program, training: int) -> dict[str, str | bool]:
    """XLA options that make compiling and running together shortest on a CPU.

    On 8x8 digits the default options compile for 12 s and train for 2; these compile for 5 and
    train for 3. Where training takes minutes, its speed is worth more.
    """
    if jax.default_backend() != "cpu":
        return {}
    work = cost(program.architecture).macs * training * program.epochs
    if work > _LARGE_WORK:
        return {}
    return {
        "xla_cpu_use_fusion_emitters": False,
        "xla_backend_optimization_level": "1",
        "xla_cpu_parallel_codegen_split_count": "1",  # a worker has one thread
    }


def _pictures(program: Program, n: int) -> Pictures:
    height, width, channels = program.architecture.input_shape
    shape = jax.ShapeDtypeStruct
    return Pictures(
        images_nhwc=shape((n, height, width, channels), np.uint8),  # type: ignore[arg-type]
        labels_n=shape((n,), np.int32),  # type: ignore[arg-type]
        mean_c=shape((channels,), np.float32),  # type: ignore[arg-type]
        std_c=shape((channels,), np.float32),  # type: ignore[arg-type]
    )
