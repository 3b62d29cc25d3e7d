"""The coordinator of a study: it asks, hands out rungs, and alone writes down what comes back."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import RunError, in_a_line
from pennyweight.arch.notation import parse
from pennyweight.results.store import Records, Store
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search import repair, sampling
from pennyweight.search.asking import Asking
from pennyweight.search.executors import MOST_ATTEMPTS, workers_lost
from pennyweight.search.flights import Flight, Group, framed
from pennyweight.search.interrupts import insisting
from pennyweight.search.recording import (
    identity,
    recorded_candidate,
    rung_record,
    trial_record,
)
from pennyweight.search.settings import Settings
from pennyweight.search.side_by_side import lanes_on
from pennyweight.search.watchdog import Watchdog
from pennyweight.train.data import DataInfo
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Outcome, Task, out_of_memory, train_rungs

MOST_SEEDS = 3  # one candidate is trained from: asked once more, the trial is a duplicate
MOST_FAILURES = 5  # in a row, before the search stops
_LEDGER_EVERY_S = 30.0  # so that a killed coordinator's seconds are not all lost

Watcher = Callable[[str, dict[str, Any]], None]
"""Told of each record, its kind and its fields, once it is on the disk."""


@dataclass
class Coordinator:
    """Runs one study in its locked store until `trials` were asked and came to their end.

    `executor` runs `slots()` groups at a time, which may change. With a `deadline` (of
    `time.monotonic`), nothing new is handed out after it; the trials then in flight go on when the
    study is resumed.

    `side_by_side`, before the first group it is measured how many trials at a time are best.
    """

    store: Store
    settings: Settings
    info: DataInfo
    executor: Executor
    slots: Callable[[], int]
    trials: int
    watch: Watcher
    deadline: float | None = None
    side_by_side: bool = False  # whether the executor's device is to train the trials of a group so
    rung_timeout_s: float | None = None  # after which a worker counts as hung; by default measured
    _measured: Sequence[Mapping[str, Any]] = ()  # records of how many trials at a time are best
    _lanes: int | None = None  # how many that is here, once it is known
    _seen: Counter[str] = field(default_factory=Counter)  # candidates by what they are
    _flying: dict[Future[list[Outcome]], Group] = field(default_factory=dict)
    _begun: list[Flight] = field(default_factory=list)  # of the group that is being asked
    _ready: deque[list[Flight]] = field(default_factory=deque)  # groups that no worker has yet
    _seconds: Counter[str] = field(default_factory=Counter)
    _asked: int = 0
    _next: int = 0  # number of a trial; above `_asked` where a record was damaged and deleted
    _failures: int = 0  # in a row, those of one frame counted once
    _failed_frame: Architecture | None = None
    _ledger_from: float = field(default_factory=time.monotonic)

    def run(
        self,
        records: Records,
        known: StudyRecords,
        session: Mapping[str, Any] | None = None,
    ) -> None:
        """Go on from what is `known` to the end, appending to `records`, the `session` first.

        Raises UsageError when the database is damaged; then nothing was recorded.
        """
        self._records, self._measured = records, known.lanes
        self._study = repair.study_in_line(self.store, self.settings, known)
        self._asking = Asking(self._study, self.settings, self.info)
        if session is not None:
            records.append("session", **session)
        try:
            with insisting() as insist:
                self._take_over(known)
                self._go_on(insist)
        finally:
            sampling.close_study(self._study)
            self._write_ledger()

    def _go_on(self, insist: Callable[[], None]) -> None:
        while True:
            while len(self._flying) < self.slots() and self._has_more():
                if not self._ready:
                    self._ask_group()
                if self._ready:
                    self._hand_out(self._ready.popleft())
            if not self._flying:
                break
            # The workers are busy meanwhile. Alone, a trial is trained for longer than it is
            # asked for, and the sampler is better asked when it knows more.
            if self.settings.group > 1 and not self._ready and self._has_more():
                self._ask_group()
            done = self._timed("wait", lambda: self._wait(insist))
            for future in done:
                group, late_s = self._flying.pop(future), self._watchdog.end(future)
                self._land(group, future, late_s)
            if time.monotonic() - self._ledger_from > _LEDGER_EVERY_S:
                self._write_ledger()

    def _wait(self, insist: Callable[[], None]) -> set[Future[list[Outcome]]]:
        def more() -> bool:  # a cluster may grow meanwhile
            return self.slots() > len(self._flying) and self._has_more()

        return self._watchdog.wait(insist, self.store.look, more=more)

    def _has_more(self) -> bool:
        """Whether there is something to hand out or to ask for, and time for it."""
        more = self._ready or self._begun or self._asked < self.trials
        return bool(more) and not self._late()

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    # What a crash left

    def _take_over(self, known: StudyRecords) -> None:
        """Finish what was recorded but not told, and hand out again what was in flight."""
        running = sampling.running(self._study)
        self._asked, self._next = len(known.trials), max(known.trials, default=-1) + 1
        left = self.store.trials_with_states()
        alive: defaultdict[object, list[Flight]] = defaultdict(list)
        for number, record in sorted(known.trials.items()):
            candidate = recorded_candidate(record)
            self._asking.note(number, record.fingerprint, record.genome)
            if record.state != "running" and number in left:
                self.store.clear(number, keep=record.epochs, running=False)
            if record.rungs or record.state not in ("running", "duplicate"):
                self._seen[identity(candidate)] += 1
            if number not in running:
                continue
            flight = Flight(running[number], candidate, self._recorded_frame(record))
            if not self._goes_on(flight, record):
                continue
            unframed = self._asking.in_groups(number) and not record.frame
            if unframed and not record.rungs:  # its group was still being asked
                self._begun.append(flight)
                continue
            if unframed:  # the group's record was damaged and deleted: train it again, alone
                self.store.state(number, flight.epoch).unlink(missing_ok=True)
            together = self._asking.proposals.leader_of(number) if record.frame else number
            alive[together, record.frame].append(flight)
        self._ready.extend(alive.values())

    def _recorded_frame(self, record: TrialRecord) -> Architecture | None:
        if record.frame is None:
            return None
        return parse(record.frame, self.info.input_shape, self.info.classes)

    def _goes_on(self, flight: Flight, record: TrialRecord) -> bool:
        """Tell Optuna what it missed of a trial; whether there is more to train."""
        asked = self._study.get_trials(deepcopy=False)[flight.number]
        for rung in record.rungs:
            flight.epoch, flight.score = rung.epoch, repair.score(rung)
            if rung.epoch not in asked.intermediate_values:
                flight.trial.report(flight.score, rung.epoch)
        if record.state != "running":
            repair.tell(self._study, flight.trial, record.state, flight.score)
            return False
        if record.rungs:
            return self._survives(flight, diverged=record.rungs[-1].diverged)
        return self._admitted(flight)

    # A trial from its question to its end

    @cached_property
    def _watchdog(self) -> Watchdog:
        return Watchdog(self.executor, self.info.train_examples, self.rung_timeout_s)

    def _ask_group(self) -> None:
        """Ask the trials of one group, which are then ready to be handed out."""
        flights, self._begun = self._begun, []
        any_asked = bool(flights)
        while self._asked < self.trials and not (any_asked and self._asking.leads(self._next)):
            flight = self._ask()
            any_asked = True
            if self._admitted(flight):
                flights.append(flight)
        if flights and not self._asking.in_groups(flights[0].number):
            self._ready.append(flights)
            return
        for same in framed(flights):
            frame = same[0].frame
            assert frame is not None
            self._record("group", trials=[f.number for f in same], frame=frame.notation)
            self._ready.append(same)

    def _ask(self) -> Flight:
        """Ask for one trial, decode its genome and record it."""
        with _Lap(self._seconds, "ask"):
            trial, genome, architecture, proposer = self._asking.ask(self._next)
        candidate = Candidate(
            architecture=architecture, recipe=genome.recipe, seed=self.settings.seed
        )
        seed = candidate.seed + self._seen[identity(candidate)]
        flight = Flight(trial, replace(candidate, seed=seed))
        self._asked, self._next = self._asked + 1, self._next + 1
        asked = trial_record(genome, flight.candidate)
        self._record("trial", trial=trial.number, proposer=proposer, **asked)
        return flight

    def _admitted(self, flight: Flight) -> bool:
        """Whether it is to be trained: not where the candidate was, often enough, before."""
        if self._seen[identity(flight.candidate)] >= MOST_SEEDS:
            self._end(flight, "duplicate", f"asked before, and trained from {MOST_SEEDS} seeds")
            return False
        self._seen[identity(flight.candidate)] += 1
        return True

    def _hand_out(self, flights: list[Flight], *, alone: bool = False) -> None:
        """Submit the next rung of those furthest behind, or of one; the others wait for them."""
        if flights and not self._late():
            group = Group.of(flights, alone=alone)
            tasks = [self._task(flight) for flight in group.training]
            lanes = self._lanes_for(tasks[0])
            future = self.executor.submit(train_rungs, tasks, lanes)
            self._watchdog.begin(future, tasks, max(flight.attempt for flight in group.training))
            self._flying[future] = group

    def _lanes_for(self, task: Task) -> int:
        """How many trials like `task` train side by side; measured once on a kind of device."""
        if not self.side_by_side or task.frame is None:
            return 1
        if self._lanes is None:
            with _Lap(self._seconds, "measure"):
                most = self.settings.group
                record = lanes_on(self.executor, task, most, self._measured)
            if record not in self._measured[-1:]:  # it says what holds from here on
                self._record("lanes", **record)
            self._lanes = int(record["lanes"])
        return self._lanes

    def _task(self, flight: Flight) -> Task:
        """The flight's next rung, from the state that the one before left."""
        left = self.store.state(flight.number, flight.epoch)
        state = left.read_bytes() if flight.epoch and left.exists() else None
        return Task(
            source=self.settings.data,
            split_seed=self.settings.seed,
            candidate=flight.candidate,
            epochs=self.settings.budget.max_epochs,
            from_epoch=flight.epoch if state else 0,  # a lost state is trained again
            to_epoch=min(epoch for epoch in self.settings.rungs if epoch > flight.epoch),
            state=state,
            frame=flight.frame,
            precision=self.settings.precision,
        )

    def _land(
        self, group: Group, future: Future[list[Outcome]], late_s: float | None = None
    ) -> None:
        """Write down what a rung gave each trial, and hand out the next one of those that go on.

        `late_s` is the time limit, where it was stopped for that.
        """
        try:
            outcomes = future.result()
        except Exception as error:
            if len(group.training) > 1:  # each alone, so that one does not fail the others
                self._hand_out(group.training + group.others, alone=True)
            elif self._fails(group.training[0], error, late_s):
                self._hand_out(group.others, alone=group.alone)
            else:
                self._hand_out(group.training + group.others, alone=True)
            return
        self._failures = 0
        landed = zip(group.training, outcomes, strict=True)
        going = [flight for flight, outcome in landed if self._record_rung(flight, outcome)]
        self._hand_out(going + group.others, alone=group.alone)

    def _fails(self, flight: Flight, error: Exception, late_s: float | None) -> bool:
        """Whether its trial ends so: not where only the worker was lost, and not too often."""
        lost = isinstance(error, BrokenExecutor)
        times = flight.attempt - 1 + (workers_lost(error) if lost else 1)
        if not lost and not out_of_memory(error):
            self._fail(flight, in_a_line(error))
        elif times < MOST_ATTEMPTS:
            flight.attempt = times + 1
            return False
        elif late_s is not None:
            self._fail(flight, f"a rung took more than {_brief(late_s)} s, {times} times")
        else:
            reason = "its worker died" if lost else in_a_line(error).rstrip(".")
            self._fail(flight, f"{reason} {times} times")
        return True

    def _record_rung(self, flight: Flight, outcome: Outcome) -> bool:
        """Write down what a rung gave; whether the trial goes on."""
        # Epochs before are in the records, where a lost state was trained again.
        curve = tuple(point for point in outcome.curve if point.epoch > flight.epoch)
        if not curve:
            self._end(flight, "diverged", "its lost state was trained again, and diverged earlier")
            return False
        outcome = replace(outcome, curve=curve)
        last = curve[-1]
        with _Lap(self._seconds, "record"):
            self.store.state(flight.number, last.epoch).write(outcome.state)
            self.store.model(flight.number, last.epoch).write(outcome.model)
        self._record("rung", **rung_record(flight.number, outcome))
        flight.epoch, flight.attempt = last.epoch, 1
        flight.score = 0.0 if last.diverged else last.val_correct / outcome.val_total
        with _Lap(self._seconds, "tell"):
            flight.trial.report(flight.score, flight.epoch)
        return self._survives(flight, diverged=last.diverged)

    def _survives(self, flight: Flight, *, diverged: bool) -> bool:
        """Whether the trial, whose rung is recorded and reported, goes on; ends it if not."""
        if diverged:
            self._end(flight, "diverged", "its loss was not finite")
        elif flight.epoch == self.settings.budget.max_epochs:
            self._end(flight, "complete", None)
        elif self._timed("tell", flight.trial.should_prune) and not self._spared(flight):
            self._end(flight, "pruned", f"too far behind after {flight.epoch} epochs")
        else:
            self.store.clear(flight.number, keep=flight.epoch, running=True)
            return True
        return False

    def _spared(self, flight: Flight) -> bool:
        """Whether the trial goes on whatever the first comparison says.

        What is asked first was the best elsewhere, and so early one seed says less: after 2 of 15
        epochs on MNIST, what won by 0.3 points at the next rung was still behind.
        """
        early = flight.epoch == self.settings.first_rung
        return early and flight.number < self._asking.proposals.alone

    def _fail(self, flight: Flight, reason: str) -> None:
        """End the trial; raises RunError when it is plainly not the trial's fault."""
        self._end(flight, "failed", reason)
        if flight.frame is None or flight.frame != self._failed_frame:
            self._failures += 1
        self._failed_frame = flight.frame
        if self._failures == MOST_FAILURES:
            raise RunError(
                f"{MOST_FAILURES} trials in a row failed, the last with {reason.rstrip('.')}: "
                "see to that, then go on with the study."
            )

    def _end(self, flight: Flight, state: str, reason: str | None) -> None:
        """Record the trial's end, then tell Optuna: what is recorded is never asked again."""
        self._record("end", trial=flight.number, state=state, reason=reason)
        with _Lap(self._seconds, "tell"):
            repair.tell(self._study, flight.trial, state, flight.score)
        self.store.clear(flight.number, keep=flight.epoch, running=False)

    # Records

    def _record(self, kind: str, **fields: Any) -> None:
        with _Lap(self._seconds, "record"):
            self._records.append(kind, **fields)
        self.watch(kind, fields)

    def _timed(self, kind: str, call: Callable[[], Any]) -> Any:
        with _Lap(self._seconds, kind):
            return call()

    def _write_ledger(self) -> None:
        now = time.monotonic()
        seconds, self._seconds = dict(self._seconds), Counter()
        self._record("ledger", seconds=seconds, wall_s=now - self._ledger_from)
        self._ledger_from = now


def _brief(number: float) -> str:
    """`number` to two digits, or whole where it has more."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


@dataclass
class _Lap:
    """Adds the seconds of its `with` block to a kind."""

    seconds: Counter[str]
    kind: str

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.kind] += time.perf_counter() - self._started  # type: ignore[assignment]
