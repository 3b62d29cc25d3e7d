"""Hypothesis strategies: random architectures over every kind of layer, and hostile JSON.

They draw from strategies made once: to make them anew for each layer took most of a test's time.
"""

from typing import Any

from hypothesis import strategies as st

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.convolution import Conv, Depthwise
from pennyweight.arch.dense import Dense
from pennyweight.arch.layers import (
    Layer,
    Shape,
    normal_layers,
    output_shape,
    trained_shapes,
)
from pennyweight.arch.pointwise import BatchNorm, Dropout, LeakyRelu, PRelu, Relu, Silu
from pennyweight.arch.pools import AveragePool, Flatten, GlobalAverage, GlobalMax, MaxPool
from pennyweight.arch.repeat import Repeat
from pennyweight.arch.residual import Residual
from pennyweight.arch.views import Views

INPUT_SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    st.sampled_from([(8, 8, 1), (28, 28, 1), (32, 32, 3)]),
)
SMALL_SHAPES = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(1, 4))

_YES_NO = st.booleans()
_UP_TO = {n: st.integers(0, n) for n in range(5)}
_ONE_TO = {n: st.integers(1, n) for n in range(1, 13)}
_RATES = st.one_of(st.just(0.0), st.floats(1e-6, 0.9))
_HEADS = st.sampled_from([GlobalAverage(), GlobalMax(), Flatten()])
_POINTWISE = ["relu", "relu", "other_activation", "batch_norm", "batch_norm", "dropout"]
_OTHER_ACTIVATIONS = st.sampled_from([LeakyRelu(), PRelu(), Silu()])
_SAME_SIDES = ["conv", "conv", "conv", "depthwise"]
_OTHER_SIDES = ["max_pool", "average_pool"]


@st.composite
def descriptions(
    draw: st.DrawFn,
    shapes: st.SearchStrategy[Shape] = INPUT_SHAPES,
    least: int = 0,
    most: int = 6,
) -> tuple[Any, int, tuple[Layer, ...]]:
    """(input shape, classes, layers as one may write them, not in normal form)."""
    input_shape = draw(shapes)
    layers = _sequence(draw, input_shape, least, most, nesting=2)
    layers = (*layers, draw(_HEADS))
    layers += _sequence(draw, output_shape(layers, input_shape), 0, 2, nesting=2)
    (features,) = output_shape(layers, input_shape)
    if features < 2 or draw(_YES_NO):
        features = 1 + draw(_ONE_TO[11])
        layers += (Dense(width=features, bias=draw(_YES_NO)),)
    return input_shape, features, layers


def architectures(
    shapes: st.SearchStrategy[Shape] = INPUT_SHAPES, least: int = 0, most: int = 6
) -> st.SearchStrategy[Architecture]:
    """Architectures of so many layers before the head, not counting those in residuals."""
    return descriptions(shapes, least, most).map(lambda parts: Architecture(*parts))


@st.composite
def windows(draw: st.DrawFn, shape: Shape, count: int) -> tuple[Layer, ...]:
    """Convolutions and pools, one after the other from `shape` on."""
    layers: list[Layer] = []
    for _ in range(count):
        kind = draw(st.sampled_from(_SAME_SIDES + _OTHER_SIDES))
        layers.append(_layer(draw, output_shape(layers, shape), kind))
    return tuple(layers)


def _sequence(
    draw: st.DrawFn, shape: Shape, least: int, most: int, *, nesting: int, keep: bool = False
) -> tuple[Layer, ...]:
    """Layers that can follow one another from `shape` on; with `keep`, back to that shape."""
    layers: list[Layer] = []
    here = shape
    for _ in range(draw(st.integers(least, most))):
        spatial = _SAME_SIDES + ([] if keep else _OTHER_SIDES)
        kinds = _POINTWISE + (spatial if len(here) == 3 else ["dense"])
        blocks = ["residual", "residual", "repeat"] + ["views"] * (len(here) == 3)
        kind = draw(st.sampled_from(kinds + blocks * nesting))
        layers.append(_layer(draw, here, kind, nesting, keep))
        here = layers[-1].output_shape(here)
    if keep and here != shape:
        layers.append(_widened(draw, here, shape[-1]))
    if keep and not normal_layers(layers, shape):  # the body of a residual has to do something
        layers.append(Relu())
    return tuple(layers)


