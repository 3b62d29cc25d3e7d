"""The compiled training of one network: an epoch as one scan, and its score.

Pictures stay on the device as uint8, and so does the state between epochs.
Shapes: n pictures, h rows, w columns, c channels, k classes, b batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.layers import Call
from pennyweight.arch.network import Network, Tree, abstract
from pennyweight.train.augment import warp
from pennyweight.train.optimiser import Hypers, optimiser
from pennyweight.train.plan import Plan
from pennyweight.train.precision import PRECISION, Precision
from pennyweight.train.recipe import Candidate, Optimiser, Schedule

# Pictures scored at once: large enough for fast matrix products, small enough for the cache.
CHUNK = 512
CALIBRATION = 2_048  # training pictures that give the averaged weights their BatchNorm statistics

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Program:
    """What decides the compiled code: candidates with equal programs share it."""

    architecture: Architecture
    optimiser: Optimiser
    schedule: Schedule
    batch_size: int
    augments: bool
    averages: bool
    epochs: int  # the epoch limit: how long the learning-rate schedule is
    precision: Precision

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        epochs: int,
        frame: Architecture | None = None,
        precision: Precision = PRECISION,
    ) -> Program:
        """The program that trains `candidate`, in its `frame`, under a limit of `epochs`."""
        recipe = candidate.recipe
        return cls(
            architecture=frame or candidate.architecture,
            optimiser=recipe.optimiser,
            schedule=recipe.schedule,
            batch_size=recipe.batch_size,
            augments=recipe.augments,
            averages=recipe.averaging > 0,
            epochs=epochs,
            precision=precision,
        )


@flax.struct.dataclass
class Pictures:
    """Labelled pictures on the device, with the normalisation of the training split."""

    images_nhwc: jax.Array  # uint8
    labels_n: jax.Array  # int32
    mean_c: jax.Array  # on the 0..1 scale
    std_c: jax.Array

    def normalised(self, images_nhwc: jax.Array) -> jax.Array:
        """uint8 pictures as numbers of mean 0 and standard deviation 1."""
        mean, std = self.mean_c[None, None, None], self.std_c[None, None, None]
        return (images_nhwc.astype(self.mean_c.dtype) / 255 - mean) / std


class State(NamedTuple):
    """All that training carries from one epoch to the next.

    The weights are one vector each: an optimiser step on it compiles to a few loops, where one on
    every array by itself took a third of all compile time.
    """

    params: jax.Array
    average: jax.Array  # moving average of the parameters: what is scored and exported
    optimiser: optax.OptState
    step: jax.Array  # int32


class Score(NamedTuple):
    """How the averaged weights do; they and their statistics by layer and name, to export."""

    weights: Tree
    statistics: Tree
    correct: jax.Array  # int32 count
    log_loss: jax.Array  # mean, in nats


@dataclass(frozen=True, eq=False)
class _Frame:
    """A program's network without its arrays, and the way from a weight vector to them."""

    graph: nnx.GraphDef[Network]
    unravel: Callable[[jax.Array], Tree]
    decayed: np.ndarray  # by place in the vector: 1 for a kernel, 0 otherwise
    no_statistics: Tree  # zeros

    @classmethod
    def of(cls, program: Program) -> _Frame:
        graph, params, statistics = abstract(program.architecture)
        leaves, _ = jax.tree_util.tree_flatten_with_path(params)
        decayed = [np.full(leaf.size, path[-1].key == "kernel") for path, leaf in leaves]
        _, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params))
        zeros = jax.tree.map(lambda array: np.zeros(array.shape, array.dtype), statistics)
        return cls(graph, unravel, np.concatenate(decayed).astype(np.float32), zeros)


def initial_state(program: Program, params: Tree, hypers: Hypers) -> State:
    """The state before the first step, as NumPy arrays: nothing is compiled."""
    leaves = jax.tree.leaves(params)  # the order of `ravel_pytree`
    vector = np.concatenate([np.ravel(leaf) for leaf in leaves])
    transform = optimiser(program.optimiser, program.schedule, 1, hypers, 0)
    shapes = jax.eval_shape(transform.init, vector)
    # Both optimisers start from zeros; their own `init` would compile a program for each shape.
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return State(vector, vector, zeros, np.zeros((), np.int32))  # type: ignore[arg-type]


