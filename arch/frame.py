"""Frames: one shape for several networks that differ in their widths alone.

A network padded with zeros to its frame computes what it computed, and learns what it would have
learned, with no mask: an added channel carries zeros, since its kernel and scale are zero, and
what reads it is zero, so no gradient reaches either. Networks of one frame share what was compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.dense import Dense
from pennyweight.arch.layers import Layer, Shape
from pennyweight.arch.pointwise import Dropout
from pennyweight.arch.pools import Flatten

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree


def skeleton(architecture: Architecture) -> tuple[Any, ...]:
    """What a network is apart from its widths: equal for those that have a common frame.

    Two things keep their widths, since flattened pixels lie apart where there are more channels:
    a residual or repeated block that has dense layers, and a network that drops out after
    `Flatten`.
    """
    layers = architecture.layers
    kinds = [type(placed.layer) for placed in architecture.flat()]
    if Flatten not in kinds or Dropout not in kinds[kinds.index(Flatten) :]:
        layers = tuple(_without_width(layer) for layer in layers)
    return architecture.input_shape, architecture.classes, layers


def frame(architectures: Sequence[Architecture]) -> Architecture:
    """The narrowest network into which all fit; ValueError where their skeletons differ."""
    first = architectures[0]
    if any(skeleton(other) != skeleton(first) for other in architectures):
        raise ValueError("Only networks that differ in nothing but their widths share a frame.")
    layers = zip(*(architecture.layers for architecture in architectures), strict=True)
    widest = tuple(_widest(same) for same in layers)
    return Architecture(first.input_shape, first.classes, widest)


def fit(tree: Tree, here: Architecture, there: Architecture) -> Tree:
    """The arrays of network `here` in the shapes of `there`: filled up with zeros, or cut.

    One of the two is the other's frame; cutting undoes the filling.
    """
    return {
        name: {
            weight: _resized(np.asarray(tree[name][weight]), *shapes)
            for weight, *shapes in arrays
            if weight in tree[name]
        }
        for name, arrays in _both(here, there)
        if name in tree
    }


def _without_width(layer: Layer) -> Layer:
    if layer.children:
        if layer.views == 1 and any(isinstance(inner, Dense) for inner in _inside(layer)):
            return layer
        return replace(layer, body=tuple(_without_width(inner) for inner in layer.children))
    return replace(layer, width=1) if _has_width(layer) else layer


def _inside(layer: Layer) -> Iterator[Layer]:
    for child in layer.children:
        yield child
        yield from _inside(child)


def _has_width(layer: Layer) -> bool:
    return any(field.name == "width" for field in fields(layer))


def _widest(layers: tuple[Any, ...]) -> Layer:
    first = layers[0]
    if first.children:
        bodies = zip(*(layer.body for layer in layers), strict=True)
        return replace(first, body=tuple(_widest(same) for same in bodies))
    if _has_width(first):
        return replace(first, width=max(layer.width for layer in layers))
    return first


_Sizes = tuple[str, Shape, Shape]


def _both(here: Architecture, there: Architecture) -> Iterator[tuple[str, list[_Sizes]]]:
    """Layer by layer: its name, and of each of its arrays the name and both shapes.

    In these shapes an axis of flattened pixels is two: pixels and channels.
    """
    pixels = 1  # that a vector holds of each channel
    for one, other in zip(here.flat(), there.flat(), strict=True):
        names = one.weights()
        yield one.name, [(n, _split(one, n, pixels), _split(other, n, pixels)) for n in names]
        if isinstance(one.layer, Flatten):
            pixels = one.input_shape[0] * one.input_shape[1]
        elif isinstance(one.layer, Dense):
            pixels = 1


def _split(placed: Placed, name: str, pixels: int) -> Shape:
    """The shape of an array, its axis of input features split where a vector holds pixels."""
    shape = placed.layer.weights(placed.input_shape)[name].shape
    of_outputs = isinstance(placed.layer, Dense) and name == "bias"
    if not shape or len(placed.input_shape) > 1 or of_outputs:
        return shape
    return pixels, shape[0] // pixels, *shape[1:]


def _resized(array: np.ndarray, here: Shape, there: Shape) -> np.ndarray:
    """`array` of shape `here` cut or filled up with zeros to `there`, in its own number of axes."""
    result = np.zeros(there, array.dtype)
    common = tuple(slice(min(a, b)) for a, b in zip(here, there, strict=True))
    result[common] = array.reshape(here)[common]
    split = len(there) > array.ndim
    return result.reshape(-1, *there[2:]) if split else result