def _layer(draw: st.DrawFn, shape: Shape, kind: str, nesting: int = 0, keep: bool = False) -> Layer:
    """A layer of `kind` that can stand at `shape`; with `keep` it keeps height and width."""
    match kind:
        case "relu":
            return Relu()
        case "other_activation":
            return draw(_OTHER_ACTIVATIONS)
        case "batch_norm":
            return BatchNorm()
        case "dropout":
            return Dropout(rate=draw(_RATES))
        case "residual":
            return Residual(body=_sequence(draw, shape, 0, 3, nesting=nesting - 1, keep=True))
        case "repeat":
            body = _sequence(draw, shape, 0, 2, nesting=nesting - 1, keep=True)
            if not trained_shapes(body, shape):
                body += (BatchNorm(),)
            return Repeat(times=1 + draw(_ONE_TO[2]), body=body)
        case "views":
            body = _sequence(draw, shape, 0, 3, nesting=nesting - 1, keep=keep)
            return Views(body=body if normal_layers(body, shape) else (Relu(),))
        case "depthwise":
            return Depthwise(**_window(draw, shape, keep))
        case "max_pool" | "average_pool":
            pool = MaxPool if kind == "max_pool" else AveragePool
            return pool(extent=draw(_ONE_TO[min(4, *shape[:2])]), stride=draw(_UP_TO[4]))
        case _:
            return _widened(draw, shape, draw(_ONE_TO[10]), keep)


def _widened(draw: st.DrawFn, shape: Shape, width: int, keep: bool = True) -> Layer:
    """A layer from `shape` to so many features or channels."""
    if len(shape) == 1:
        return Dense(width=width, bias=draw(_YES_NO))
    return Conv(width=width, **_window(draw, shape, keep))


def _window(draw: st.DrawFn, shape: Shape, keep: bool) -> dict[str, Any]:
    """The fields of a convolution that can stand at `shape`."""
    kernel, dilation = draw(_ONE_TO[5]), draw(_ONE_TO[3])
    fits = (kernel - 1) * dilation < min(shape[:2])
    return {
        "kernel": kernel,
        "dilation": dilation,
        "stride": 1 if keep and shape[:2] != (1, 1) else draw(_ONE_TO[3]),
        "valid": fits and (kernel == 1 or not keep) and draw(_YES_NO),
        "bias": draw(_YES_NO),
    }


@st.composite
def respelled(draw: st.DrawFn, layers: tuple[Layer, ...], shape: Shape) -> tuple[Layer, ...]:
    """The same network written otherwise, by the rules of the normal form."""
    written: list[Layer] = []
    for layer in layers:
        after = layer.output_shape(shape)
        idle = [
            Dropout(rate=0.0),
            *([MaxPool(extent=1), AveragePool(extent=1)] * (len(shape) == 3)),
        ]
        written += draw(st.lists(st.sampled_from(idle), max_size=1))
        written.append(draw(_respelled_layer(layer, shape)))
        written += [Relu()] * (draw(_UP_TO[2]) if isinstance(layer, Relu) else 0)
        shape = after
    return tuple(written)


def _respelled_layer(layer: Layer, shape: Shape) -> st.SearchStrategy[Layer]:
    match layer:
        case Conv(kernel=1, width=width, stride=stride, bias=bias):
            return st.builds(
                lambda x, v: Conv(
                    width=width, kernel=1, stride=stride, bias=bias, dilation=x, valid=v
                ),
                _ONE_TO[9],
                _YES_NO,
            )
        case Depthwise(kernel=1, stride=stride, bias=bias):
            return st.builds(
                lambda x, v: Depthwise(kernel=1, stride=stride, bias=bias, dilation=x, valid=v),
                _ONE_TO[9],
                _YES_NO,
            )
        case MaxPool(stride=0) | AveragePool(stride=0):
            return st.sampled_from([layer, type(layer)(extent=layer.extent, stride=layer.extent)])
        case Flatten() if shape[:2] == (1, 1):
            return st.sampled_from([Flatten(), GlobalAverage(), GlobalMax()])
        case Residual(body=body):
            return respelled(body, shape).map(lambda body: Residual(body=body))
        case Views(body=body):
            return respelled(body, shape).map(lambda body: Views(body=body))
        case Repeat(times=times, body=body):
            return respelled(body, shape).map(lambda body: Repeat(times=times, body=body))
        case _:
            return st.just(layer)


JSON_VALUES = st.recursive(
    st.one_of(
        st.sampled_from([None, True, False, -1, 0, 1, 2**63, 10**400, float("nan"), float("inf")]),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["conv", "relu", "residual", "dropout", "a\nb", "\x1b[2J", "\ud800"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["kind", "width", "body", "rate", "layers", "classes", "a\nb", ""]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
"""What `json.loads` may return, with the words of an architecture in unexpected places."""
