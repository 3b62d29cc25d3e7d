"""How one network is trained to its end, an epoch at a time, each on the disk before the next."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pennyweight.results.store import Records, Store
from pennyweight.results.studies import read_study
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.progress import Watcher, watching
from pennyweight.search.recording import rung_record, versions
from pennyweight.search.single_records import asked_of
from pennyweight.search.tracking import say_finished, tracked
from pennyweight.train.rung import Task, train_rung, warm_up

if TYPE_CHECKING:
    from pennyweight.search.single import Training


def go_on(
    training: Training,
    store: Store,
    records: Records,
    known: StudyRecords | None,
    progress: bool,
) -> None:
    """Train to the end from what is `known`, appending to `records`."""
    started = time.monotonic()
    trial = known.trials.get(0) if known else None
    if trial is None:
        records.append("trial", **asked_of(training))
    elif trial.state != "running":
        say_finished(training.track, training.name)
        return
    records.append("session", started=time.time(), workers=1, versions=versions(), pid=os.getpid())
    accuracies = _accuracies(trial)
    diverged = trial is not None and bool(trial.rungs) and trial.rungs[-1].diverged
    if accuracies and not diverged and not store.state(0, len(accuracies)).exists():
        accuracies = []  # a lost state is trained again; what is recorded twice counts once
    known = read_study(store)  # with its trial
    begun = len(accuracies)
    shown = watching(training.epochs, begun, unit="epochs", known=known, show=progress)
    with shown as watch, tracked(watch, training.track, training.name, known) as note:
        try:
            warm_up(training.data, training.candidate.seed, training.whole)
            _train(training, store, records, accuracies, diverged, note)
        finally:  # before the trackers are waited for, which is no time of training
            records.append("ledger", seconds={}, wall_s=time.monotonic() - started)


def _accuracies(trial: TrialRecord | None) -> list[float]:
    """On validation pictures after each epoch so far; 0 where the loss was not finite."""
    rungs = trial.rungs if trial else ()
    return [0.0 if rung.diverged else (rung.val_correct or 0) / rung.val_total for rung in rungs]


def _train(
    training: Training,
    store: Store,
    records: Records,
    accuracies: list[float],
    diverged: bool,
    watch: Watcher,
) -> None:
    stopping = training.stopping
    reason = stopping.reason(accuracies)
    while len(accuracies) < training.epochs and not diverged and not reason:
        outcome = train_rung(_task(training, store, len(accuracies)))
        last = outcome.curve[-1]
        store.state(0, last.epoch).write(outcome.state)
        store.model(0, last.epoch).write(outcome.model)
        fields = rung_record(0, outcome)
        records.append("rung", **fields)
        watch("rung", fields)
        diverged = last.diverged
        accuracies.append(0.0 if diverged else last.val_accuracy)
        _clear(training, store, accuracies, running=True)
        reason = stopping.reason(accuracies)
    early = reason if len(accuracies) < training.epochs else None
    end = {
        "trial": 0,
        "state": "diverged" if diverged else "complete",
        "reason": "its loss was not finite" if diverged else early,
    }
    records.append("end", **end)
    watch("end", end)
    _clear(training, store, accuracies, running=False)


def _task(training: Training, store: Store, epoch: int) -> Task:
    """The next epoch, from the state that the one before left on the disk."""
    return Task(
        source=training.data,
        split_seed=training.candidate.seed,
        candidate=training.candidate,
        epochs=training.epochs,
        from_epoch=epoch,
        to_epoch=epoch + 1,
        state=store.state(0, epoch).read_bytes() if epoch else None,
        precision=training.precision,
        whole=training.whole,
        start=training.start.weights if training.start else None,
    )


def _clear(training: Training, store: Store, accuracies: list[float], *, running: bool) -> None:
    """Remove what is no longer needed: all models but the last, or the best."""
    best = 1 + accuracies.index(max(accuracies)) if training.stopping.keep == "best" else None
    store.clear(0, keep=len(accuracies), best=best, running=running)
