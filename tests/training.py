"""Small training problems that several tests share."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pennyweight.arch.network import Tree, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.train.optimiser import Hypers, hypers
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Pictures, Program, State, initial_state, train_steps
from pennyweight.train.recipe import UNCHANGED, Candidate, Recipe

# Unoptimised code compiles in half the time, and runs once here.
quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

STILL = UNCHANGED


def candidate(
    notation: str,
    input_shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
    seed: int = 0,
    **recipe: Any,
) -> Candidate:
    architecture = parse(notation, input_shape, classes)
    return Candidate(architecture=architecture, recipe=Recipe(**recipe), seed=seed)


def start(chosen: Candidate, epochs: int, steps: int) -> tuple[Program, State, Hypers]:
    """What trains `chosen` for `epochs` epochs of `steps` steps, and from where."""
    program = Program.of(chosen, epochs)
    traced = hypers(chosen.recipe, steps)
    params, _ = draw_weights(chosen.architecture, chosen.seed)
    return program, initial_state(program, params, traced), traced


@cache
def steps_of(program: Program) -> Any:
    """`train_steps` of a program."""
    return quickly(partial(train_steps, program))


def after_epoch(
    chosen: Candidate,
    program: Program,
    state: State,
    traced: Hypers,
    data: Pictures,
    *,
    seed: int = 0,
    epoch: int = 1,
) -> tuple[State, jax.Array]:
    """The state after an epoch over `data`, and the mean loss."""
    plan = plan_epoch(len(data.labels_n), chosen.recipe, seed, epoch)
    state, learned = steps_of(program)(state, traced, data, plan)
    return state, learned.loss


def pictures(
    images: np.ndarray, labels: np.ndarray, mean: float = 0.0, std: float = 1.0
) -> Pictures:
    """`images` (n, h, w, c) of 0 to 255, normalised by one mean and deviation on the 0-1 scale."""
    channels = images.shape[-1]
    return Pictures(
        images_nhwc=jnp.asarray(images, jnp.uint8),
        labels_n=jnp.asarray(labels, jnp.int32),
        mean_c=jnp.full(channels, mean, jnp.float32),
        std_c=jnp.full(channels, std, jnp.float32),
    )


def random_labelled(
    count: int, shape: tuple[int, int, int], classes: int, seed: int = 0
) -> Pictures:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *shape))
    return pictures(images, random.integers(0, classes, count), 0.4, 0.3)


def normalised(chosen: Pictures) -> np.ndarray:
    """The pictures as a network sees them, in double precision."""
    images = np.asarray(chosen.images_nhwc, np.float64) / 255
    return (images - np.asarray(chosen.mean_c)) / np.asarray(chosen.std_c)


def vector(tree: Tree) -> np.ndarray:
    """All weights, in the order of a training state."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def in_double(tree: Any) -> Any:
    """`tree` on the host, with every float32 array as float64."""

    def doubled(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return array.astype(np.float64) if array.dtype == np.float32 else array

    return jax.tree.map(doubled, tree)
