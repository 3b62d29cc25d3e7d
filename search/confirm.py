"""Confirmation: the best few candidates raced over fresh seeds, and the winner put to the test.

The race is decided on validation pictures, by candidates trained on the training split. Its winner
is then trained from further seeds on both, and each network measured once on the test set.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pennyweight.arch.budget import check_count
from pennyweight.arch.errors import RunError, UsageError, in_a_line
from pennyweight.results.confirmed import Confirmed, confirmed, still_racing
from pennyweight.results.leaderboard import rows
from pennyweight.results.models import find_trial
from pennyweight.results.places import Place, store_in
from pennyweight.results.store import Records, Store
from pennyweight.results.studies import load_study, read_study
from pennyweight.results.study_records import FreshRun, StudyRecords
from pennyweight.search.device import CPU, Asked
from pennyweight.search.engine import EXECUTOR, LOCAL, Engine
from pennyweight.search.executors import MOST_ATTEMPTS, LocalExecutor, workers_lost
from pennyweight.search.guard import refuse_nested
from pennyweight.search.interrupts import insisting
from pennyweight.search.progress import Watcher, load_shown, watching
from pennyweight.search.recording import (
    fresh_record,
    fresh_seeds,
    identity,
    recorded_candidate,
    task_again,
    versions,
)
from pennyweight.search.watchdog import Watchdog
from pennyweight.train.data import check_test_set, describe
from pennyweight.train.evaluate import Evaluation, measure_on_test
from pennyweight.train.rung import Outcome, Task, train_rung, warm_up

if TYPE_CHECKING:
    from pennyweight.search.engine import Pool

T = TypeVar("T")

RACE_FROM = 1_000  # the first fresh seed of a race
TEST_FROM = 2_000  # and of what is put to the test


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """Race the best `top` trials of a study over `race` seeds each, and test the winner on `seeds`.

    Only those race whose validation accuracy the search did not find clearly below the best.
    `model` is the study, or STUDY:TRIAL for one trial without a race. What was done already is not
    done again.
    """

    runs: Place
    model: str
    top: int = 5
    race: int = 5
    seeds: int = 5

    def __post_init__(self) -> None:
        check_count("--top", self.top)
        check_count("--race", self.race)
        check_count("--seeds", self.seeds)

    @property
    def study(self) -> str:
        """The study's name."""
        return self.model.partition(":")[0]

    def run(
        self,
        *,
        workers: int | None = None,
        device: Asked = "auto",
        executor: str = EXECUTOR,
        progress: bool = True,
    ) -> tuple[StudyRecords, Confirmed]:
        """Do what is still to be done; the study's records afterwards, and what was confirmed.

        Raises UsageError for a study without a complete trial, and RunError where a training fails.
        """
        refuse_nested()
        _check_repeatable(load_study(self.runs, self.study))
        engine = Engine.of(executor)
        where = engine.device(device)
        engine.check(workers, where)
        store = store_in(self.runs, self.study)
        with ExitStack() as stack:
            stack.enter_context(store.standing_by())
            known, entrants = self._entered(store)
            if not self._pending(known, entrants):
                return self._found(known, entrants)
            stack.enter_context(store.writing())
            stack.enter_context(store.locked())
            known, entrants = self._entered(store)  # again, now that nobody else writes
            start = _start_of(known, store)
            dataset = load_shown(known.data, known, show=progress)
            warm = partial(
                warm_up,
                known.data,
                known.settings["seed"],
                len(entrants) == 1,
                fingerprint=dataset.fingerprint,
            )
            opened = engine.open(workers, warm=warm, device=where, show=progress)
            pool = stack.enter_context(opened)
            # A reading of the test set is written down first, by a process of this machine.
            door = pool if engine == LOCAL else stack.enter_context(LocalExecutor(1, device=CPU))
            records = stack.enter_context(store.open_records())
            total, done = self._counted(known, entrants)
            shown = watching(total, done, unit="trainings", known=known, show=progress)
            watch = stack.enter_context(shown)
            started = time.monotonic()
            session = {"started": time.time(), "workers": pool.workers, "pid": os.getpid()}
            records.append("session", **session, versions=versions())
            try:
                with insisting() as insist:
                    while pending := self._pending(known, entrants):
                        _train(known, pending, start, pool, door, store, records, watch, insist)
                        known = read_study(store)
            finally:
                records.append("ledger", seconds={}, wall_s=time.monotonic() - started)
        return self._found(known, entrants)

    def _found(self, known: StudyRecords, entrants: list[int]) -> tuple[StudyRecords, Confirmed]:
        """What was confirmed, when nothing is left to be done."""
        race, _ = self._seeds(known)
        leader = _raced(known.fresh_runs, entrants, race)[1][0]
        return known, next(found for found in confirmed(known) if found.trial == leader)

    def _entered(self, store: Store) -> tuple[StudyRecords, list[int]]:
        """What is recorded by now, and who races by that."""
        known = read_study(store)
        return known, self._entrants(known)

    def _entrants(self, known: StudyRecords) -> list[int]:
        """The trials to race, the best first, each a candidate of its own."""
        _, colon, number = self.model.partition(":")
        if colon:
            return [find_trial(known, self.study, number).trial]
        complete = [row for row in rows(known) if row.state == "complete"]
        least = complete[0].val_low if complete else None
        ranked = [
            known.trials[row.trial]
            for row in complete
            if row.val_high is None or least is None or row.val_high >= least
        ]
        if not ranked:
            raise UsageError(
                f"No trial of study {self.study} is complete yet, so there is none to confirm: go "
                "on with its search."
            )
        best: dict[str, int] = {}
        for trial in ranked:
            best.setdefault(identity(recorded_candidate(trial)), trial.trial)
        return list(best.values())[: self.top]

    def _pending(self, known: StudyRecords, entrants: list[int]) -> list[Entry]:
        return pending_runs(known.fresh_runs, entrants, *self._seeds(known))

    def _counted(self, known: StudyRecords, entrants: list[int]) -> tuple[int, int]:
        return counted(known.fresh_runs, entrants, *self._seeds(known))

    def _seeds(self, known: StudyRecords) -> tuple[list[int], list[int]]:
        """Those of the race and those of the test."""
        race = fresh_seeds(known, RACE_FROM, self.race)
        return race, fresh_seeds(known, TEST_FROM, self.seeds)


