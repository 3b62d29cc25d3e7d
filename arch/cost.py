"""What an architecture costs, in closed form: no network is built and no JAX imported."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.layers import Layer, Shape, trained_shapes
from pennyweight.arch.notation import notation
from pennyweight.arch.pointwise import BatchNorm, Dropout

BYTES = 4  # of a float32 weight or activation


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Closed-form costs for one picture.

    `params` is everything the optimiser updates; `deployed_params` the same after each BatchNorm
    has been folded into a convolution, dense layer or BatchNorm straight before it. `macs` are
    those of convolutions and dense layers, padding included. `peak_activation_bytes` is the most
    that must be held at once in float32 when layers run one by one: a layer's input and output
    (BatchNorm, ReLU, dropout and flatten work in place) and what open residual connections keep.
    `weight_bytes` is the deployed weights in float32. `receptive_field` is the pixels across that
    one value of the last feature map sees of one view, were the picture large enough.
    """

    params: int
    deployed_params: int
    macs: int
    peak_activation_bytes: int
    weight_bytes: int
    receptive_field: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def cost(architecture: Architecture) -> Cost:
    """The cost of `architecture`.

    >>> from pennyweight.arch.notation import parse
    >>> cost(parse("c8br m2 A d10+", (28, 28, 1), 10)).params
    178
    """
    flat = list(architecture.flat())
    deployed = _deployed(architecture.placed)
    return Cost(
        params=sum(map(params, flat)),
        deployed_params=deployed,
        macs=sum(p.layer.macs(p.input_shape) for p in flat),
        peak_activation_bytes=BYTES * max(map(_live_values, flat)),
        weight_bytes=BYTES * deployed,
        receptive_field=receptive_fields(flat)[-1],
    )


def training_macs(architecture: Architecture) -> int:
    """The multiply-accumulates of one picture to learn from, of which there is one view."""
    return sum(p.layer.macs(p.input_shape) for p in architecture.flat() if not p.layer.children)


def params(placed: Placed) -> int:
    """The trainable parameters of one layer: not those inside it, nor those that it shares."""
    return sum(math.prod(w.shape) for w in placed.weights().values() if w.trained)


def trainable(layers: Iterable[Layer], shape: Shape) -> int:
    """The trainable parameters of `layers` after an input of `shape`.

    As `cost` counts them, without the places of the layers and the other costs: a decoder asks it
    many times for a network.
    """
    return sum(map(math.prod, trained_shapes(layers, shape)))


def receptive_fields(flat: Iterable[Placed]) -> list[int]:
    """The receptive field after each layer, in pixels: r += (extent - 1) * jump, jump *= stride."""
    field, jump, fields = 1, 1, []
    for placed in flat:
        extent, stride = placed.layer.window
        field += (extent - 1) * jump
        jump *= stride
        fields.append(field)
    return fields


def _live_values(placed: Placed) -> int:
    """Values held while one layer runs."""
    before, after = math.prod(placed.input_shape), math.prod(placed.output_shape)
    held = [math.prod(shape) for shape in placed.held]
    if placed.opens:  # its input is among the held
        return sum(held) + after
    return sum(held) + (before if placed.layer.in_place else before + after)


def _deployed(sequence: Iterable[Placed], *, repeated: bool = False) -> int:
    """Parameters left when every BatchNorm is folded where it can be.

    In a `repeated` block none is: its statistics differ from round to round, the kernel does not.
    """
    total = 0
    offset: bool | None = None  # of the layer before, if a BatchNorm folds into it
    for placed in sequence:
        layer = placed.layer
        if layer.children:
            inside = repeated or layer.rounds > 1
            total, offset = total + _deployed(placed.children, repeated=inside), None
        elif isinstance(layer, BatchNorm):
            own = {None: 2, False: 1, True: 0}[offset]  # scale and offset, an offset, nothing
            total, offset = total + own * placed.input_shape[-1], not repeated or None
        elif not isinstance(layer, Dropout):  # nothing is dropped when deployed
            total += params(placed)
            folds = layer.folds_batch_norm and not repeated
            offset = bool(getattr(layer, "bias", False)) if folds else None
    return total


def layer_table(architecture: Architecture) -> list[dict[str, object]]:
    """One row a layer: name, notation, output shape, parameters, MACs and receptive field."""
    flat = list(architecture.flat())
    return [
        {
            "name": p.name,
            "notation": p.layer.joined if p.layer.children else notation([p.layer]),
            "output_shape": list(p.output_shape),
            "params": params(p),
            "macs": p.layer.macs(p.input_shape),
            "receptive_field": field,
        }
        for p, field in zip(flat, receptive_fields(flat), strict=True)
    ]
