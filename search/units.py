"""Sizes, durations and shapes as one writes them on a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

_SIZES = {"": 1, "k": 1_000, "M": 1_000_000, "KB": 1_000, "KiB": 1_024, "MB": 10**6, "MiB": 2**20}
_DURATIONS = {"s": 1, "m": 60, "h": 3_600}


def size(text: str) -> int:
    """A count or a number of bytes: 8000, 8k, 64KB (1,000 bytes), 64KiB (1,024 bytes).

    >>> size("8k"), size("1.5KiB")
    (8000, 1536)
    """
    number = _scaled(text, _SIZES)
    if number is None or number != int(number):
        raise ValueError(
            f"must be a whole number, with k, M, KB, KiB, MB or MiB if you like, but got {text!r}."
        )
    return int(number)


def duration(text: str) -> float:
    """A time in seconds: 90s, 30m, 2h.

    >>> duration("1.5m")
    90.0
    """
    number = _scaled(text, _DURATIONS)
    if number is None:
        raise ValueError(f"must be a time such as 90s, 30m or 2h, but got {text!r}.")
    return number


def shape(text: str) -> tuple[int, int, int]:
    """Height x width x channels.

    >>> shape("28x28x1")
    (28, 28, 1)
    """
    if not (found := re.fullmatch(r"(\d{1,5})x(\d{1,5})x(\d{1,5})", text)):
        raise ValueError(f"must be height x width x channels, such as 28x28x1, but got {text!r}.")
    return int(found[1]), int(found[2]), int(found[3])


def workers(text: str) -> int | None:
    """How many worker processes; None for `auto`, one per core."""
    if text == "auto":
        return None
    if not text.isdecimal():
        raise ValueError(f"must be `auto` or a whole number, but got {text!r}.")
    return int(text)


def _scaled(text: str, units: Mapping[str, int]) -> float | None:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)", text)
    return float(found[1]) * units[found[2]] if found and found[2] in units else None


def _converter(convert: Any) -> Any:
    def parse(_: type, tokens: Sequence[Any]) -> Any:
        return convert(tokens[0].value)

    return parse


Size = Annotated[int, Parameter(converter=_converter(size))]
Duration = Annotated[float, Parameter(converter=_converter(duration))]
InputShape = Annotated[tuple[int, int, int], Parameter(converter=_converter(shape), n_tokens=1)]
Workers = Annotated[int | None, Parameter(converter=_converter(workers))]
