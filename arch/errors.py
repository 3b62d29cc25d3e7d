"""The errors a user can act on."""

import difflib
import re
from collections.abc import Iterable
from reprlib import Repr

_LONGEST = 300  # characters of a foreign error's message
_MOST = 2_000  # of what is quoted, in which passwords are looked for


class UsageError(ValueError):
    """Bad input: the rule, the value and the remedy in one line.

    The command line prints it to stderr and exits with status 2. It is one line whatever it
    quotes: line breaks, terminal escapes and unpaired surrogates are written as their escapes.
    """

    def __init__(self, message: str):
        super().__init__(visible(message))


class RunError(RuntimeError):
    """What failed while running, and what to do about it, in one line; exit status 1."""


def visible(text: str) -> str:
    """`text` with escapes for what is not seen, or turns around what follows it.

    >>> print(visible("two" + chr(10) + "lines"))
    two\\nlines
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """`value` as a message quotes it: its `repr`, short however long or deep it is.

    >>> shown([[[]] * 1000])
    '[[...]]'
    >>> shown("postgresql://me:s3cret@host/db")
    "'postgresql://me@host/db'"
    """
    brief = _Brief()
    brief.maxlevel, brief.maxlist, brief.maxtuple, brief.maxdict = 1, 4, 4, 2
    brief.maxstring = brief.maxother = 60
    try:
        return brief.repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"a huge {type(value).__name__}"


class _Brief(Repr):
    def repr_str(self, x: str, level: int) -> str:
        # Before it is cut: a password without what comes after it is not known as one.
        return super().repr_str(without_passwords(x[:_MOST]), level)


def in_a_line(error: BaseException) -> str:
    """The kind of `error` and what it says, without line breaks, and not endless.

    >>> in_a_line(ValueError("one\\n  two"))
    'ValueError: one two'
    """
    said = " ".join(f"{type(error).__name__}: {error}"[:_MOST].split())
    return without_passwords(said)[:_LONGEST]


def without_passwords(text: str) -> str:
    """`text` without the passwords of URLs in it.

    >>> without_passwords("--storage postgresql://me:s3cret@host/db")
    '--storage postgresql://me@host/db'
    """
    # To the last @, as it may have one itself; a folder's path has one slash of the two.
    text = re.sub(r"(:/{1,2}[^/?#@:\s]*):\S*@", r"\1@", text)
    return re.sub(r"([?&]\w*password=)[^&\s]*", r"\1...", text, flags=re.IGNORECASE)


def close_names(name: str, known: Iterable[str]) -> str:
    """A clause that suggests known names near `name`, or lists them when none is near.

    >>> close_names("mnits", ["mnist", "digits"])
    'did you mean mnist?'
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there is {', '.join(known)}." if known else "there is none yet."
