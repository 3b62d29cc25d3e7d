"""The Flax side of training.py: the same network as one writes it in Flax, pictures NHWC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from pennyweight.arch.architecture import Architecture


class State(NamedTuple):
    params: nnx.State
    statistics: nnx.State
    optimiser: optax.OptState


def flax_epoch(
    architecture: Architecture,
    images_nhwc: np.ndarray,
    labels_n: np.ndarray,
    batch: int,
    *,
    scanned: bool,
) -> Callable[[], float]:
    """A function that trains an epoch and returns its mean loss.

    Each step is a call of one jitted function; `scanned`, the whole epoch is one.
    """
    model = nnx.Sequential(*flax_layers(architecture, nnx.Rngs(0)))
    transform = optax.adamw(1e-3, weight_decay=1e-4)
    graph, state = flax_start(model, transform)
    pictures = jnp.asarray(images_nhwc), jnp.asarray(labels_n, jnp.int32)
    steps = len(labels_n) // batch
    random = np.random.default_rng(1)

    def step(
        pictures: tuple[jax.Array, jax.Array], state: State, chosen_b: jax.Array
    ) -> tuple[State, jax.Array]:
        images_bhwc, labels_b = (array[chosen_b] for array in pictures)
        normalised_bhwc = (images_bhwc.astype(jnp.float32) / 255 - 0.5) / 0.2
        return flax_step(graph, transform, state, normalised_bhwc, labels_b)

    def scan(
        pictures: tuple[jax.Array, jax.Array], state: State, order_sb: jax.Array
    ) -> tuple[State, jax.Array]:
        return jax.lax.scan(partial(step, pictures), state, order_sb)

    run = jax.jit(scan if scanned else step, donate_argnums=1)

    def epoch() -> float:
        nonlocal state
        order_sb = random.permutation(len(labels_n))[: steps * batch].reshape(steps, batch)
        losses = []
        for chosen in [order_sb] if scanned else order_sb:
            state, loss = run(pictures, state, chosen)
            losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return epoch


def flax_start(
    model: nnx.Sequential, transform: optax.GradientTransformation
) -> tuple[nnx.GraphDef[nnx.Sequential], State]:
    """The network without its arrays, and the state before the first step."""
    graph, params, statistics = nnx.split(model, nnx.Param, nnx.BatchStat)
    return graph, State(params, statistics, transform.init(params))


def flax_step(
    graph: nnx.GraphDef[nnx.Sequential],
    transform: optax.GradientTransformation,
    state: State,
    images_bhwc: jax.Array,
    labels_b: jax.Array,
) -> tuple[State, jax.Array]:
    """The state after a step on a batch of normalised pictures, and its loss."""

    def loss_of(params: nnx.State) -> tuple[jax.Array, nnx.State]:
        network = nnx.merge(graph, params, state.statistics, copy=True)
        loss_b = optax.softmax_cross_entropy_with_integer_labels(network(images_bhwc), labels_b)
        return loss_b.mean(), nnx.state(network, nnx.BatchStat)

    (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, optimiser = transform.update(gradients, state.optimiser, state.params)
    params = cast(nnx.State, optax.apply_updates(state.params, updates))
    return State(params, statistics, optimiser), loss


def flax_layers(
    architecture: Architecture,
    rngs: nnx.Rngs,
    normalise: Callable[..., Callable[..., Any]] = nnx.BatchNorm,
    activate: Callable[[], Callable[..., Any]] | None = None,
) -> list[Callable[..., Any]]:
    """The layers one after the other.

    `normalise(channels, rngs=)` makes what stands for `b`, `activate()` for `r` and `p`.
    """
    layers: list[Callable[..., Any]] = []
    for placed in architecture.flat():
        layer: Any = placed.layer
        channels = placed.input_shape[-1]
        match layer.kind:
            case "conv" | "depthwise":
                layers.append(
                    nnx.Conv(
                        channels,
                        layer.width if layer.kind == "conv" else channels,
                        (layer.kernel, layer.kernel),
                        padding="VALID" if layer.valid else "SAME",
                        kernel_dilation=layer.dilation,
                        use_bias=layer.bias,
                        feature_group_count=1 if layer.kind == "conv" else channels,
                        rngs=rngs,
                    )
                )
            case "batch_norm":
                layers.append(normalise(channels, rngs=rngs))
            case "relu" | "prelu" if activate:
                layers.append(activate())
            case "relu":
                layers.append(nnx.relu)
            case "prelu":
                layers.append(nnx.PReLU(0.25))
            case "max_pool":
                window = (layer.extent, layer.extent)
                layers.append(partial(nnx.max_pool, window_shape=window, strides=window))
            case "global_average":
                layers.append(partial(jnp.mean, axis=(1, 2)))
            case "flatten":
                layers.append(lambda x_nhwc: x_nhwc.reshape(len(x_nhwc), -1))
            case "dense":
                layers.append(nnx.Linear(channels, layer.width, use_bias=layer.bias, rngs=rngs))
            case kind:
                raise NotImplementedError(kind)
    return layers