Entry = tuple[int, int, str]
"""(trial, seed, part) of a training from a fresh seed."""


def pending_runs(
    done: Iterable[FreshRun], entrants: Sequence[int], race: Sequence[int], test: Sequence[int]
) -> list[Entry]:
    """What is to be trained next: a round of the race over the seeds `race`, or the tests.

    Who is clearly behind after a round does not run the next. With one entrant, or when one is
    left, it is tested from the seeds `test`; after all rounds the leader is.
    """
    done = list(done)
    missing, left = _raced(done, entrants, race)
    known = {(run.trial, run.seed, run.part) for run in done}
    return missing or [entry for seed in test if (entry := (left[0], seed, "test")) not in known]


def counted(
    done: Iterable[FreshRun], entrants: Sequence[int], race: Sequence[int], test: Sequence[int]
) -> tuple[int, int]:
    """(trainings in all, where nobody else drops out of the race; how many are done)."""
    done, race = list(done), race if len(entrants) > 1 else ()
    missing, left = _raced(done, entrants, race)
    known = {(run.trial, run.seed, run.part) for run in done}
    raced = {(trial, seed, "validation") for trial in entrants for seed in race} & known
    to_race = {(trial, seed, "validation") for trial in left for seed in race} if missing else set()
    tested = set() if missing else {(left[0], seed, "test") for seed in test} & known
    return len(raced | to_race) + len(test), len(raced) + len(tested)


