"""The live screen of a search, a training or a confirmation in a terminal, made by rich."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from threading import Lock
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pennyweight.search.pace import Pace, rounded
from pennyweight.search.tally import Tally


class Screen:
    """Shows a tally. It is drawn by a thread of rich's while another one notes what happens."""

    def __init__(self, tally: Tally, pace: Pace, heading: str = "") -> None:
        self._tally, self._pace, self._heading = tally, pace, heading
        self._lock = Lock()
        self._over = False

    def note(self, kind: str, fields: dict[str, Any]) -> None:
        """Take in one record."""
        with self._lock:
            self._tally.note(kind, fields)
            self._pace.note(self._tally.ended)

    def close(self) -> None:
        """From now on without what the result shows again, and shows better."""
        self._over = True

    def __rich__(self) -> RenderableType:
        with self._lock:
            parts = [Text(self._heading, style="bold", **_LINE)] if self._heading else []
            parts += [self._bar(), Text(self._facts())]
            return Group(*parts) if self._over else Group(*parts, *self._details())

    def _bar(self) -> Table:
        tally = self._tally
        grid = Table.grid(padding=(0, 1))
        grid.add_column(max_width=40)
        grid.add_column(no_wrap=True)
        bar = ProgressBar(total=max(tally.total, 1), completed=tally.ended)
        grid.add_row(bar, f"{tally.ended}/{tally.total} {tally.unit}")
        return grid

    def _facts(self) -> str:
        tally, left = self._tally, self._pace.left_s
        elapsed = str(timedelta(seconds=math.floor(self._pace.elapsed_s)))
        if left is not None:
            most = "at most" if tally.unit == "trainings" else "about"  # who is behind drops out
            elapsed += f", {most} {rounded(left)} left"
        if tally.unit != "trials":
            return f"{elapsed} · {tally.summary}" if tally.summary else elapsed
        running = f"{tally.running} running" if tally.running else ""
        return " · ".join(filter(None, (elapsed, tally.states, running)))

    def _details(self) -> list[RenderableType]:
        tally = self._tally
        if tally.unit == "epochs":
            known = tally.network
            return [Text("{1}: {0:,} parameters".format(*known), **_LINE)] if known else []
        if tally.unit == "trainings":
            headings = "trial", "accuracy", "seeds", "measured on"
            cells = [(str(t), f"{a:.2%}", str(seeds), part) for t, part, a, seeds in tally.fresh]
        else:
            headings = "within", "best", "parameters", "architecture"
            cells = [
                ("any" if cap == math.inf else f"{cap:,.0f}", f"{a:.2%}", f"{params:,}", notation)
                for cap, a, params, notation in tally.front
            ]
        return [Text(), _table(headings, cells)] if cells else []


_LINE: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Numbers, and a last column of text, which gets the width that is left."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in headings[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[-1])
    for *numbers, text in rows:
        table.add_row(*numbers, Text(text, **_LINE))
    return table
