"""The Flax NNX module of an architecture.

Inside, feature maps lie as (channels, height, width, pictures): with few channels a matrix product
wants the long dimension last. Callers see (pictures, height, width, channels) and (pictures,
classes).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.layers import Call, Weight
from pennyweight.arch.maps import Maps

Tree = dict[str, dict[str, Any]]
"""Arrays by layer name and weight name, such as ["conv1"]["kernel"]."""


class LayerModule(nnx.Module):
    """The arrays of one layer: trained ones are `nnx.Param`, the others `nnx.BatchStat`.

    In a further round of a repeated block the trained ones are those of the `first`.
    """

    def __init__(self, placed: Placed, first: LayerModule | None = None):
        self.index = placed.index
        for name, weight in placed.layer.weights(placed.input_shape).items():
            if weight.trained and first is not None:
                setattr(self, name, getattr(first, name))
            else:
                kind = nnx.Param if weight.trained else nnx.BatchStat
                setattr(self, name, kind(jnp.zeros(weight.shape)))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> nnx.Variable[jax.Array]:
            """The array called `name` in `Layer.weights`."""
            ...


class Network(nnx.Module):
    """The network of `architecture`, its arrays zero: `draw_weights` gives the starting ones.

    Called on float images (n, h, w, c), already normalised, it returns logits (n, classes).
    """

    def __init__(self, architecture: Architecture):
        self.architecture = architecture
        for placed in architecture.flat():
            first = getattr(self, placed.shares) if placed.shares else None
            setattr(self, placed.name, LayerModule(placed, first))

    def __call__(self, images_nhwc: jax.Array, call: Call = Call()) -> jax.Array:  # noqa: B008 (frozen)
        x = Maps.of(images_nhwc)
        return self._run(self.architecture.placed, x, call).settled().T

    def _run(self, sequence: tuple[Placed, ...], x: Maps, call: Call) -> Maps:
        for placed in sequence:
            if placed.children:
                x = placed.layer.around(partial(self._run, placed.children), x, call)
            else:
                x = placed.layer.apply(getattr(self, placed.name), x, call)
        return x


@lru_cache(maxsize=32)  # one training asks for it several times
def abstract(architecture: Architecture) -> tuple[nnx.GraphDef[Network], Tree, Tree]:
    """(graph, params, statistics) of shapes only; `nnx.merge` of graph and arrays is the module.

    No initialiser runs: an eager NNX initialisation costs seconds for each new shape, this
    milliseconds.
    """
    graph, params, statistics = nnx.split(
        nnx.eval_shape(lambda: Network(architecture)), nnx.Param, nnx.BatchStat
    )
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)


def draw_weights(architecture: Architecture, seed: int) -> tuple[Tree, Tree]:
    """(params, statistics) to start from, drawn by NumPy: nothing is compiled.

    Kernels are normal with variance 2 / fan-in (He et al., arXiv:1502.01852). Biases are 0, but 1
    where a ReLU cuts the classes' own values: a class that is below 0 for all pictures, as half of
    them would be at once, is never learned.
    """
    random = np.random.default_rng(seed)
    params: Tree = {}
    statistics: Tree = {}
    for placed in architecture.flat():
        for name, weight in placed.weights().items():
            tree = params if weight.trained else statistics
            tree.setdefault(placed.name, {})[name] = _draw(weight, random)
    for name in _rectified(architecture):
        params[name]["bias"] = np.ones_like(params[name]["bias"])
    return params, statistics


def _rectified(architecture: Architecture) -> list[str]:
    """The last layer with weights, if it has a bias and a ReLU cuts what it gives; or none."""
    flat = list(architecture.flat())
    last = max((i for i, placed in enumerate(flat) if placed.weights()), default=0)
    cut = any(placed.layer.kind == "relu" for placed in flat[last:])
    return [flat[last].name] if cut and flat[last].weights().keys() >= {"kernel", "bias"} else []


def _draw(weight: Weight, random: np.random.Generator) -> np.ndarray:
    if weight.start == "zeros":
        return np.zeros(weight.shape, np.float32)
    if weight.start == "ones":
        return np.ones(weight.shape, np.float32)
    if weight.start == "quarter":
        return np.full(weight.shape, 0.25, np.float32)
    fan_in = np.prod(weight.shape[:-1])
    return random.normal(0, np.sqrt(2 / fan_in), weight.shape).astype(np.float32)