def _as_precise(
    function: Callable[Concatenate[Program, P], T],
) -> Callable[Concatenate[Program, P], T]:
    """`function` with matrix products of its program's precision.

    float32 has to be asked for too: by default JAX rounds to fewer bits on GPUs and TPUs.
    """

    @wraps(function)
    def precise(program: Program, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with jax.default_matmul_precision(program.precision):
            return function(program, *args, **kwargs)

    return precise


@_as_precise
def train_steps(
    program: Program, state: State, hypers: Hypers, training: Pictures, plan: Plan
) -> tuple[State, jax.Array]:
    """The state after the steps of `plan`, and the mean loss.

    The learning rate's schedule is that of `program.epochs` such plans.
    """
    steps = len(plan.order_sb)
    frame = _Frame.of(program)
    transform = optimiser(
        program.optimiser, program.schedule, program.epochs * steps, hypers, frame.decayed
    )

    def step(state: State, plan: Plan) -> tuple[State, jax.Array]:
        images = training.images_nhwc.at[plan.order_sb].get(mode="promise_in_bounds")
        labels_b = training.labels_n.at[plan.order_sb].get(mode="promise_in_bounds")
        if plan.affine_sb is not None:
            # Augmented before normalising: what comes in from outside a picture is black.
            images = warp(images, plan.affine_sb)
        key = jax.random.wrap_key_data(jnp.asarray(plan.dropout_keys_s2), impl="threefry2x32")
        call = Call(batch_statistics=True, dropout_key=key)

        def loss(params: Tree) -> jax.Array:
            network = nnx.merge(frame.graph, params, frame.no_statistics)
            logits_bk = network(training.normalised(images), call)
            wanted_bk = jax.nn.one_hot(labels_b, logits_bk.shape[1])
            smooth_bk = optax.smooth_labels(wanted_bk, hypers.label_smoothing)
            return optax.softmax_cross_entropy(logits_bk, smooth_bk).mean()

        value, gradients = jax.value_and_grad(loss)(frame.unravel(state.params))
        gradient, _ = ravel_pytree(gradients)
        update, optimiser_state = transform.update(gradient, state.optimiser, state.params)
        params = state.params + cast(jax.Array, update)
        average = _moved(program, state, params, hypers)
        return State(params, average, optimiser_state, state.step + 1), value

    state, losses = jax.lax.scan(step, state, plan)
    return state, losses.mean()


def _moved(program: Program, state: State, params: jax.Array, hypers: Hypers) -> jax.Array:
    """The moving average after one more step; it starts short, to forget the first weights."""
    if not program.averages:
        return params
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(hypers.average_decay, (1 + step) / (10 + step))
    return state.average + (1 - decay) * (params - state.average)


@_as_precise
def score(
    program: Program, average: jax.Array, calibration: Pictures, validation: Pictures
) -> Score:
    """Accuracy and log-loss of the weights `average` on every picture of `validation`.

    BatchNorm uses statistics of these very weights, measured on `calibration`: what was gathered in
    training belongs to other weights (Izmailov et al., arXiv:1803.05407, section 3.2). Both happen
    in one scan over chunks, so that the network is compiled once, not twice.
    """
    frame = _Frame.of(program)
    weights = frame.unravel(average)
    # Statistics of a small chunk would be biased, however few pictures there are to validate on.
    b = min(CHUNK, len(calibration.labels_n), max(len(validation.labels_n), CHUNK // 2))
    first = len(calibration.labels_n) // b if frame.no_statistics else 0
    images, labels, real = _chunked(calibration, validation, first, b)

    def step(statistics: Tree, chunk: _Chunk) -> tuple[Tree, tuple[jax.Array, jax.Array]]:
        measuring = chunk.number < first
        network = nnx.merge(frame.graph, weights, statistics)
        call = Call(batch_statistics=measuring if first else False)
        logits_bk = network(validation.normalised(chunk.images), call)
        if first:
            measured = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
            merged = _merged(statistics, measured, chunk.number)
            statistics = jax.tree.map(
                lambda new, old: jnp.where(measuring, new, old), merged, statistics
            )
        return statistics, tally(logits_bk, chunk.labels, chunk.real)

    chunks = _Chunk(jnp.arange(len(real)), images, labels, real)
    statistics, (correct, loss) = jax.lax.scan(step, frame.no_statistics, chunks)
    total = len(validation.labels_n)
    return Score(weights, statistics, correct.sum(), loss.sum() / total)


class _Chunk(NamedTuple):
    """Pictures scored at once; `real` is False for calibration pictures and padding."""

    number: jax.Array
    images: jax.Array
    labels: jax.Array
    real: jax.Array


def _chunked(
    calibration: Pictures, validation: Pictures, first: int, b: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`first` chunks of calibration pictures, then all of validation, the last chunk filled up."""
    n = len(validation.labels_n)
    padding = -n % b
    index = jnp.minimum(jnp.arange(n + padding), n - 1)
    images = validation.images_nhwc.at[index].get(mode="promise_in_bounds")
    images = jnp.concatenate([calibration.images_nhwc[: first * b], images])
    labels = validation.labels_n.at[index].get(mode="promise_in_bounds")
    labels = jnp.concatenate([calibration.labels_n[: first * b], labels])
    place = jnp.arange(len(labels)) - first * b
    real = (place >= 0) & (place < n)
    return images.reshape(-1, b, *images.shape[1:]), labels.reshape(-1, b), real.reshape(-1, b)


def _merged(pooled: Tree, chunk: Tree, chunks: jax.Array) -> Tree:
    """Statistics of `chunks` chunks and one more of equal size (law of total variance)."""
    known = chunks.astype(jnp.float32)
    part = 1 / (known + 1)
    merged = {}
    for layer, old in pooled.items():
        new = chunk[layer]
        apart = new["mean"] - old["mean"]
        within = old["var"] + part * (new["var"] - old["var"])
        merged[layer] = {
            "mean": old["mean"] + part * apart,
            "var": within + part * (1 - part) * jnp.square(apart),
        }
    return merged


def tally(
    logits_bk: jax.Array, labels_b: jax.Array, real_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(correct, summed log-loss in nats) of the pictures that are `real`."""
    loss_b = optax.softmax_cross_entropy_with_integer_labels(logits_bk, labels_b)
    right_b = (logits_bk.argmax(1).astype(labels_b.dtype) == labels_b) & real_b
    return right_b.sum(), jnp.where(real_b, loss_b, 0).sum()
