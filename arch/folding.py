"""From a trained network to what is deployed of it: each BatchNorm goes into what is before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.layers import Shape
from pennyweight.arch.operations import (
    Activate,
    Add,
    Affine,
    Convolve,
    Multiply,
    Operation,
    Pass,
    Piece,
    Shift,
)
from pennyweight.arch.pointwise import BatchNorm
from pennyweight.arch.views import MOVES

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree


def deploy(
    architecture: Architecture,
    params: Tree,
    statistics: Tree,
    mean: Sequence[float],
    std: Sequence[float],
) -> Deployed:
    """The network of `architecture` with its weights, as it is deployed.

    >>> from pennyweight.arch.network import draw_weights
    >>> from pennyweight.arch.notation import parse
    >>> network = parse("c8br m2 A d10+", (28, 28, 1), 10)
    >>> deployed = deploy(network, *draw_weights(network, seed=0), [0.1], [0.3])
    >>> [type(step.operation).__name__ for step in deployed.steps], deployed.params
    (['Convolve', 'Pool', 'Pool', 'Multiply'], 170)
    """
    folding = _Folding(architecture.input_shape, _float32(params), _float32(statistics))
    folding.run(architecture.placed, repeated=False)
    return Deployed(
        input_shape=architecture.input_shape,
        classes=architecture.classes,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
        steps=tuple(folding.steps),
    )


class _Folding:
    """Collects the steps of a network, folding on the way."""

    def __init__(self, shape: Shape, params: Tree, statistics: Tree) -> None:
        self.steps: list[Step] = []
        self._shape, self._params, self._statistics = shape, params, statistics
        self._held: list[int] = []  # values that an open residual connection still needs

    def run(self, sequence: Sequence[Placed], *, repeated: bool) -> None:
        """Append the steps of `sequence`; a `repeated` block shares kernels, so nothing folds."""
        folds = False  # whether a BatchNorm here is absorbed by what is before it
        for placed in sequence:
            layer = placed.layer
            if layer.children:
                self._block(placed, repeated=repeated or layer.rounds > 1)
                folds = False
                continue
            pieces = layer.deployed(placed.input_shape, self._arrays(placed))
            for piece in pieces:
                self._add(piece, placed, fold=folds and isinstance(layer, BatchNorm))
            if pieces:  # dropout leaves none, and a fold goes through it
                folds = (layer.folds_batch_norm or isinstance(layer, BatchNorm)) and not repeated

    def _block(self, placed: Placed, *, repeated: bool) -> None:
        skip = len(self.steps)
        if placed.layer.keeps_input:
            self._held.append(skip)
        self.run(placed.children, repeated=repeated)
        if placed.layer.keeps_input:
            self._held.pop()
            if placed.layer.views == 1:
                self._sum(skip, placed.output_shape)
            else:
                self._add_views(placed, skip)

    def _add_views(self, placed: Placed, given: int) -> None:
        """The steps since the value `given` once more for each move of it, and the mean of all."""
        inside = self.steps[given:]
        for down, right in MOVES:
            total = len(self.steps)
            self._append(Shift(down=down, right=right), (given,), *[placed.input_shape] * 2)
            later = len(self.steps) - given
            for step in inside:
                inputs = tuple(value + later for value in step.inputs)
                self.steps.append(replace(step, inputs=inputs))
            self._sum(total, placed.output_shape)
        self._add(Affine(scale=1 / placed.layer.views), placed, fold=False)

    def _sum(self, value: int, shape: Shape) -> None:
        """An earlier value and the last."""
        self._append(Add(), (value, len(self.steps)), shape, shape)

    def _arrays(self, placed: Placed) -> dict[str, np.ndarray]:
        own, shared = placed.name, placed.shares or placed.name
        return {**self._params.get(shared, {}), **self._statistics.get(own, {})}

    def _add(self, piece: Piece, placed: Placed, *, fold: bool) -> None:
        if not isinstance(piece, Affine | Activate):
            value = len(self.steps)
            self._append(piece, (value,), placed.input_shape, placed.output_shape)
            return
        value = len(self.steps)
        if value == 0 or value in self._held:
            shape = self.steps[-1].output_shape if self.steps else self._shape
            self._append(Pass(), (value,), shape, shape)
        last = self.steps[-1]
        if fold and isinstance(piece, Affine):
            self.steps[-1] = _folded(last, piece)
        else:
            self.steps[-1] = replace(last, pointwise=(*last.pointwise, piece))

    def _append(
        self, operation: Operation, inputs: tuple[int, ...], before: Shape, after: Shape
    ) -> None:
        step = Step(operation=operation, inputs=inputs, input_shape=before, output_shape=after)
        self.steps.append(step)


def _folded(step: Step, outer: Affine) -> Step:
    """`step` with `outer` absorbed by the affine map, or the kernel, that it comes straight after.

    outer(x * s + o) = x * (s * scale) + (o * scale + offset), in double precision.
    """
    inner = step.pointwise[-1] if step.pointwise else Affine()
    assert isinstance(inner, Affine)
    assert isinstance(outer.scale, np.ndarray)  # a BatchNorm's
    assert outer.offset is not None
    times = outer.scale.astype(np.float64)
    offset = (0.0 if inner.offset is None else inner.offset) * times + outer.offset
    rest = step.pointwise[:-1]
    if inner.scale is not None:
        scale = (inner.scale * times).astype(np.float32)
        merged = Affine(scale=scale, offset=offset.astype(np.float32))
        return replace(step, pointwise=(*rest, merged))
    operation = step.operation
    assert isinstance(operation, Convolve | Multiply)
    # The last axis of a kernel is the outputs, depthwise or not.
    kernel = (operation.kernel * times).astype(np.float32)
    merged = Affine(offset=offset.astype(np.float32))
    return replace(step, operation=replace(operation, kernel=kernel), pointwise=(*rest, merged))


def _float32(tree: Mapping[str, Mapping[str, object]]) -> Tree:
    """One NumPy array for each: several steps share what is one object."""
    return {
        layer: {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        for layer, arrays in tree.items()
    }
