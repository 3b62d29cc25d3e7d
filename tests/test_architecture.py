"""The architecture as a value: equality, normal form, JSON and what a hostile description gets."""

import dataclasses
import json
import pkgutil
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import JSON_VALUES, architectures, descriptions, respelled

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.convolution import Conv
from pennyweight.arch.errors import UsageError, close_names, shown
from pennyweight.arch.layers import KINDS, Layer
from pennyweight.arch.limits import (
    DEEPEST,
    LARGEST,
    MOST_IN_A_MAP,
    MOST_LAYERS,
    MOST_MACS,
    MOST_WEIGHTS,
)
from pennyweight.arch.notation import parse
from pennyweight.arch.pointwise import Dropout, Relu
from pennyweight.arch.pools import Flatten, MaxPool
from pennyweight.arch.residual import Residual

GOOD: dict[str, Any] = {
    "input_shape": [8, 8, 1],
    "classes": 10,
    "layers": [
        {"kind": "conv", "width": 4, "bias": True},
        {"kind": "residual", "body": [{"kind": "depthwise"}, {"kind": "dropout", "rate": 0.1}]},
        {"kind": "max_pool", "extent": 2},
        {"kind": "flatten"},
        {"kind": "dense", "width": 10},
    ],
}


def attempt(description: Any) -> Architecture | str:
    """The architecture, or the message that the description is refused with."""
    try:
        return Architecture.from_json(description)
    except UsageError as error:
        return str(error)


def refusal(description: Any) -> str:
    """The message that `description` is refused with: short, and one line."""
    message = attempt(description)
    assert isinstance(message, str)
    assert message.isprintable()
    assert 10 < len(message) < 500
    return message


@settings(max_examples=100, derandomize=True)
@given(architectures())
def test_the_json_form_reads_back_as_the_same_architecture(a: Architecture) -> None:
    again = Architecture.from_json(json.loads(json.dumps(a.to_json())))
    assert again == a
    assert hash(again) == hash(a)
    assert again.fingerprint == a.fingerprint
    assert again.canonical == a.canonical
    assert json.loads(a.canonical) == a.to_json()


@settings(max_examples=60, derandomize=True)
@given(st.data(), descriptions())
def test_the_same_network_written_otherwise_is_the_same_value(
    data: st.DataObject, description: tuple[Any, int, tuple[Layer, ...]]
) -> None:
    input_shape, classes, layers = description
    a = Architecture(input_shape, classes, layers)
    other = Architecture(input_shape, classes, data.draw(respelled(a.layers, input_shape)))
    assert other == a
    assert hash(other) == hash(a)
    assert other.fingerprint == a.fingerprint


@settings(max_examples=25, derandomize=True)
@given(st.lists(architectures(st.just((8, 8, 1)), most=2), min_size=8, max_size=8))
def test_fingerprints_are_equal_only_where_architectures_are(drawn: list[Architecture]) -> None:
    assert (
        len({a.fingerprint for a in drawn}) == len(set(drawn)) == len({a.canonical for a in drawn})
    )


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("c4k1x3 A d2", "c4k1 A d2"),
        ("c4k1v A d2", "c4k1 A d2"),
        ("wk1x2v A d2", "wk1 A d2"),
        ("m1 A d2", "A d2"),
        ("a1s1 A d2", "A d2"),
        ("m1s2 A d2", "m1s2 A d2"),
        ("o0 A d2", "A d2"),
        ("ro0rr A d2", "r A d2"),
        ("rbr A d2", "rbr A d2"),
        ("r(r)r A d2", "r (r)r A d2"),
        ("m2s2 A d2", "m2 A d2"),
        ("a2s1 A d2", "a2s1 A d2"),
        ("m8 A d2", "m8 F d2"),
        ("m8 M d2", "m8 F d2"),
        ("m4 A d2", "m4 A d2"),
        ("(m1c1r o0r) A d2", "(c1r) A d2"),
    ],
)
def test_each_rule_of_the_normal_form(written: str, normal: str) -> None:
    a = parse(written, (8, 8, 1), 2)
    assert a.notation == normal
    assert a == parse(normal, (8, 8, 1), 2)


def test_fingerprints_never_change() -> None:
    """Records and pretrained models hold them: an option that a kind gains must not move them."""
    described = Architecture.from_json(GOOD)
    assert described.notation == "c4+ (wo0.1) m2 F d10"
    assert described.fingerprint == "5b7571d0f70a"
    assert parse("c8k5s2x1v+br A d10+", (28, 28, 1), 10).fingerprint == "6b790d1f0b08"


