"""The compiled training of one network: an epoch as one scan.

Pictures stay on the device as uint8, and so does the state between epochs.
Shapes: n pictures, h rows, w columns, c channels, k classes, b batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.convolution import Conv
from pennyweight.arch.layers import Call
from pennyweight.arch.network import Network, Tree, abstract
from pennyweight.train.augment import warp
from pennyweight.train.muon import matrices_of
from pennyweight.train.native import native_kernels
from pennyweight.train.optimiser import Hypers, optimiser
from pennyweight.train.plan import Plan
from pennyweight.train.precision import PRECISION, Precision
from pennyweight.train.recipe import Candidate, Optimiser, Schedule

CALIBRATION = 2_048  # training pictures that give the averaged weights their BatchNorm statistics

_TIED = 1e-6  # of two probabilities: float32 rounds them to a tenth of that

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Program:
    """What decides the compiled code: candidates with equal programs share it."""

    architecture: Architecture
    optimiser: Optimiser
    schedule: Schedule
    batch_size: int
    accumulation: int
    augments: bool
    averages: bool
    penalises: bool
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
            accumulation=recipe.accumulation,
            augments=recipe.augments,
            averages=recipe.averaging > 0,
            penalises=recipe.penalises,
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


@dataclass(frozen=True, eq=False)
class Frame:
    """A program's network without its arrays, and the way from a weight vector to them."""

    graph: nnx.GraphDef[Network]
    unravel: Callable[[jax.Array], Tree]
    decayed: np.ndarray  # by place in the vector: 1 for a kernel, 0 otherwise
    matrices_mrc: np.ndarray  # convolutions' kernels, as `matrices_of` has them
    no_statistics: Tree  # zeros

    @classmethod
    def of(cls, program: Program) -> Frame:
        graph, params, statistics = abstract(program.architecture)
        leaves, _ = jax.tree_util.tree_flatten_with_path(params)
        decayed = [np.full(leaf.size, path[-1].key == "kernel") for path, leaf in leaves]
        _, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params))
        zeros = jax.tree.map(lambda array: np.zeros(array.shape, array.dtype), statistics)
        return cls(
            graph,
            unravel,
            np.concatenate(decayed).astype(np.float32),
            _matrices(program.architecture, leaves),
            zeros,
        )


def _matrices(architecture: Architecture, leaves: list[tuple[Any, Any]]) -> np.ndarray:
    """The kernels of convolutions in a vector of all `leaves`, but for a last layer that is one.

    A last layer, convolution or dense, moves as with Adam (Jordan et al.). So do other dense ones:
    few networks have them, and where pictures go in, their matrices are larger than all others.
    """
    weighty = [placed for placed in architecture.flat() if placed.weights()]
    mixing = {placed.name for placed in weighty[:-1] if isinstance(placed.layer, Conv)}
    ends = np.cumsum([leaf.size for _, leaf in leaves])
    kernels = [
        np.arange(end - leaf.size, end).reshape(leaf.shape)
        for ((layer, weight), leaf), end in zip(leaves, ends, strict=True)
        if layer.key in mixing and weight.key == "kernel"
    ]
    return matrices_of(kernels, int(ends[-1]))


def initial_state(program: Program, params: Tree, hypers: Hypers) -> State:
    """The state before the first step, as NumPy arrays: nothing is compiled."""
    leaves = jax.tree.leaves(params)  # the order of `ravel_pytree`
    vector = np.concatenate([np.ravel(leaf) for leaf in leaves])
    transform = optimiser(program.optimiser, program.schedule, 1, hypers, 0)
    shapes = jax.eval_shape(transform.init, vector)
    # All optimisers start from zeros; their own `init` would compile a program for each shape.
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return State(vector, vector, zeros, np.zeros((), np.int32))  # type: ignore[arg-type]


