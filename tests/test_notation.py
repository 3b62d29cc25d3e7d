"""The one-line notation prints and parses, and refuses everything else in one line."""

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures, descriptions

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.layers import KINDS, Layer
from pennyweight.arch.limits import MOST_LAYERS
from pennyweight.arch.notation import notation, parse

SHAPE = (8, 8, 1)


def attempt(text: str) -> Architecture | str:
    """The architecture, or the message that the notation is refused with."""
    try:
        return parse(text, SHAPE, 10)
    except UsageError as error:
        return str(error)


@settings(max_examples=150, derandomize=True)
@given(architectures())
def test_what_prints_parses_to_the_same_architecture(a: Architecture) -> None:
    again = parse(a.notation, a.input_shape, a.classes)
    assert again == a
    assert again.notation == a.notation


@settings(max_examples=60, derandomize=True)
@given(descriptions())
def test_a_description_out_of_normal_form_prints_and_parses_to_its_architecture(
    description: tuple[Any, int, tuple[Layer, ...]],
) -> None:
    input_shape, classes, layers = description
    a = Architecture(input_shape, classes, layers)
    assert parse(notation(layers), input_shape, classes) == a


@settings(max_examples=60, derandomize=True)
@given(architectures(), st.text(" \t\n", max_size=3), st.text(" ", max_size=2))
def test_spaces_between_layers_do_not_matter(
    a: Architecture, wide: str, round_brackets: str
) -> None:
    text = a.notation
    tight = re.sub(r" (?!\d+\[)", "", text)  # `c8 3[` is no `c83[`
    loose = text.replace(" ", f" {wide}")
    for bracket in "()":
        loose = loose.replace(bracket, round_brackets + bracket + round_brackets)
    for spelling in (tight, loose, f"{wide}{text}{wide}"):
        assert parse(spelling, a.input_shape, a.classes) == a


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("c8+s2k5 A d10", "c8k5s2+ A d10"),
        ("c8k3s1x1 A d10", "c8 A d10"),
        ("c008 A d0010", "c8 A d10"),
        ("w+vx2 A d10", "wx2v+ A d10"),
        ("a3s2 A d10", "a3s2 A d10"),
        ("o.5 A d10", "o0.5 A d10"),
        ("o0.50 A d10", "o0.5 A d10"),
        ("o1e-05A d10", "o1e-05 A d10"),
        ("(c1 ) r A d10", "(c1)r A d10"),
        ("(((r)c1b)r)b A d10", "(((r) c1b)r)b A d10"),
    ],
)
def test_printing_is_canonical(written: str, printed: str) -> None:
    assert parse(written, SHAPE, 10).notation == printed


def test_options_have_letters_of_their_own() -> None:
    """A letter that started both an option and a kind would make `c8v` two things."""
    import dataclasses

    starts = [kind.code for kind in KINDS.values()]
    assert len(set(starts)) == len(starts)
    for kind in KINDS.values():
        codes = [f.metadata["code"] for f in dataclasses.fields(kind) if "code" in f.metadata]
        options = [code for code in codes if code]
        assert len(set(options)) == len(options)
        assert not {code[0] for code in options} & {*starts, ")", *"0123456789"}


