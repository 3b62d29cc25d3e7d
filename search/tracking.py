"""`--track KIND:PLACE`: a study told live to TensorBoard, MLflow or Weights & Biases.

Each tracker has a thread of its own, so that no training waits for a slow one. What fails in it
is said once, on stderr, and ends the tracking alone: the records are elsewhere.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pennyweight.arch.errors import UsageError, close_names, in_a_line, shown, without_passwords
from pennyweight.search.trackers import TRACKERS, Tracker

if TYPE_CHECKING:
    from pennyweight.results.study_records import StudyRecords

LONGEST_S = 30.0  # that the end of a study waits for what is yet to be told
_MEASURED = ("train_loss", "train_accuracy", "val_accuracy", "val_log_loss")

Watcher = Callable[[str, dict[str, Any]], None]


def check_trackers(track: Sequence[str]) -> None:
    """Raise UsageError for what cannot be tracked to; nothing is imported for it."""
    for asked in track:
        kind, _, place = asked.partition(":")
        if kind not in TRACKERS:
            raise UsageError(f"--track cannot be {shown(asked)}: {close_names(kind, TRACKERS)}")
        known = TRACKERS[kind]
        if not place:
            raise UsageError(f"--track {kind}: takes {known.takes}, such as {known.such_as}.")
        if find_spec(known.package) is None:
            raise UsageError(
                f"--track {kind}: needs {known.called}: `pip install 'pennyweight[track]'`."
            )
        if kind == "tensorboard" and Path(place).exists() and not Path(place).is_dir():
            raise UsageError(f"--track tensorboard: takes a folder, but {place} is a file.")


def say_finished(track: Sequence[str], study: str) -> None:
    """Say on stderr that nothing of the finished `study` is told to any of `track`."""
    if track:
        places = " and ".join(map(without_passwords, track))
        print(f"{study} is finished: nothing is told to {places}.", file=sys.stderr, flush=True)


@contextlib.contextmanager
def tracked(
    watch: Watcher, track: Sequence[str], study: str, known: StudyRecords
) -> Iterator[Watcher]:
    """A watcher that tells `watch` and each of `track`; these first what is `known` to run."""
    followers = [Follower(asked, study, known) for asked in track]

    def note(kind: str, fields: Mapping[str, Any]) -> None:
        for follower in followers:
            follower.note(kind, fields)

    def tell(kind: str, fields: dict[str, Any]) -> None:
        watch(kind, fields)
        note(kind, fields)

    for number, trial in known.trials.items():
        if trial.state == "running":
            note("trial", vars(trial))
            curve = [point._asdict() for point in trial.curve]
            note("rung", {"trial": number, "curve": curve})
    try:
        yield tell
    finally:
        for follower in followers:
            follower.finish()
        deadline = time.monotonic() + LONGEST_S
        for follower in followers:
            follower.wait(deadline)


class Follower:
    """Takes in records, and tells them to a tracker in a thread, in their order."""

    def __init__(self, asked: str, study: str, known: StudyRecords) -> None:
        self._asked = asked
        self._over = False
        self._told: SimpleQueue[tuple[str, Mapping[str, Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(study, known), daemon=True)
        self._thread.start()

    def note(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Take in one record; returns at once."""
        if not self._over:
            self._told.put((kind, fields))

    def finish(self) -> None:
        """Take in that nothing more comes; returns at once."""
        self._told.put(None)

    def wait(self, deadline: float) -> None:
        """Let the rest be told, until the `deadline` (of `time.monotonic`)."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._warn(f"it did not answer for {LONGEST_S:g} s")

    def _run(self, study: str, known: StudyRecords) -> None:
        kind, _, place = self._asked.partition(":")
        try:
            tracker = TRACKERS[kind].make(place, study, key(study, known.created))
            teller = Teller(tracker, known.data)
            while (told := self._told.get()) is not None:
                teller.tell(*told)
            tracker.close()
        except Exception as error:
            self._warn(in_a_line(error))

    def _warn(self, why: str) -> None:
        self._over = True
        asked = without_passwords(self._asked)
        print(
            f"warning: --track {asked} ended ({why}); all else goes on, and is on record.",
            file=sys.stderr,
            flush=True,
        )


class Teller:
    """Tells records of trials on `data` to a tracker, each epoch once."""

    def __init__(self, tracker: Tracker, data: str) -> None:
        self._tracker, self._data = tracker, data
        self._told: dict[int, int] = {}  # the last epoch of each trial

    def tell(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell one record; of kinds that are not a trial's, nothing."""
        if kind == "trial":
            begun = self._tracker.begin(fields["trial"], about(fields, self._data))
            self._told[fields["trial"]] = begun
        elif kind == "rung":
            for point in fields["curve"]:
                self._tell_epoch(fields["trial"], point)
        elif kind == "end":
            self._tracker.end(fields["trial"], fields["state"])

    def _tell_epoch(self, trial: int, point: Mapping[str, Any]) -> None:
        if point["epoch"] <= self._told[trial]:  # a lost state is trained again
            return
        measured = {name: point.get(name) for name in _MEASURED}
        finite = {n: v for n, v in measured.items() if v is not None and math.isfinite(v)}
        self._tracker.log(trial, point["epoch"], finite)
        self._told[trial] = point["epoch"]


def key(study: str, created: float | str) -> str:
    """The name of `study` and what tells it from another of that name, made anew or elsewhere."""
    return f"{study}-{sha256(str(created).encode()).hexdigest()[:8]}"


def about(trial: Mapping[str, Any], data: str) -> dict[str, Any]:
    """What a trial on `data` is, without nesting: numbers and words that a tracker can compare."""
    told = {"data": data}
    told |= {name: trial[name] for name in ("notation", "proposer", "share", "seed")}
    parts = {"": trial["cost"], "recipe.": trial["recipe"], "genome.": trial["genome"]}
    for prefix, part in parts.items():
        told |= {f"{prefix}{name}": value for name, value in part.items()}
    return told
