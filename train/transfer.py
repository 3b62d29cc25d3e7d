"""Starting from trained weights: which of them another set of classes can use, as plain data."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.convolution import Conv
from pennyweight.arch.dense import Dense
from pennyweight.arch.errors import UsageError

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree


@dataclass(frozen=True, eq=False)
class Kept:
    """The network for other classes, and the trained weights that it starts from."""

    architecture: Architecture
    params: Tree  # of the layers that are kept, by layer and name
    anew: str | None  # the layer that is drawn anew; None where all are kept


def kept_for(
    architecture: Architecture, params: Tree, theirs: Sequence[str], ours: Sequence[str]
) -> Kept:
    """What of a network that tells apart the classes `theirs` can start one for `ours`.

    All of it where it knows each of our classes by name: its head then gives those, in our order.
    Otherwise the head, which is the last layer with weights, is made anew, as wide as there are
    classes. Raises UsageError where that layer is neither a convolution nor a dense layer that
    gives the logits.
    """
    if tuple(theirs) == tuple(ours):
        return Kept(architecture, params, None)
    index = len(architecture.layers) - 1
    while not architecture.placed[index].weights() and not architecture.placed[index].children:
        index -= 1
    head, layer = architecture.placed[index], architecture.layers[index]
    if not isinstance(layer, Conv | Dense) or layer.width != architecture.classes:
        raise UsageError(
            "For other classes the last layer with weights must be a convolution or a dense layer "
            f"that gives the logits, but of {architecture.notation} it is {head.name}: use data of "
            "the same classes."
        )
    wider = dataclasses.replace(layer, width=len(ours))
    layers = (*architecture.layers[:index], wider, *architecture.layers[index + 1 :])
    ours_too = Architecture(architecture.input_shape, len(ours), layers)
    if set(ours) <= set(theirs):
        places = [list(theirs).index(name) for name in ours]
        picked = {name: array[..., places] for name, array in params[head.name].items()}
        return Kept(ours_too, params | {head.name: picked}, None)
    rest = {name: arrays for name, arrays in params.items() if name != head.name}
    return Kept(ours_too, rest, head.name)


def pack_start(params: Tree) -> bytes:
    """Weights to start from, as a task carries them."""
    from pennyweight.train import state_file

    return state_file.pack({"weights": params})


def started_from(params: Tree, start: bytes) -> Tree:
    """Freshly drawn `params` with the weights `start` in place of some.

    Raises ValueError where these are damaged or of another network.
    """
    from pennyweight.train import state_file

    started = {layer: dict(arrays) for layer, arrays in params.items()}
    for layer, arrays in state_file.layers(start, "weights").items():
        for name, array in arrays.items():
            drawn = started.get(layer, {}).get(name)
            if drawn is None or drawn.shape != array.shape:
                raise ValueError(f"The weights to start from do not fit at {layer}.{name}.")
            started[layer][name] = np.asarray(array, np.float32)
    return started


def start_digest(start: bytes) -> str:
    """16 hexadecimal digits that tell weights to start from apart."""
    return hashlib.sha256(start).hexdigest()[:16]
