"""What a layer is: a frozen value that knows its notation, its shape, its cost and its mathematics.

A kind of layer is one class below `Layer`, decorated with `kind`; nothing else in the project lists
the kinds. Modules that only describe networks import no JAX, so a kind imports its kernels inside
`apply`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pennyweight.arch.errors import shown
from pennyweight.arch.limits import LARGEST

if TYPE_CHECKING:
    import jax
    import numpy as np

    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule
    from pennyweight.arch.operations import Piece

Shape = tuple[int, ...]
"""(height, width, channels) of one picture's feature map, or (features,) after a head."""

KINDS: dict[str, type[Layer]] = {}
"""Every kind of layer by its JSON name."""


@dataclass(frozen=True)
class Weight:
    """One array of a layer: its shape, how it starts, and whether the optimiser updates it."""

    shape: tuple[int, ...]
    start: Literal["he", "zeros", "ones", "quarter"]
    trained: bool = True


@dataclass(frozen=True)
class Call:
    """How a network is applied. The default predicts.

    With `batch_statistics`, each BatchNorm uses those of the batch and leaves them in its
    variables; with a `dropout_key`, dropout drops.
    """

    batch_statistics: bool | jax.Array = False  # may be traced
    dropout_key: jax.Array | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer. Subclasses are frozen dataclasses whose fields describe it completely.

    Fields are made by `size`, `flag` and `fraction`; another type or range is a ValueError.
    `glued` layers print without a space before them; `in_place` ones need no buffer of their own;
    `folds_batch_norm` ones absorb a BatchNorm that follows them when the network is deployed;
    `keeps_input` ones hold what went in until the layers inside them are done, which predict of so
    many `views` of it.
    """

    kind: ClassVar[str]
    code: ClassVar[str]
    glued: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    folds_batch_norm: ClassVar[bool] = False
    keeps_input: ClassVar[bool] = False
    views: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            _check(field, getattr(self, field.name), self.kind)

    def output_shape(self, shape: Shape) -> Shape:
        """The shape after this layer; ValueError, one clause, when it cannot follow `shape`."""
        return shape

    def normal(self, shape: Shape, previous: Layer | None) -> Layer | None:
        """The normal form of this layer after `previous`; None when it does nothing there."""
        del shape, previous
        return self

    def weights(self, shape: Shape) -> dict[str, Weight]:
        """The arrays for an input of `shape`, named as Flax's own layers name theirs."""
        del shape
        return {}

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates for one picture."""
        del shape
        return 0

    @property
    def children(self) -> tuple[Layer, ...]:
        """Layers inside this one."""
        return ()

    @property
    def rounds(self) -> int:
        """How often the layers inside run, with the same trained weights each time."""
        return 1

    @property
    def window(self) -> tuple[int, int]:
        """(extent, stride) of what one output pixel sees, in input pixels."""
        return 1, 1

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        """The layer's mathematics."""
        raise NotImplementedError

    def around(self, run: Callable[[Maps, Call], Maps], x: Maps, call: Call) -> Maps:
        """The mathematics of a layer with children, which `run` runs."""
        raise NotImplementedError

    @property
    def joined(self) -> str:
        """What a table says of a layer with children, after them."""
        raise NotImplementedError

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        """What predicts for this layer, from its float32 arrays as `weights` names them."""
        raise NotImplementedError

    def source(self, shape: Shape) -> tuple[list[str], str]:
        """Standalone Flax source: the constructor with its arguments, and the output.

        The constructor is [] where nothing is constructed; `rngs` is at hand there. In the output,
        `{self}` stands for what was constructed, `{x}` for the input (for a glued layer a whole
        expression, so keep it in brackets) and `{skip}` for the input of a layer with children.
        """
        raise NotImplementedError

    def source_around(self, inside: list[str], depth: int) -> list[str]:
        """The statements of a layer with children, from theirs, which are `depth` layers deep."""
        del depth
        return inside


