"""The mathematics of a network a second time, from XLA's own operations on NHWC pictures."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.convolution import Conv, Depthwise
from pennyweight.arch.dense import Dense
from pennyweight.arch.layers import Layer
from pennyweight.arch.network import Tree, draw_weights
from pennyweight.arch.pointwise import BatchNorm, Dropout, LeakyRelu, PRelu, Relu, Silu
from pennyweight.arch.pools import AveragePool, Flatten, GlobalAverage, GlobalMax, MaxPool
from pennyweight.arch.repeat import Repeat
from pennyweight.arch.views import Views

EPSILON = 1e-5


@dataclass(frozen=True)
class Node:
    """A layer with its arrays."""

    layer: Layer
    arrays: dict[str, Any]
    body: tuple["Node", ...] = ()


def bind(layers: Iterable[Layer], *trees: Tree) -> tuple[Node, ...]:
    """The layers with the arrays that a network would give them, found by name.

    Of a repeated block, the body holds every round, with the same trained arrays.
    """
    counts: Counter[str] = Counter()
    named: Counter[str] = Counter()

    def node(layer: Layer) -> Node:
        body: tuple[Node, ...] = ()
        before = counts.copy()
        for _ in range(layer.times if isinstance(layer, Repeat) else bool(layer.children)):
            counts.clear()
            counts.update(before)
            body += tuple([node(child) for child in layer.children])
        counts[layer.kind] += 1
        first = f"{layer.kind}{counts[layer.kind]}"
        named[first] += 1
        own = first if named[first] == 1 else f"{first}_{named[first]}"
        arrays = {
            key: array
            for tree in trees
            for name in (first, own)
            for key, array in tree.get(name, {}).items()
        }
        return Node(layer, arrays, body)

    return tuple([node(layer) for layer in layers])


def evaluate(nodes: Iterable[Node], x: jax.Array, seen: list[Any] | None = None) -> jax.Array:
    """The output for x; with `seen`, BatchNorm uses the batch's statistics, and adds them."""
    for node in nodes:
        if isinstance(node.layer, Repeat) or (isinstance(node.layer, Views) and seen is not None):
            x = evaluate(node.body, x, seen)
        elif isinstance(node.layer, Views):
            views = [evaluate(node.body, view) for view in _views(x)]
            x = jnp.mean(jnp.stack(views), 0)
        else:
            x = x + evaluate(node.body, x, seen) if node.body else _apply(node, x, seen)
    return x


def _views(x: jax.Array) -> Iterator[jax.Array]:
    """x, and moved by a pixel up, down, left and right: the line at the edge is there twice."""
    yield x
    yield jnp.concatenate([x[:, 1:], x[:, -1:]], 1)
    yield jnp.concatenate([x[:, :1], x[:, :-1]], 1)
    yield jnp.concatenate([x[:, :, 1:], x[:, :, -1:]], 2)
    yield jnp.concatenate([x[:, :, :1], x[:, :, :-1]], 2)


def _apply(node: Node, x: jax.Array, seen: list[Any] | None) -> jax.Array:
    layer, arrays = node.layer, node.arrays
    match layer:
        case Conv() | Depthwise():
            x = lax.conv_general_dilated(
                x,
                arrays["kernel"],
                window_strides=(layer.stride, layer.stride),
                padding="VALID" if layer.valid else "SAME",
                rhs_dilation=(layer.dilation, layer.dilation),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=x.shape[3] if isinstance(layer, Depthwise) else 1,
            )
            return x + _each(arrays["bias"], x) if layer.bias else x
        case Dense():
            x = x @ arrays["kernel"]
            return x + _each(arrays["bias"], x) if layer.bias else x
        case BatchNorm():
            return _batch_norm(arrays, x, seen)
        case Relu():
            return jax.nn.relu(x)
        case LeakyRelu():
            return jnp.maximum(x, 0.1 * x)
        case PRelu():
            return jnp.where(x >= 0, x, arrays["negative_slope"] * x)
        case Silu():
            return x / (1 + jnp.exp(-x))
        case Dropout():
            return x
        case MaxPool():
            return _pooled(x, layer, -jnp.inf, lax.max)
        case AveragePool():
            return _pooled(x, layer, 0.0, lax.add) / layer.extent**2
        case GlobalAverage():
            return x.mean((1, 2))
        case GlobalMax():
            return x.max((1, 2))
        case Flatten():
            return x.reshape(len(x), -1)
    raise TypeError(f"The reference does not know {layer}; teach it.")