@pytest.mark.parametrize(
    ("text", "clue"),
    [
        ("", "must give 10 values"),
        ("   ", "must give 10 values"),
        ("A", "must give 10 values, one for each class, but gives 1; end with"),
        ("q8", "not understood at `q8`"),
        ("c8 8", "not understood at `8`"),
        ("c A d10", "not understood at `c A d10`"),
        ("c8vv A d10", "not understood at `v A d10`"),
        ("c٣ A d10", "not understood"),
        ("c8 ) A d10", "not understood at `) A d10`"),
        ("() A d10", "not understood at `) A d10`"),
        ("(c8", "leaves a bracket open"),
        ("(", "leaves a bracket open"),
        ("(c8)A d10", "Layer 1 (residual) does not fit: a residual body must keep"),
        ("(o0) A d10", "a residual body needs a layer that does something"),
        ("d10", "Layer 1 (dense) does not fit: a dense layer needs a head"),
        ("A c8 d10", "Layer 2 (conv) does not fit"),
        ("m9 A d10", "Layer 1 (max_pool) does not fit: pooling over 9 pixels"),
        ("c8k9v A d10", "unpadded window of 9 pixels"),
        ("c0 A d10", "`c0`: `width` of a conv layer must be a whole number from 1"),
        ("c8s0 A d10", "`c8s0`: `stride` of a conv layer must be a whole number from 1"),
        ("c65537 A d10", "65537"),
        ("c12345678901 A d10", "but got 12345678901"),
        (f"c{'1' * 5000} A d10", "from 1 to 65536"),
        ("o1 A d10", "`o1`: `rate` of a dropout layer must be at least 0 and below 1, but got 1.0"),
        ("o1e999 A d10", "inf"),
        ("A d9", "must give 10 values, one for each class, but gives 9"),
        ("c8\nq\x1b[2J", r"\nq\x1b[2J"),
        (f"{'(' * 9}r{')' * 9} A d10", "deep"),
        ("r" * 10**6, "32,000 characters"),
        ("rb" * MOST_LAYERS + "A d10", "1,000 layers"),
    ],
)
def test_what_is_not_understood_is_shown_in_one_line(text: str, clue: str) -> None:
    message = attempt(text)
    assert isinstance(message, str)
    assert clue in message
    assert message.isprintable()
    assert len(message) < 500


PIECES = [
    *"cwbromaMAFd()ksxv+ .e-",
    "c8",
    "d10",
    "k5",
    "o0.1",
    "A d10",
    "0",
    "1",
    "9" * 12,
    "\n",
    "é",
]


@settings(max_examples=300, derandomize=True)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_any_text_is_an_architecture_or_refused_in_one_line(text: str) -> None:
    outcome = attempt(text)
    if isinstance(outcome, str):
        assert outcome.isprintable()
        assert len(outcome) < 500
    else:
        assert parse(outcome.notation, SHAPE, 10) == outcome


@pytest.mark.parametrize(
    "piece", ["(", "c", "c8", "1", "c8k1s1x1v+", "r", " ", "o.", "o1e-", "(r)", "A"]
)
def test_long_text_is_answered_at_once(piece: str) -> None:
    """No reading is worse than quadratic in a text of limited length; a bad regexp would hang."""
    started = time.process_time()
    outcomes = [attempt(piece * (31_000 // len(piece))), attempt(f"c8{piece * 3_000} A d10")]
    assert time.process_time() - started < 5
    assert any(isinstance(outcome, str) for outcome in outcomes)


def test_the_longest_architecture_still_prints_and_parses() -> None:
    text = "o0.12345678901234567b" * (MOST_LAYERS // 2 - 1) + "A d10"
    a = parse(text, SHAPE, 10)
    assert parse(a.notation, SHAPE, 10) == a
    assert len(list(a.flat())) == MOST_LAYERS


def test_blocks_nest_deep_without_taking_long() -> None:
    deep = "c1 " + "2[" * 8 + "c1" + "]" * 8 + " A d10+"
    started = time.process_time()
    a = parse(deep, (8, 8, 1), 10)
    assert len(list(a.flat())) > 2**8
    assert time.process_time() - started < 2
    with pytest.raises(UsageError, match="Blocks in brackets nest at most 8"):
        parse("c1 " + "2[" * 9 + "c1" + "]" * 9 + " A d10+", (8, 8, 1), 10)


@pytest.mark.parametrize(
    "text", ["c8 [3c8] A d10+", "c8 3(c8) A d10+", "c8 ]", "3", "3[", "[", "2[]"]
)
def test_brackets_that_are_no_block_are_misunderstood(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text, (8, 8, 1), 10)
