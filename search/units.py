"""Counts, sizes, durations and shapes as one writes them on a command line, and common flags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pennyweight.arch.errors import shown

MOST = 1_024  # workers or trials in a group: more is a slip of the finger

_SIZES = {"": 1, "k": 1_000, "M": 1_000_000, "KB": 1_000, "KiB": 1_024, "MB": 10**6, "MiB": 2**20}
_DURATIONS = {"s": 1, "m": 60, "h": 3_600}
# Digits are bounded, because Python reads no number of more than 4,300. A minus is understood, so
# that the rule on the value, and not the one on its form, says what is least.
_NUMBER = r"-?[0-9]{1,18}"


def count(text: str) -> int:
    """A whole number, such as 30."""
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(f"must be a whole number of at most 18 digits, but got {shown(text)}.")
    return int(text)


def size(text: str) -> int:
    """A count or a number of bytes: 8000, 8k, 64KB (1,000 bytes), 64KiB (1,024 bytes).

    >>> size("8k"), size("1.5KiB")
    (8000, 1536)
    """
    number = _scaled(text, _SIZES)
    if number is None or number.denominator != 1:
        raise ValueError(
            "must be a whole number of at most 18 digits, with k, M, KB, KiB, MB or MiB if you "
            f"like, but got {shown(text)}."
        )
    return int(number)


def sizes(text: str) -> tuple[int, ...]:
    """Sizes between commas, such as `500,1k,2k`."""
    return tuple(size(part.strip()) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Words between commas, such as `onnx,c`."""
    return tuple(part.strip() for part in text.split(","))


def duration(text: str) -> float:
    """A time in seconds: 90s, 30m, 2h.

    >>> duration("1.5m")
    90.0
    """
    number = _scaled(text, _DURATIONS)
    if number is None:
        raise ValueError(f"must be a time such as 90s, 30m or 2h, but got {shown(text)}.")
    return float(number)


def share(text: str) -> float:
    """A part of a whole, such as 0.99 or 99%.

    >>> share("99.4%"), share("0.5")
    (0.994, 0.5)
    """
    if not (found := re.fullmatch(rf"({_NUMBER}(?:\.[0-9]{{1,9}})?) ?(%?)", text)):
        raise ValueError(f"must be a share such as 0.99 or 99%, but got {shown(text)}.")
    return float(Fraction(found[1]) / (100 if found[2] else 1))


def duration_or_auto(text: str) -> float | None:
    """A time in seconds; None for `auto`."""
    return None if text == "auto" else duration(text)


def shape(text: str) -> tuple[int, int, int]:
    """Height x width x channels.

    >>> shape("28x28x1")
    (28, 28, 1)
    """
    if not (found := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})x([0-9]{1,5})", text)):
        raise ValueError(
            f"must be height x width x channels, such as 28x28x1, but got {shown(text)}."
        )
    return int(found[1]), int(found[2]), int(found[3])


def count_or_auto(text: str) -> int | None:
    """How many worker processes, or trials in a group; None for `auto`."""
    if text == "auto":
        return None
    if not re.fullmatch(_NUMBER, text) or not 1 <= int(text) <= MOST:
        raise ValueError(
            f"must be `auto` or a whole number from 1 to {MOST}, but got {shown(text)}."
        )
    return int(text)


def _scaled(text: str, units: Mapping[str, int]) -> Fraction | None:
    found = re.fullmatch(rf"({_NUMBER}(?:\.[0-9]{{1,9}})?) ?([A-Za-z]*)", text)
    return Fraction(found[1]) * units[found[2]] if found and found[2] in units else None


def _parameter(convert: Callable[[str], Any], metavar: str, **options: Any) -> Parameter:
    def parse(_: type, tokens: Sequence[Any]) -> Any:
        return convert(tokens[0].value)

    # What begins with a hyphen is a value too (`-5s`), and told that it is a wrong one.
    return Parameter(converter=parse, metavar=metavar, allow_leading_hyphen=True, **options)


Count = Annotated[int, _parameter(count, "COUNT")]
Share = Annotated[float, _parameter(share, "SHARE")]
Seed = Annotated[int, _parameter(count, "SEED")]
Size = Annotated[int, _parameter(size, "SIZE")]
Sizes = Annotated[tuple[int, ...], _parameter(sizes, "SIZE,SIZE…")]
Formats = Annotated[
    tuple[str, ...], _parameter(names, "FORM,FORM…", show_default=False, negative="")
]
Duration = Annotated[float, _parameter(duration, "TIME")]
Patience = Annotated[float | None, _parameter(duration_or_auto, "TIME", show_default="auto")]
InputShape = Annotated[tuple[int, int, int], _parameter(shape, "HxWxC", n_tokens=1, negative="")]
Workers = Annotated[int | None, _parameter(count_or_auto, "COUNT", show_default="auto")]
Group = Workers

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
After = Repeated
Runs = Annotated[Path, Parameter(help="The folder of all studies.")]
Storage = Annotated[
    str | None,
    Parameter(
        help="Instead, their database: postgresql+psycopg://USER@HOST/DATABASE.", metavar="URL"
    ),
]
