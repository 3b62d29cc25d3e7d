"""Compiling a program once per process, and keeping what was compiled on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.cost import training_macs
from pennyweight.arch.network import draw_weights
from pennyweight.train.cache import cache_folder
from pennyweight.train.cores import core_count
from pennyweight.train.memory import give_back
from pennyweight.train.native import native_digest, native_kernels
from pennyweight.train.optimiser import hypers
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Pictures, Program, initial_state, train_steps
from pennyweight.train.program_store import ProgramStore
from pennyweight.train.recipe import UNCHANGED, Recipe
from pennyweight.train.score import score
from pennyweight.train.spread import in_lanes, shapes

# XLA reads this when it starts, in whichever process: a fifth less to compile, and as fast to run.
_FLAG = "--xla_backend_extra_options=xla_cpu_disable_tiled_emitter,xla_cpu_disable_loop_unrolling"
if "--xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

_LARGE_WORK = 10**11  # multiply-accumulates forward; 8x8 digits need about 10**10, MNIST 10**12


@dataclass(frozen=True)
class Executables:
    """One program's steps and score, compiled."""

    train_steps: Callable[..., Any]
    score: Callable[..., Any]


def keep_compiled_programs() -> None:
    """From now on keep what is compiled in the user's cache folder, and look there first.

    For a process that only trains: JAX forgets what was traced, once it is compiled.
    """
    _stores[:] = [ProgramStore(cache_folder() / "programs")]


_stores: list[ProgramStore] = []  # none or one


def compiled(
    program: Program, training: int, calibration: int, validation: int, lanes: int = 1
) -> Executables:
    """`program` compiled for so many training, calibration and validation pictures.

    More than one of `lanes` train side by side: see `spread`.
    """
    with native_kernels() as kernels:
        return _compiled(program, (training, calibration, validation), lanes, kernels)


@lru_cache(maxsize=8)  # executables hold memory; a rung continues on what was compiled last
def _compiled(
    program: Program, sizes: tuple[int, int, int], lanes: int, kernels: str | None
) -> Executables:
    functions = train_steps, score
    options = _options(program, sizes[0])
    deciding = program, sizes, lanes, options, str(jnp.result_type(float)), kernels
    keys = [(function.__name__, deciding) for function in functions]
    # XLA needs no lock of Python's. On one core two at a time would only need more memory.
    with ThreadPoolExecutor(min(len(functions), core_count())) as threads:
        ready: list[Any] = list(threads.map(_kept, keys))
        given = _arguments(program, sizes, lanes) if None in ready else ()
        for i, (arguments, shared) in enumerate(given):
            if ready[i] is None:
                # What traces is this thread's, and the other compiles meanwhile.
                traced = in_lanes(partial(functions[i], program), lanes, shared)
                ready[i] = threads.submit(
                    _compile_and_keep, keys[i], traced.lower(*arguments), options
                )
        done = [each.result() if isinstance(each, Future) else each for each in ready]
    if _stores:
        jax.clear_caches()  # of a program 3,000 objects, so a worker grew by 10% in 300 programs
    give_back()
    return Executables(*done)


def _arguments(
    program: Program, sizes: Sequence[int], lanes: int
) -> list[tuple[tuple[Any, ...], tuple[bool, ...]]]:
    """What `train_steps` and `score` are lowered for; of each argument, whether lanes share it."""
    params, _ = draw_weights(program.architecture, 0)  # for their shapes
    traced = hypers(Recipe(), 1)
    state = shapes(initial_state(program, params, traced), lanes, shared=False)
    traced = shapes(traced, lanes, shared=False)
    like = Recipe(
        batch_size=program.batch_size,
        accumulation=program.accumulation,
        **({} if program.augments else UNCHANGED),
    )
    plan = shapes(plan_epoch(sizes[0], like, 0, 0), lanes, shared=False)
    sets = [shapes(_pictures(program, n), lanes, shared=True) for n in sizes]
    return [
        ((state, traced, sets[0], plan), (False, False, True, False)),
        ((state.average, *sets[1:]), (False, True, True)),
    ]


def _kept(key: object) -> Any | None:
    return _stores[0].get(key) if _stores else None


def _compile_and_keep(key: object, lowered: Any, options: dict[str, str | bool]) -> Any:
    done = _compile(lowered, options)
    if _stores:
        _stores[0].put(key, done)
    return done


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


def _options(program: Program, training: int) -> dict[str, str | bool]:
    """XLA options that make compiling and running together shortest on a CPU.

    With convolutions in C what is left to XLA is little, and as fast with these options, which
    compile it in half the time. Without, on 8x8 digits the default options compile for 12 s and
    train for 2; these compile for 5 and train for 3. Where XLA trains for minutes, its speed is
    worth more.
    """
    if jax.default_backend() != "cpu":
        return {}
    in_c = native_digest() is not None and program.precision == "float32"
    work = training_macs(program.architecture) * training * program.epochs
    if work > _LARGE_WORK and not in_c:
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
