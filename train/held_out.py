"""How much of files of one's own is held out: `csv:train.csv:test10` makes a tenth the test set."""

from __future__ import annotations

import re

from pennyweight.arch.errors import UsageError

MOST_PERCENT = 50


def without_test_part(source: str) -> str:
    """The files of a source, however much of them is held out.

    >>> without_test_part("csv:train.csv:test10"), without_test_part("csv:train.csv")
    ('csv:train.csv', 'csv:train.csv')
    """
    return re.sub(r":test[0-9]{1,3}$", "", source)


def asked_test_part(source: str) -> tuple[str, int | None]:
    """A source's files, and how many percent of them it asks to hold out, if it asks.

    >>> asked_test_part("csv:train.csv:test10"), asked_test_part("csv:train.csv")
    (('csv:train.csv', 10), ('csv:train.csv', None))
    """
    files = without_test_part(source)
    if files == source:
        return source, None
    percent = int(source.removeprefix(f"{files}:test"))
    if percent > MOST_PERCENT:
        raise UsageError(
            f":test must be from 0 to {MOST_PERCENT} percent of the pictures, but got {percent}: "
            "more would leave too little to learn from."
        )
    return files, percent