def test_an_architecture_cannot_be_changed() -> None:
    a = Architecture.from_json(GOOD)
    for frozen, field in ((a, "classes"), (a.layers[0], "width"), (a.layers[1], "body")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(frozen, field, 3)
    assert {a: 1}[Architecture.from_json(GOOD)] == 1


@settings(max_examples=60, derandomize=True)
@given(architectures())
def test_layers_are_placed_in_the_order_in_which_they_run(a: Architecture) -> None:
    flat = list(a.flat())
    assert [p.index for p in flat] == list(range(len(flat)))
    assert len({p.name for p in flat}) == len(flat)
    shape = a.input_shape
    for placed in a.placed:
        assert placed.input_shape == shape
        shape = placed.output_shape
        inside = [child.layer for child in placed.children]
        assert inside == list(placed.layer.children) * placed.layer.rounds
    assert shape == (a.classes,)


def test_every_kind_of_layer_refuses_fields_of_the_wrong_type() -> None:
    wrong: dict[type, list[Any]] = {
        int: [True, 1.0, -1, LARGEST + 1, "3", None, 10**400, float("nan")],
        bool: [0, 1, None, "true"],
        float: [True, 1.0, 1, -0.1, float("nan"), float("inf"), "0.1", None, 10**400],
    }
    checked = 0
    for name, kind in KINDS.items():
        fields = dataclasses.fields(kind)
        layer = {"kind": name} | {
            f.name: [{"kind": "batch_norm"}] if f.name == "body" else 1
            for f in fields
            if f.default is dataclasses.MISSING
        }
        for field in fields:
            for value in wrong.get(field.metadata.get("type", object), []):
                message = refusal(GOOD | {"layers": [layer | {field.name: value}]})
                assert field.name in message
                assert name in message
                checked += 1
    assert checked > 100


@pytest.mark.parametrize(
    ("description", "clue"),
    [
        (None, "object"),
        ([], "object"),
        ({}, "`input_shape`"),
        (GOOD | {"clases": 1}, "did you mean classes"),
        (GOOD | {"input_shape": "ab1"}, "'ab1'"),
        (GOOD | {"input_shape": [8, 8]}, "(8, 8)"),
        (GOOD | {"input_shape": [8, True, 1]}, "True"),
        (GOOD | {"input_shape": [8, 8.0, 1]}, "8.0"),
        (GOOD | {"input_shape": [8, 10**9, 1]}, "1000000000"),
        (GOOD | {"input_shape": [8, 10**5000, 1]}, "huge"),
        (GOOD | {"classes": 1}, "from 2 "),
        (GOOD | {"classes": True}, "True"),
        (GOOD | {"classes": 9}, "must give 9 values"),
        (GOOD | {"layers": None}, "None"),
        (GOOD | {"layers": {"kind": "relu"}}, "list"),
        (GOOD | {"layers": ["relu"]}, "'relu'"),
        (GOOD | {"layers": [{}]}, "{}"),
        (GOOD | {"layers": [{"kind": ["conv"]}]}, "kind"),
        (GOOD | {"layers": [{"kind": "convv"}]}, "did you mean conv?"),
        (GOOD | {"layers": [{"kind": "x" * 10**6}]}, "xxx"),
        (GOOD | {"layers": [{"kind": "conv", "width": 1, "kernal": 3}]}, "did you mean kernel?"),
        (GOOD | {"layers": [{"kind": "conv", "width": 1, "a\nb\x1b[2J\ud800": 3}]}, r"\n"),
        (GOOD | {"layers": [{"kind": "conv"}]}, "`width`"),
        (GOOD | {"layers": [{"kind": "residual"}]}, "`body`"),
        (GOOD | {"layers": [{"kind": "residual", "body": "rb"}]}, "'rb'"),
        (GOOD | {"layers": [{"kind": "residual", "body": []}]}, "does something"),
        (GOOD | {"layers": [{"kind": "dense", "width": 10}]}, "head"),
        (GOOD | {"layers": [{"kind": "max_pool", "extent": 9}]}, "8x8"),
        (GOOD | {"layers": [{"kind": "conv", "width": 2, "kernel": 9, "valid": True}]}, "8x8"),
        (GOOD | {"layers": [{"kind": "residual", "body": [{"kind": "flatten"}]}]}, "keep"),
    ],
)
def test_a_wrong_description_is_refused_with_the_rule_and_the_value(
    description: Any, clue: str
) -> None:
    assert clue in refusal(description)


@settings(max_examples=150, derandomize=True)
@given(JSON_VALUES)
def test_any_json_is_an_architecture_or_refused(value: Any) -> None:
    refusal(value)
    refusal(GOOD | {"layers": value})
    refusal(GOOD | {"layers": [value]})


@settings(max_examples=150, derandomize=True)
@given(st.data(), architectures(most=4), JSON_VALUES)
def test_a_description_with_one_value_changed_is_an_architecture_or_refused(
    data: st.DataObject, a: Architecture, value: Any
) -> None:
    description = a.to_json()
    place: Any = description
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    outcome = attempt(description)
    if isinstance(outcome, str):
        assert outcome.isprintable()
        assert len(outcome) < 500
    else:
        assert Architecture.from_json(json.loads(outcome.canonical)) == outcome


@pytest.mark.parametrize("levels", [DEEPEST, DEEPEST + 1, 10_000])
def test_nesting_is_limited_long_before_python_gives_up(levels: int) -> None:
    layer: dict[str, Any] = {"kind": "relu"}
    value: Layer = Relu()
    for _ in range(levels):
        layer = {"kind": "residual", "body": [layer]}
        value = Residual(body=(value,))
    description = GOOD | {"layers": [layer, {"kind": "flatten"}], "classes": 64}
    if levels <= DEEPEST:
        a = Architecture.from_json(description)
        assert a.layers[0] == value
        assert parse(a.notation, (8, 8, 1), 64) == a
        return
    assert "deep" in refusal(description)
    with pytest.raises(UsageError, match="deep"):
        Architecture((8, 8, 1), 64, (value, Flatten()))


def test_the_size_of_an_architecture_is_limited_before_anything_is_allocated() -> None:
    started = time.monotonic()
    wide = [
        {"kind": "flatten"},
        {"kind": "dense", "width": LARGEST},
        {"kind": "dense", "width": 10},
    ]
    assert f"{MOST_WEIGHTS:,}" in refusal(GOOD | {"layers": wide, "input_shape": [999, 999, 9]})
    many = [{"kind": "conv", "width": LARGEST, "kernel": LARGEST}, *GOOD["layers"]]
    assert f"{MOST_WEIGHTS:,}" in refusal(GOOD | {"layers": many})
    large = [{"kind": "global_max"}, {"kind": "dense", "width": 10}]
    huge = [LARGEST] * 3
    assert f"{MOST_IN_A_MAP:,}" in refusal(GOOD | {"layers": large, "input_shape": huge})
    slow = [{"kind": "conv", "width": 1, "kernel": 999}, *large]
    assert f"{MOST_MACS:,}" in refusal(GOOD | {"layers": slow, "input_shape": [999, 999, 1]})
    endless = [{"kind": "relu"}, {"kind": "batch_norm"}] * MOST_LAYERS
    assert f"{MOST_LAYERS:,}" in refusal(GOOD | {"layers": endless})
    assert time.monotonic() - started < 2


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    assert str(UsageError("a\nb\x1b[31m\u2028\ud800 ü")) == r"a\nb\x1b[31m\u2028\ud800 ü"
    nested: Any = []
    for _ in range(10 * sys.getrecursionlimit()):
        nested = [nested]
    for value in (nested, "x" * 10**6, [1] * 10**6, {str(i): i for i in range(10**4)}, 10**5000):
        assert len(shown(value)) < 150


def test_close_names_suggests_or_lists() -> None:
    assert close_names("mnits", ["mnist", "digits"]) == "did you mean mnist?"
    assert close_names("zzz", ["mnist", "digits"]) == "there is mnist, digits."
    assert close_names("zzz", []) == "there is none yet."


def test_two_kinds_cannot_share_a_name_or_letter() -> None:
    from pennyweight.arch.layers import kind

    for name, code in (("conv", "?"), ("other", "c")):
        with pytest.raises(ValueError, match="new name and letter"):
            kind(name, code)(type("Other", (Layer,), {}))
    assert Conv(width=1) != Dropout(rate=0.5)
    assert MaxPool(extent=2) == MaxPool(extent=2)


def test_exported_names_are_listed_and_are_no_module_names() -> None:
    """`from pennyweight.arch import cost` would be a function or a module, by what ran before."""
    from pennyweight import arch

    homes = {name: home for home, names in arch._HOMES.items() for name in names}
    assert sorted(homes) == sorted(arch.__all__)
    assert set(arch.__all__) <= set(dir(arch))
    assert not set(arch.__all__) & {module.name for module in pkgutil.iter_modules(arch.__path__)}
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = arch.no_such_name