def _raced(
    done: Iterable[FreshRun], entrants: Sequence[int], race: Sequence[int]
) -> tuple[list[Entry], list[int]]:
    """(what the round that is going on still lacks, who is in it, the leader first)."""
    known = {(run.trial, run.seed): run for run in done if run.part == "validation"}
    left = list(entrants)
    for number, seed in enumerate(race, 1):
        if len(left) == 1:
            break
        if missing := [(trial, seed, "validation") for trial in left if (trial, seed) not in known]:
            return missing, left
        left = still_racing({trial: [known[trial, s] for s in race[:number]] for trial in left})
    return [], left


def _train(
    known: StudyRecords,
    entries: list[Entry],
    start: bytes | None,
    pool: Pool,
    door: Pool,
    store: Store,
    records: Records,
    watch: Watcher,
    insist: Callable[[], None],
) -> None:
    """Train candidates from fresh seeds, and write down each as soon as it is measured."""
    tasks = [
        task_again(known, known.trials[trial], seed, whole=part == "test", start=start)
        for trial, seed, part in entries
    ]
    watchdog = Watchdog(pool, describe(known.data).train_examples)
    for place, outcome in _as_completed(pool, tasks, watchdog, insist, store.look):
        trial, seed, part = entries[place]
        last = outcome.curve[-1]
        measured = Evaluation(last.val_correct, outcome.val_total, last.val_log_loss)
        if part == "test":
            store.fresh_model(trial, seed).write(outcome.model)
            reading = tasks[place], outcome.model, store.readings
            test = door.submit(measure_on_test, *reading, purpose="confirm")
            measured = _result(test, tasks[place])
        fields = fresh_record(trial, seed, part, outcome, measured)
        records.append("fresh", **fields)
        watch("fresh", fields)


def _check_repeatable(known: StudyRecords) -> None:
    check_test_set(known.data)
    if known.stopping:
        raise UsageError(
            f"confirm trains to the epoch limit and keeps the last weights, but {known.study} let "
            "validation pictures decide when to stop or what to keep: train it without --patience, "
            "--keep and --target-accuracy."
        )


def _start_of(known: StudyRecords, store: Store) -> bytes | None:
    """The trained weights that the study's network started from."""
    if not known.start:
        return None
    try:
        return store.start.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{known.study} started from trained weights, but {store.start} cannot be read "
            f"({error.strerror}): bring it back from a copy."
        ) from error


def _as_completed(
    pool: Pool, tasks: list[Task], watchdog: Watchdog, *looks: Callable[[], None]
) -> Iterator[tuple[int, Outcome]]:
    """(place, outcome) of each task as it ends, at most one a worker handed out at a time.

    One whose worker was lost or hung is handed out again, as often as in a search.
    """
    waiting = list(reversed(range(len(tasks))))
    flying: dict[Future[Outcome], int] = {}
    lost: Counter[int] = Counter()  # workers, by place

    def more() -> bool:  # a cluster may grow meanwhile
        return bool(waiting) and pool.workers > len(flying)

    while waiting or flying:
        while waiting and len(flying) < pool.workers:
            place = waiting.pop()
            future = pool.submit(train_rung, tasks[place])
            watchdog.begin(future, [tasks[place]], lost[place] + 1)
            flying[future] = place
        for future in watchdog.wait(*looks, more=more):
            place, error = flying.pop(future), future.exception()
            watchdog.end(future)
            if isinstance(error, BrokenExecutor):
                lost[place] += workers_lost(error)
                if lost[place] < MOST_ATTEMPTS:
                    waiting.append(place)
                    continue
            yield place, _result(future, tasks[place])


def _result(future: Future[T], task: Task) -> T:
    """What came of `task`; RunError says what went wrong."""
    try:
        return future.result()
    except UsageError:
        raise
    except Exception as error:
        raise RunError(
            f"Training from seed {task.candidate.seed} failed with {in_a_line(error)}: see to "
            "that, and the same command goes on from here."
        ) from error
