"""Confirmation: the best few candidates raced over fresh seeds, and the winner put to the test.

The race is decided on validation pictures, by candidates trained on the training split. Its winner
is then trained from further seeds on both, and each network measured once on the test set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

from pennyweight.arch.budget import check_count
from pennyweight.arch.errors import RunError, UsageError, in_a_line
from pennyweight.results.confirmed import race_results, still_racing
from pennyweight.results.folder import StudyFolder, write_whole
from pennyweight.results.leaderboard import rows
from pennyweight.results.models import find_trial
from pennyweight.results.records import RecordFile
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.device import Asked, find_device
from pennyweight.search.executors import LocalExecutor, check_workers
from pennyweight.search.guard import refuse_nested
from pennyweight.search.progress import Watcher, load_shown, watching
from pennyweight.search.recording import fresh_record, identity, recorded_candidate, versions
from pennyweight.train.evaluate import Evaluation, measure_on_test
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Outcome, Task, train_rung, warm_up

RACE_FROM = 1_000  # the first fresh seed of a race
TEST_FROM = 2_000  # and of what is put to the test


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """Race the best `top` complete trials of a study over `seeds`, and test the winner on as many.

    `model` is the study, or STUDY:TRIAL for one trial without a race. What was done already is not
    done again.
    """

    runs: Path
    model: str
    top: int = 5
    seeds: int = 5

    def __post_init__(self) -> None:
        check_count("--top", self.top)
        check_count("--seeds", self.seeds)

    @property
    def study(self) -> str:
        """The study's name."""
        return self.model.partition(":")[0]

    def run(
        self, *, workers: int | None = None, device: Asked = "auto", progress: bool = True
    ) -> StudyRecords:
        """Do what is still to be done; the study's records afterwards.

        Raises UsageError for a study without a complete trial, and RunError where a training fails
        again and again.
        """
        refuse_nested()
        known = load_study(self.runs, self.study)
        racing = self._entrants(known)
        where = find_device(device)
        check_workers(workers, where)
        load_shown(known.data, known, show=progress)
        folder = StudyFolder(self.runs / self.study)
        warm = partial(warm_up, known.data, known.settings["seed"], len(racing) == 1)
        with ExitStack() as stack:
            stack.enter_context(folder.writing())
            stack.enter_context(folder.locked())
            records = stack.enter_context(RecordFile.open(folder.records))
            executor = stack.enter_context(LocalExecutor(workers, warm=warm, device=where))
            started = time.monotonic()
            records.append(
                "session",
                started=time.time(),
                workers=executor.workers,
                versions=versions(),
                pid=os.getpid(),
            )
            total = self.seeds * (len(racing) + (len(racing) > 1))
            watch = stack.enter_context(watching(total, 0, 0, unit="trainings", show=progress))
            work = _Work(folder, records, executor, load_study(self.runs, self.study), watch)
            try:
                winner = work.race(racing, self.seeds) if len(racing) > 1 else racing[0]
                work.test(winner, self.seeds)
            finally:
                records.append("ledger", seconds={}, wall_s=time.monotonic() - started)
        return load_study(self.runs, self.study)

    def _entrants(self, known: StudyRecords) -> list[TrialRecord]:
        """The trials to race, each a candidate of its own."""
        _, colon, number = self.model.partition(":")
        if colon:
            return [find_trial(known, self.study, number)]
        ranked = [known.trials[row.trial] for row in rows(known) if row.state == "complete"]
        if not ranked:
            raise UsageError(
                f"No trial of study {self.study} is complete yet, so there is none to confirm: go "
                "on with its search."
            )
        different = {identity(recorded_candidate(trial)): trial for trial in reversed(ranked)}
        return list(reversed(different.values()))[: self.top]


@dataclass
class _Work:
    """Trains candidates again in the workers, and writes down what came of it."""

    folder: StudyFolder
    records: RecordFile
    executor: LocalExecutor
    known: StudyRecords
    watch: Watcher

    def __post_init__(self) -> None:
        self._done = {(run.trial, run.seed, run.part) for run in self.known.fresh_runs}
        self._raced = race_results(self.known)
        self._used = {trial.seed for trial in self.known.trials.values()}

    def race(self, racing: list[TrialRecord], seeds: int) -> TrialRecord:
        """The leader after `seeds` rounds of one seed each; who is clearly behind drops out."""
        entered = {trial.trial: trial for trial in racing}
        left = list(entered)
        for seed in self._fresh(RACE_FROM, seeds):
            self._train([(entered[trial], seed) for trial in left], "validation")
            left = still_racing({trial: self._raced[trial] for trial in left})
            if len(left) == 1:
                break
        return entered[left[0]]

    def test(self, trial: TrialRecord, seeds: int) -> None:
        """Train `trial` on all but the test set, once from each seed, and measure each on it."""
        self._train([(trial, seed) for seed in self._fresh(TEST_FROM, seeds)], "test")

    def _fresh(self, first: int, seeds: int) -> list[int]:
        """Seeds that no trial of the study was trained from."""
        return list(islice((seed for seed in count(first) if seed not in self._used), seeds))

    def _train(self, entries: Iterable[tuple[TrialRecord, int]], part: str) -> None:
        todo = [
            (trial, seed) for trial, seed in entries if (trial.trial, seed, part) not in self._done
        ]
        tasks = [self._task(trial, seed, part) for trial, seed in todo]
        for place, outcome in _as_completed(self.executor, train_rung, tasks):
            trial, seed = todo[place]
            last = outcome.curve[-1]
            measured = Evaluation(last.val_correct, outcome.val_total, last.val_log_loss)
            if part == "test":
                write_whole(self.folder.fresh_model(trial.trial, seed), outcome.model)
                measured = self.executor.submit(
                    measure_on_test,
                    tasks[place],
                    outcome.model,
                    purpose="confirm",
                    ledger=self.folder.readings,
                ).result()
            fields = fresh_record(trial.trial, seed, part, outcome, measured)
            self.records.append("fresh", **fields)
            self.watch("fresh", fields)
            if part == "validation":
                self._raced.setdefault(trial.trial, []).append(measured.accuracy)

    def _task(self, trial: TrialRecord, seed: int, part: str) -> Task:
        candidate = recorded_candidate(trial)
        epochs = self.known.budget["max_epochs"] or 1
        return Task(
            source=self.known.data,
            split_seed=self.known.settings["seed"],
            candidate=Candidate(
                architecture=candidate.architecture, recipe=candidate.recipe, seed=seed
            ),
            epochs=epochs,
            from_epoch=0,
            to_epoch=epochs,
            precision=self.known.precision,
            whole=part == "test",
        )


def _as_completed(
    executor: LocalExecutor, call: Callable[[Task], Outcome], tasks: list[Task]
) -> Iterator[tuple[int, Outcome]]:
    """(place, outcome) of each task as it ends, at most one a worker handed out at a time."""
    waiting = list(reversed(range(len(tasks))))
    flying: dict[Future[Outcome], int] = {}
    while waiting or flying:
        while waiting and len(flying) < executor.workers:
            place = waiting.pop()
            flying[executor.submit(call, tasks[place])] = place
        # In slices: on some platforms an uninterruptible wait would hold back Ctrl-C.
        while not (done := wait(flying, timeout=0.5, return_when=FIRST_COMPLETED).done):
            pass
        for future in done:
            place = flying.pop(future)
            try:
                yield place, future.result()
            except UsageError:
                raise
            except Exception as error:
                raise RunError(
                    f"Training from seed {tasks[place].candidate.seed} failed with "
                    f"{in_a_line(error)}: see to that, and the same command goes on from here."
                ) from error