def as_precise(
    function: Callable[Concatenate[Program, P], T],
) -> Callable[Concatenate[Program, P], T]:
    """`function` with matrix products of its program's precision, and the fastest convolutions.

    float32 has to be asked for too: by default JAX rounds to fewer bits on GPUs and TPUs.
    """

    @wraps(function)
    def precise(program: Program, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with native_kernels(), jax.default_matmul_precision(program.precision):
            return function(program, *args, **kwargs)

    return precise


class Learned(NamedTuple):
    """What an epoch says of itself, in the mean over its batches as each was learned from."""

    loss: jax.Array
    accuracy: jax.Array


@as_precise
def train_steps(
    program: Program, state: State, hypers: Hypers, training: Pictures, plan: Plan
) -> tuple[State, Learned]:
    """The state after the steps of `plan`, and how its batches did.

    The learning rate's schedule is that of `program.epochs` such plans.
    """
    steps = len(plan.order_sb) // program.accumulation
    frame = Frame.of(program)
    transform = optimiser(
        program.optimiser,
        program.schedule,
        program.epochs * steps,
        hypers,
        frame.decayed,
        frame.matrices_mrc,
    )

    def step(state: State, plan: Plan) -> tuple[State, Learned]:
        descended = partial(_descended, frame, hypers, training, state.params)
        gradient, learned = _accumulated(program, descended, state.params, plan)
        if program.penalises:
            penalty, slope = _penalty(state.params * frame.decayed, hypers)
            gradient, learned = gradient + slope, learned._replace(loss=learned.loss + penalty)
        update, optimiser_state = transform.update(gradient, state.optimiser, state.params)
        params = state.params + cast(jax.Array, update)
        average = _moved(program, state, params, hypers)
        return State(params, average, optimiser_state, state.step + 1), learned

    state, learned = jax.lax.scan(step, state, _by_step(program, plan))
    return state, jax.tree.map(jnp.mean, learned)


def _descended(
    frame: Frame, hypers: Hypers, training: Pictures, params: jax.Array, plan: Plan
) -> tuple[jax.Array, Learned]:
    """The gradient of the loss on the pictures of one batch, and how it did."""
    labels_b = training.labels_n.at[plan.order_sb].get(mode="promise_in_bounds")
    if plan.affine_sb is None:
        images = training.images_nhwc.at[plan.order_sb].get(mode="promise_in_bounds")
    else:  # augmented before normalising: what comes in from outside a picture is black
        images = warp(training.images_nhwc, plan.order_sb, plan.affine_sb)
    key = jax.random.wrap_key_data(jnp.asarray(plan.dropout_keys_s2), impl="threefry2x32")
    call = Call(batch_statistics=True, dropout_key=key)

    def logits(params: Tree) -> jax.Array:
        network = nnx.merge(frame.graph, params, frame.no_statistics)
        return network(training.normalised(images), call)

    logits_bk, pulled_back = jax.vjp(logits, frame.unravel(params))
    wanted_bk = jax.nn.one_hot(labels_b, logits_bk.shape[1])
    smooth_bk = optax.smooth_labels(wanted_bk, hypers.label_smoothing)
    loss, slope_bk = jax.value_and_grad(
        lambda logits_bk: optax.softmax_cross_entropy(logits_bk, smooth_bk).mean()
    )(logits_bk)
    gradient, _ = ravel_pytree(*pulled_back(slope_bk))
    # The slope is a batch's share of what is said less what is wanted. Asking the logits themselves
    # would make XLA fuse, and so round, the loss in another way than without this. What is said of
    # the wanted class is rounded otherwise than the rest, so a tie is no right answer.
    said_bk = len(labels_b) * slope_bk + smooth_bk
    others_bk = jnp.where(wanted_bk > 0, 0.0, said_bk)
    right_b = (said_bk * wanted_bk).sum(1) > others_bk.max(1) + _TIED
    return gradient, Learned(loss, right_b.mean())


def _by_step(program: Program, plan: Plan) -> Plan:
    """`plan` with the batches of each step on an axis of their own, where these are several."""
    if program.accumulation == 1:
        return plan
    return jax.tree.map(lambda leaf: leaf.reshape(-1, program.accumulation, *leaf.shape[1:]), plan)


def _accumulated(
    program: Program,
    descended: Callable[[Plan], tuple[jax.Array, Learned]],
    params: jax.Array,
    plan: Plan,
) -> tuple[jax.Array, Learned]:
    """The mean gradient of a step's batches, one after the other, and how they did."""
    if program.accumulation == 1:
        return descended(plan)

    def add(total: jax.Array, batch: Plan) -> tuple[jax.Array, Learned]:
        gradient, learned = descended(batch)
        return total + gradient / program.accumulation, learned

    gradient, learned = jax.lax.scan(add, jnp.zeros_like(params), plan)
    return gradient, jax.tree.map(jnp.mean, learned)


def _penalty(kernels: jax.Array, hypers: Hypers) -> tuple[jax.Array, jax.Array]:
    """What the kernels, all else 0, add to the loss, l1 * sum |w| + l2 * sum w^2; its gradient."""
    penalty = hypers.l1 * jnp.abs(kernels).sum() + hypers.l2 * jnp.square(kernels).sum()
    return penalty, hypers.l1 * jnp.sign(kernels) + 2 * hypers.l2 * kernels


def _moved(program: Program, state: State, params: jax.Array, hypers: Hypers) -> jax.Array:
    """The moving average after one more step; it starts short, to forget the first weights."""
    if not program.averages:
        return params
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(hypers.average_decay, (1 + step) / (10 + step))
    return state.average + (1 - decay) * (params - state.average)
