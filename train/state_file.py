"""A training state as bytes: named arrays in safetensors form, no pickle."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.network import Tree

T = TypeVar("T")


def pack(tree: Any) -> bytes:
    """The arrays of `tree`, each under its path, such as "weights/conv1/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    # In row order, which safetensors writes whatever the array's own order is.
    return save({_name(path): np.asarray(leaf, order="C") for path, leaf in leaves})


def unpack(data: bytes, like: T) -> T:
    """The tree shaped `like`, with the arrays that `pack` stored; ValueError if they do not fit."""
    arrays = _arrays(data)

    def find(path: Any, leaf: Any) -> np.ndarray:
        array = arrays.get(_name(path))
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise ValueError(f"The training state does not fit the network at {_name(path)}.")
        return array

    return jax.tree_util.tree_map_with_path(find, like)


def layers(data: bytes, part: str) -> Tree:
    """The arrays below `part` ("weights" or "statistics") by layer and weight name."""
    tree: Tree = {}
    for name, array in _arrays(data).items():
        head, *rest = name.split("/")
        if head == part:
            layer, weight = rest
            tree.setdefault(layer, {})[weight] = array
    return tree


def of_network(data: bytes, architecture: Architecture) -> tuple[Tree, Tree]:
    """(params, statistics) of a network; ValueError where what `pack` stored is not all of it."""
    params, statistics = layers(data, "weights"), layers(data, "statistics")
    wanted = 0
    for placed in architecture.flat():
        for name, weight in placed.weights().items():
            tree = params if weight.trained else statistics
            array = tree.get(placed.name, {}).get(name)
            if array is None or array.shape != weight.shape or array.dtype != np.float32:
                raise ValueError(
                    f"The training state does not fit the network at {placed.name}/{name}."
                )
            wanted += 1
    if sum(len(arrays) for tree in (params, statistics) for arrays in tree.values()) > wanted:
        raise ValueError("The training state holds more than the network has.")
    return params, statistics


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(f"The training state is damaged: {error}.") from None


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
