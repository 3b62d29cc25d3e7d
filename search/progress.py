"""What one sees of a running search: a bar in a terminal or notebook, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

Watcher = Callable[[str, dict[str, Any]], None]


@contextlib.contextmanager
def watching(total: int, done: int, epochs: int, *, show: bool = True) -> Iterator[Watcher]:
    """A watcher of records for a study of `total` trials, `done` of which have ended.

    Everything goes to stderr, so that stdout stays the result's.
    """
    if not show:
        yield lambda kind, fields: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    tally = _Tally(total, done, epochs)
    if not (console.is_terminal or console.is_jupyter):
        yield lambda kind, fields: tally.line(kind, fields)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f} trials"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(tally.summary(), total=total, completed=done)

        def watch(kind: str, fields: dict[str, Any]) -> None:
            tally.note(kind, fields)
            progress.update(bar, completed=tally.ended, description=tally.summary())

        yield watch


class _Tally:
    """Counts what the records say."""

    def __init__(self, total: int, done: int, epochs: int) -> None:
        self.total, self.ended, self.epochs = total, done, epochs
        self._states: Counter[str] = Counter()
        self._accuracy: dict[int, tuple[int, float]] = {}
        self._costs: dict[int, tuple[int, str]] = {}
        self._started = time.monotonic()

    def note(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "trial":
            self._costs[fields["trial"]] = fields["cost"]["params"], fields["notation"]
        elif kind == "rung":
            accuracy = fields["val_correct"] / fields["val_total"]
            self._accuracy[fields["trial"]] = fields["epoch"], accuracy
        elif kind == "end":
            self.ended += 1
            self._states[fields["state"]] += 1

    def summary(self) -> str:
        parts = [f"{count} {state}" for state, count in sorted(self._states.items())]
        finished = [(a, t) for t, (epoch, a) in self._accuracy.items() if epoch == self.epochs]
        if finished:
            accuracy, trial = max(finished)
            parts.append(f"best {accuracy:.2%} with {self._costs.get(trial, (0,))[0]:,} parameters")
        return ", ".join(parts)

    def line(self, kind: str, fields: dict[str, Any]) -> None:
        """One line for each trial that ended."""
        self.note(kind, fields)
        if kind != "end":
            return
        trial = fields["trial"]
        epoch, accuracy = self._accuracy.get(trial, (0, float("nan")))
        params, notation = self._costs.get(trial, (0, ""))
        print(
            f"{time.monotonic() - self._started:6.0f}s {self.ended:4}/{self.total} "
            f"trial {trial:<4} {fields['state']:9} epoch {epoch:<3} "
            f"accuracy {accuracy:7.2%} {params:6,} parameters  {notation}",
            file=sys.stderr,
            flush=True,
        )
