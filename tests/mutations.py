"""Hypothesis strategies that damage something good: bytes, text and JSON."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st
from strategies import JSON_VALUES

_EDITS = st.sampled_from(["turn", "overwrite", "insert", "remove", "repeat", "cut"])
_MARKS = st.sampled_from(
    [
        b"\0",
        b"\xff" * 4,
        b"\x7f\xff\xff\xff",
        b"\x80",
        b"\n",
        b'"',
        b",",
        b"{",
        b"[",
        b"-1",
        b"9" * 40,
    ]
)


@st.composite
def damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Good content after a few edits, each at a place of its own."""
    content = bytearray(draw(good))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        end = at + draw(st.integers(1, 64))
        match draw(_EDITS):
            case "turn" if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "overwrite":
                mark = draw(_MARKS)
                content[at : at + len(mark)] = mark
            case "insert":
                content[at:at] = draw(_MARKS | st.binary(max_size=8))
            case "remove":
                del content[at:end]
            case "repeat":
                content[at:at] = content[at:end] * draw(st.integers(1, 40))
            case "cut":
                del content[at:]
    return bytes(content)


@st.composite
def wrong_text(draw: st.DrawFn, good: st.SearchStrategy[str]) -> str:
    """Good text after a few edits."""
    text = draw(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.integers(0, 6))
        other = draw(
            st.sampled_from(["", "9" * 20, "(", ")", "[", "]", "2[", " ", "\0"]) | st.text()
        )
        text = text[:at] + other + text[end:]
    return text


@st.composite
def changed(draw: st.DrawFn, good: Any) -> Any:
    """A JSON value in which one or two places hold another, are gone or are twice there."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 2))):
        value = _changed_once(draw, value)
    return value


def _changed_once(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value:
        return draw(JSON_VALUES)
    place = value
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key: Any = draw(st.sampled_from(keys))
        below = place[key]
        if not isinstance(below, dict | list) or not below or draw(st.integers(0, 3)) == 0:
            break
        place = below
    match draw(st.sampled_from(["other", "other", "gone", "more"])):
        case "other":
            place[key] = draw(JSON_VALUES)
        case "gone":
            del place[key]
        case _ if isinstance(place, list):
            place.append(draw(JSON_VALUES))
        case _:
            place[draw(st.text(max_size=5))] = draw(JSON_VALUES)
    return value
