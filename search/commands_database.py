"""The command that takes a study out of a database: `fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pennyweight.search.output import say_next
from pennyweight.search.units import Runs


def fetch(
    study: str,
    /,
    *,
    storage: Annotated[str, Parameter(help="Its database.", metavar="URL")],
    runs: Runs = Path("runs"),
) -> None:
    """Copy a study from a database into a folder, with all its records, weights and states.

    Parameters
    ----------
    study
        Its name. It may be running: the copy is of one moment.
    """
    from pennyweight.results.database import Database
    from pennyweight.results.fetch import fetch

    copy = fetch(Database(storage, runs), study)
    print(f"{copy.path}: {len(copy.read_records()):,} records of study {study}")
    say_next(["leaderboard"], copy)
