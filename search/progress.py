"""What one sees of a running search: a bar in a terminal or a notebook, lines elsewhere."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from pennyweight.results.study_records import StudyRecords, TrialRecord
    from pennyweight.train.data import Dataset

Unit = Literal["trials", "epochs", "trainings"]
Watcher = Callable[[str, dict[str, Any]], None]


@contextlib.contextmanager
def watching(
    total: int,
    done: int,
    epochs: int,
    *,
    unit: Unit = "trials",
    known: StudyRecords | None = None,
    show: bool = True,
) -> Iterator[Watcher]:
    """A watcher of records for `total` trials, or the epochs of one, of which `done` have ended.

    A study that is gone on with is `known`. Everything goes to stderr: stdout is the result's.
    """
    console = _console()
    tally = _Tally(total, done, epochs, unit)
    for trial in known.trials.values() if known else ():
        tally.recall(trial)
    if not show:
        yield lambda kind, fields: None
    elif console.is_jupyter:
        yield _in_cell(tally)
    elif not console.is_terminal:
        print(f"{done}/{total} {unit} done, going on", file=sys.stderr, flush=True)
        yield tally.line
    else:
        with _bar(unit) as progress:
            bar = progress.add_task(tally.summary(), total=total, completed=done)

            def watch(kind: str, fields: dict[str, Any]) -> None:
                tally.note(kind, fields)
                progress.update(bar, completed=tally.ended, description=tally.summary())

            yield watch


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


def load_shown(source: str, known: StudyRecords | None, *, show: bool) -> Dataset:
    """The training part of `source`, decoded in sight; UsageError if not what `known` began on."""
    from pennyweight.results.models import load_data_of
    from pennyweight.train.data import load_training_set

    with decoding(source, show=show) as decoded:
        if known is not None:
            return load_data_of(known, progress=decoded)
        return load_training_set(source, progress=decoded)


def _in_cell(tally: _Tally) -> Watcher:
    """A watcher that keeps one line of a notebook cell up to date (rich's needs ipywidgets)."""
    shown = importlib.import_module("IPython.display")  # where there are cells, there is IPython
    handle = shown.display(shown.HTML(tally.html()), display_id=True)

    def watch(kind: str, fields: dict[str, Any]) -> None:
        tally.note(kind, fields)
        handle.update(shown.HTML(tally.html()))

    return watch


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


class _Tally:
    """Counts what the records say."""

    def __init__(self, total: int, done: int, epochs: int, unit: Unit) -> None:
        self.total, self.ended, self.epochs, self.unit = total, done, epochs, unit
        self._states: Counter[str] = Counter()
        self._accuracy: dict[int, tuple[int, float]] = {}
        self._costs: dict[int, tuple[int, str]] = {}
        self._fresh: dict[str, Any] | None = None  # the last training from a fresh seed
        self._started = time.monotonic()

    def recall(self, trial: TrialRecord) -> None:
        """Take in a trial of an earlier session."""
        self._costs[trial.trial] = trial.cost["params"], trial.notation
        if trial.val_accuracy is not None:
            self._accuracy[trial.trial] = trial.epochs, trial.val_accuracy
        if trial.state != "running":
            self._states[trial.state] += 1

    def note(self, kind: str, fields: dict[str, Any]) -> None:
        """Take in one record."""
        if kind == "trial":
            self._costs[fields["trial"]] = fields["cost"]["params"], fields["notation"]
        elif kind == "rung":
            accuracy = fields["val_correct"] / fields["val_total"]
            self._accuracy[fields["trial"]] = fields["epoch"], accuracy
            if self.unit == "epochs":
                self.ended = fields["epoch"]
        elif kind == "fresh":
            self.ended += 1
            self._fresh = fields
        elif kind == "end" and self.unit == "trials":
            self.ended += 1
            self._states[fields["state"]] += 1

    def summary(self) -> str:
        """What happened so far, in one line."""
        parts = [f"{count} {state}" for state, count in sorted(self._states.items())]
        if self.unit == "epochs":
            parts += [f"accuracy {accuracy:.2%}" for _, accuracy in self._accuracy.values()]
            return ", ".join(parts)
        if self._fresh is not None:
            accuracy = self._fresh["correct"] / self._fresh["total"]
            return "trial {trial}, seed {seed}: {part} accuracy".format(**self._fresh) + (
                f" {accuracy:.2%}"
            )
        finished = [(a, t) for t, (epoch, a) in self._accuracy.items() if epoch == self.epochs]
        if finished:
            accuracy, trial = max(finished)
            parts.append(f"best {accuracy:.2%} with {self._costs.get(trial, (0,))[0]:,} parameters")
        return ", ".join(parts)

    def html(self) -> str:
        """What happened so far, with a bar."""
        return (
            f'<progress max="{self.total}" value="{self.ended}"></progress> '
            f"{self.ended}/{self.total} {self.unit}, {self._clock():.0f} s. {self.summary()}"
        )

    def _clock(self) -> float:
        return time.monotonic() - self._started

    def line(self, kind: str, fields: dict[str, Any]) -> None:
        """Print one line for each trial that ended, or for each epoch."""
        self.note(kind, fields)
        clock = f"{self._clock():6.0f}s {self.ended:4}/{self.total}"
        if kind == "rung" and self.unit == "epochs":
            print(f"{clock} epochs  {self.summary()}", file=sys.stderr, flush=True)
        if kind == "fresh":
            print(f"{clock} {self.summary()}", file=sys.stderr, flush=True)
        if kind != "end" or self.unit == "epochs":
            return
        trial = fields["trial"]
        epoch, accuracy = self._accuracy.get(trial, (0, None))
        params, notation = self._costs.get(trial, (0, ""))
        reached = f"accuracy {accuracy:7.2%}" if accuracy is not None else f"{fields['reason']}:"
        print(
            f"{clock} trial {trial:<4} {fields['state']:9} epoch {epoch:<3} {reached} "
            f"{params:6,} parameters  {notation}",
            file=sys.stderr,
            flush=True,
        )
