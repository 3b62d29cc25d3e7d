"""A training state as bytes: named arrays in safetensors form, no pickle."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import numpy as np
from safetensors.numpy import load, save

from pennyweight.arch.network import Tree

T = TypeVar("T")


def pack(tree: Any) -> bytes:
    """The arrays of `tree`, each under its path, such as "weights/conv1/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return save({_name(path): np.asarray(leaf) for path, leaf in leaves})


def unpack(data: bytes, like: T) -> T:
    """The tree shaped `like`, with the arrays that `pack` stored; ValueError if they do not fit."""
    arrays = load(data)

    def find(path: Any, leaf: Any) -> np.ndarray:
        array = arrays.get(_name(path))
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise ValueError(f"The training state does not fit the network at {_name(path)}.")
        return array

    return jax.tree_util.tree_map_with_path(find, like)


def layers(data: bytes, part: str) -> Tree:
    """The arrays below `part` ("weights" or "statistics") by layer and weight name."""
    tree: Tree = {}
    for name, array in load(data).items():
        head, *rest = name.split("/")
        if head == part:
            layer, weight = rest
            tree.setdefault(layer, {})[weight] = array
    return tree


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
