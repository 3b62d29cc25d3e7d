"""What commands print: leaderboards, tables, a sign of life, and what to type next."""

from __future__ import annotations

import json as json_format
import shlex
import shutil
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pennyweight.arch.errors import without_passwords

if TYPE_CHECKING:
    from pennyweight.results.leaderboard import Row
    from pennyweight.results.store import Store
    from pennyweight.results.study_records import StudyRecords


def show_leaderboard(
    records: StudyRecords, chosen: list[Row], store: Store, *, json: bool, top: int | None = None
) -> None:
    """Print a leaderboard, saying how often the test set was read for this study."""
    readings = store.count_readings()
    shown = chosen[:top]
    if json:
        from pennyweight.results.tables import as_json

        sys.stdout.write(as_json(records, shown, test_readings=readings))
    else:
        from pennyweight.results.terminal import as_table

        show(as_table(records, shown, test_readings=readings))


def show(shown: Any) -> None:
    """Print JSON-ready data as JSON, and anything else by rich."""
    if isinstance(shown, dict):
        print(json_format.dumps(shown, indent=2))
        return
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(shown)
    else:
        from pennyweight.results.terminal import as_text

        print(as_text(shown))


def busy(doing: str) -> AbstractContextManager[object]:
    """A sign of life, in a terminal, of what takes seconds."""
    from rich.console import Console

    return Console(stderr=True).status(doing)


def say_next(commands: list[str], store: Store) -> None:
    """Print what one may type next."""
    # After `make search` the program is in .venv/bin, which is not on the path.
    program = "pennyweight" if shutil.which("pennyweight") else sys.argv[0]
    lines = (shlex.join([program, command, store.name, *store.flags]) for command in commands)
    print("Next:", *lines, sep="\n  ")


def command_line() -> list[str]:
    """What was typed, as a record tells it."""
    return ["pennyweight", *map(without_passwords, sys.argv[1:])]