def _batch_norm(arrays: dict[str, Any], x: jax.Array, seen: list[Any] | None) -> jax.Array:
    scale, bias = _each(arrays["scale"], x), _each(arrays["bias"], x)
    if seen is None and "mean" not in arrays:  # merged into scale and bias
        return x * scale + bias
    mean, var = arrays["mean"], arrays["var"]
    if seen is not None:
        axes = tuple(range(x.ndim - 1))
        mean, var = x.mean(axes), x.var(axes)
        seen.append((mean, var))
    return (x - _each(mean, x)) / jnp.sqrt(_each(var, x) + EPSILON) * scale + bias


def _each(values: Any, x: jax.Array) -> jax.Array:
    """One value a channel, against x."""
    return jnp.reshape(values, (1,) * (x.ndim - 1) + (-1,))


def _pooled(x: jax.Array, layer: MaxPool | AveragePool, start: float, join: Any) -> jax.Array:
    extent, stride = layer.extent, layer.stride or layer.extent
    return lax.reduce_window(
        x, start, join, (1, extent, extent, 1), (1, stride, stride, 1), "VALID"
    )


def random_arrays(architecture: Architecture, seed: int) -> tuple[Tree, Tree]:
    """(params, statistics) of which none is at its special starting value."""
    random = np.random.default_rng(seed)
    params, statistics = draw_weights(architecture, seed)
    for tree in (params, statistics):
        for arrays in tree.values():
            for name, array in arrays.items():
                if name in ("scale", "var"):
                    arrays[name] = random.uniform(0.5, 1.5, array.shape).astype(np.float32)
                elif name in ("bias", "mean", "negative_slope"):
                    arrays[name] = random.normal(0, 0.5, array.shape).astype(np.float32)
    return params, statistics


def random_pictures(architecture: Architecture, count: int, seed: int) -> jax.Array:
    random = np.random.default_rng(seed)
    return jnp.asarray(random.normal(size=(count, *architecture.input_shape)), jnp.float32)


def folded(nodes: Iterable[Node], *, shared: bool = False) -> tuple[Node, ...]:
    """The nodes as deployed: no dropout, and each BatchNorm within the layer straight before it.

    Where that cannot take it, it stays, its statistics merged into its scale and offset. What is
    `shared` by several rounds cannot, since each has other statistics.
    """
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node.layer, Dropout):
            continue
        if node.body:
            again = shared or isinstance(node.layer, Repeat)
            kept.append(replace(node, body=folded(node.body, shared=again)))
        elif isinstance(node.layer, BatchNorm):
            scale = node.arrays["scale"] / np.sqrt(node.arrays["var"] + EPSILON)
            bias = node.arrays["bias"] - node.arrays["mean"] * scale
            before = kept[-1] if kept else None
            if (
                shared
                or before is None
                or before.layer.kind
                not in (
                    "conv",
                    "depthwise",
                    "dense",
                    "batch_norm",
                )
            ):
                kept.append(Node(node.layer, {"scale": scale, "bias": bias}))
            else:
                kept[-1] = _scaled(before, scale, bias)
        else:
            kept.append(node)
    return tuple(kept)


def _scaled(node: Node, scale: np.ndarray, bias: np.ndarray) -> Node:
    kind = "scale" if isinstance(node.layer, BatchNorm) else "kernel"
    offset = node.arrays.get("bias", 0) * scale + bias
    layer = node.layer
    if isinstance(layer, Conv | Depthwise | Dense):
        layer = replace(layer, bias=True)
    return Node(layer, {kind: node.arrays[kind] * scale, "bias": offset})


def size(nodes: Iterable[Node]) -> int:
    """How many numbers the nodes hold, shared ones counted once."""
    return sum({id(array): array.size for array in _arrays(nodes)}.values())


def _arrays(nodes: Iterable[Node]) -> Iterator[Any]:
    for node in nodes:
        yield from node.arrays.values()
        yield from _arrays(node.body)