_L = TypeVar("_L", bound=type[Layer])


def kind(name: str, code: str) -> Callable[[_L], _L]:
    """Register a layer class by its JSON `name` and the letter `code` that starts its notation."""

    def register(cls: _L) -> _L:
        taken = {k.code: n for n, k in KINDS.items()}
        if name in KINDS or code in taken:
            raise ValueError(f"Layer kinds need a new name and letter, but got {name=}, {code=}.")
        cls.kind, cls.code = name, code
        KINDS[name] = cls
        return cls

    return register


def size(code: str = "", default: int | None = None, least: int = 1) -> Any:
    """A whole-number field written `code` + digits; without a default it is always written."""
    rest: dict[str, Any] = {} if default is None else {"default": default}
    return dataclasses.field(metadata={"code": code, "type": int, "least": least}, **rest)


def flag(code: str) -> Any:
    """A yes-or-no field, False by default, written `code` when True."""
    return dataclasses.field(default=False, metadata={"code": code, "type": bool})


def fraction(code: str = "") -> Any:
    """A field in [0, 1), written `code` + a decimal."""
    return dataclasses.field(metadata={"code": code, "type": float})


_fields = functools.cache(dataclasses.fields)  # of a class: a decoder makes thousands of layers


def _check(field: dataclasses.Field[Any], value: Any, kind: str) -> None:
    """Raise ValueError when `value` is not of the type or range of `field`; a bool is no number."""
    wanted = field.metadata.get("type")
    if wanted is bool and type(value) is not bool:
        rule = "must be true or false"
    elif wanted is int and not (type(value) is int and field.metadata["least"] <= value <= LARGEST):
        rule = f"must be a whole number from {field.metadata['least']} to {LARGEST}"
    elif wanted is float and not (_is_number(value) and 0 <= value < 1):
        rule = "must be at least 0 and below 1"
    else:
        return
    raise ValueError(f"`{field.name}` of a {kind} layer {rule}, but got {shown(value)}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool


def pixels(shape: Shape, what: str) -> tuple[int, int, int]:
    """`shape` as (height, width, channels); ValueError when it is a vector already."""
    if len(shape) != 3:
        raise ValueError(f"{what} needs a picture, but the head has already made a vector of it")
    return shape[0], shape[1], shape[2]


def output_shape(layers: Iterable[Layer], shape: Shape) -> Shape:
    """The shape after all of `layers`."""
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape


def trained_shapes(layers: Iterable[Layer], shape: Shape) -> list[tuple[int, ...]]:
    """The shapes of all trained weights of `layers`, those inside them too."""
    shapes: list[tuple[int, ...]] = []
    for layer in layers:
        shapes += [w.shape for w in layer.weights(shape).values() if w.trained]
        if layer.children:
            shapes += trained_shapes(layer.children, shape)
        shape = layer.output_shape(shape)
    return shapes


def macs_of(layers: Iterable[Layer], shape: Shape) -> int:
    """The multiply-accumulates of `layers`, those inside them too, for one picture."""
    total = 0
    for layer in layers:
        inside = shape
        for _ in range(layer.rounds if layer.children else 0):
            total += macs_of(layer.children, inside)
            inside = output_shape(layer.children, inside)
        total += layer.macs(shape)
        shape = layer.output_shape(shape)
    return total


def normal_layers(layers: Iterable[Layer], shape: Shape) -> tuple[Layer, ...]:
    """`layers` in normal form; ValueError names the first one that cannot stand where it is."""
    kept: list[Layer] = []
    for number, layer in enumerate(layers, 1):
        try:
            after = layer.output_shape(shape)
            normal = layer.normal(shape, kept[-1] if kept else None)
        except ValueError as error:
            clause = str(error).rstrip(".")
            raise ValueError(f"Layer {number} ({layer.kind}) does not fit: {clause}.") from None
        if normal is not None:
            kept.append(normal)
        shape = after
    return tuple(kept)
