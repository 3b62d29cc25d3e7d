"""What one sees of a running search: a screen in a terminal, a line in a cell, lines elsewhere."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from pennyweight.search.pace import Pace, rounded
from pennyweight.search.tally import Tally, Unit

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from pennyweight.results.study_records import StudyRecords
    from pennyweight.train.data import Dataset

Watcher = Callable[[str, dict[str, Any]], None]


@contextlib.contextmanager
def watching(
    total: int,
    done: int,
    *,
    unit: Unit = "trials",
    known: StudyRecords | None = None,
    deadline: float | None = None,
    show: bool = True,
) -> Iterator[Watcher]:
    """A watcher of records for `total` trials, or the epochs of one, of which `done` have ended.

    A study that is gone on with is `known`; nothing new begins after the `deadline` (of
    `time.monotonic`). Everything goes to stderr: stdout is the result's.
    """
    console = _console()
    tally = Tally(total, done, unit, known)
    evidence, compiles = _EVIDENCE[unit], unit == "epochs"
    pace = Pace(total, done, evidence=evidence, compiles=compiles, deadline=deadline)
    if not show:
        yield lambda kind, fields: None
    elif console.is_jupyter:
        yield _in_cell(tally, pace)
    elif not console.is_terminal:
        begins = "going on" if done else "the first networks are compiled"
        print(f"{done}/{total} {unit} done, {begins}", file=sys.stderr, flush=True)
        yield partial(_line, tally, pace)
    else:
        with _screen(console, tally, pace, known) as watch:
            yield watch


_EVIDENCE: dict[Unit, int] = {"trials": 5, "epochs": 1, "trainings": 2}
"""How many must have ended before the time left is guessed."""


@contextlib.contextmanager
def decoding(source: str, *, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Told how many pictures of `source` were decoded, which is done once per machine."""
    console = _console()
    if not show:
        yield lambda done, total: None
    elif console.is_jupyter or not console.is_terminal:
        said: list[str] = []

        def once(done: int, total: int) -> None:
            if not said:
                said.append(f"decoding {total:,} pictures of {source}, once for this machine")
                print(said[0], file=sys.stderr, flush=True)

        yield once
    else:
        with _bar("pictures") as progress:
            bar = progress.add_task(f"decoding {source}, once", total=None, visible=False)
            yield lambda done, total: progress.update(
                bar, completed=done, total=total, visible=True
            )


def say_where_slow() -> None:
    """Say on stderr that a CPU trains slowly here, where that is so and was not chosen."""
    from pennyweight.arch.native_library import CHOICE
    from pennyweight.train.native import native_digest

    if native_digest() is None and not os.environ.get(CHOICE):
        print(
            "No C compiler works here, so training takes up to twice as long, and longer on 8x8 "
            "pictures: install gcc and libc6-dev, say.",
            file=sys.stderr,
            flush=True,
        )


def load_shown(source: str, known: StudyRecords | None, *, show: bool) -> Dataset:
    """The training part of `source`, decoded in sight; UsageError if not what `known` began on."""
    from pennyweight.results.models import load_data_of
    from pennyweight.train.data import load_training_set

    with decoding(source, show=show) as decoded:
        if known is not None:
            return load_data_of(known, progress=decoded)
        return load_training_set(source, progress=decoded)


@contextlib.contextmanager
def _screen(
    console: Console, tally: Tally, pace: Pace, known: StudyRecords | None
) -> Iterator[Watcher]:
    from rich.live import Live

    from pennyweight.results.terminal import title_of
    from pennyweight.search.screen import Screen

    screen = Screen(tally, pace, title_of(known) if known else "")
    # What is printed meanwhile stays where it was printed to: rich would move it to stderr.
    with Live(screen, console=console, redirect_stdout=False):
        try:
            yield screen.note
        finally:
            screen.close()


def _in_cell(tally: Tally, pace: Pace) -> Watcher:
    """A watcher that keeps one line of a notebook cell up to date (rich's needs ipywidgets)."""
    shown = importlib.import_module("IPython.display")  # where there are cells, there is IPython

    def html() -> Any:
        bar = f'<progress max="{tally.total}" value="{tally.ended}"></progress>'
        left = "" if pace.left_s is None else f", about {rounded(pace.left_s)} left"
        counted = f"{tally.ended}/{tally.total} {tally.unit}, {pace.elapsed_s:.0f} s{left}"
        return shown.HTML(f"{bar} {counted}. {tally.summary}")

    handle = shown.display(html(), display_id=True)

    def watch(kind: str, fields: dict[str, Any]) -> None:
        tally.note(kind, fields)
        pace.note(tally.ended)
        handle.update(html())

    return watch


def _line(tally: Tally, pace: Pace, kind: str, fields: dict[str, Any]) -> None:
    """Print one line for each trial or training that ended, or for each epoch."""
    tally.note(kind, fields)
    shown = ""
    if kind == "rung" and tally.unit == "epochs":
        shown = f"epochs  {tally.summary}"
    elif kind == "fresh":
        shown = tally.summary
    elif kind == "end" and tally.unit == "trials":
        trial = fields["trial"]
        epoch, accuracy, params, notation = tally.told(trial)
        reached = f"{fields['reason']}:" if accuracy is None else f"accuracy {accuracy:7.2%}"
        shown = f"trial {trial:<4} {fields['state']:9} epoch {epoch:<3} {reached} "
        shown += f"{params:6,} parameters  {notation}"
    if shown:
        counted = f"{pace.elapsed_s:6.0f}s {tally.ended:4}/{tally.total}"
        print(f"{counted} {shown}", file=sys.stderr, flush=True)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _bar(unit: str) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=_console())
