"""The coordinator: every trial comes to one end, once, whatever happens on the way.

Training is replaced by arithmetic here (`searches.Arithmetic`), so that hundreds of situations can
be gone through; `test_kill.py` has real training in real processes.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from searches import (
    RUNGS,
    SETTINGS,
    TOTAL,
    Arithmetic,
    check_whole,
    coordinate,
    copied,
    story,
    told,
)

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.arch.frame import frame
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import read_records
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.executors import MOST_ATTEMPTS, WorkersLost
from pennyweight.search.genome import structural
from pennyweight.search.proposals import Proposals
from pennyweight.search.study import MOST_FAILURES, MOST_SEEDS
from pennyweight.train.rung import Outcome, Point, Task

FIRST = dict(Proposals().first)  # what is asked first of small pictures under a small cap
GROUPED = replace(SETTINGS, group=3, seed=1)
HERE = 12  # trials of the study that most tests go on with: with the next, the sampler models
END = HERE + 2
IN_GROUPS = len(FIRST) + 9  # of the one whose trials come in groups of three


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of HERE trials; `copied` before it is gone on with."""
    folder = StudyFolder(tmp_path_factory.mktemp("runs") / "study")
    coordinate(folder, HERE)
    return folder


@pytest.fixture(scope="module")
def ended(base: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The same study gone on with to END trials, undisturbed."""
    folder = copied(base, tmp_path_factory.mktemp("runs"))
    coordinate(folder, END)
    return folder


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study in groups, of so many trials that a group is asked next; `copied` before its use."""
    folder = StudyFolder(tmp_path_factory.mktemp("runs") / "study")
    coordinate(folder, IN_GROUPS, settings=GROUPED)
    return folder


def loaded(folder: StudyFolder) -> StudyRecords:
    return load_study(folder.path.parent, folder.path.name)


# An undisturbed study.


def test_groups_differ_in_widths_and_numbers_alone_and_share_a_frame(
    grouped: StudyFolder, tmp_path: Path
) -> None:
    more = IN_GROUPS + 6
    study = coordinate(copied(grouped, tmp_path), more, settings=GROUPED)
    assert [study.trials[number].frame for number in range(len(FIRST))] == [None] * len(FIRST)
    networks_differ = []
    for leader in range(len(FIRST), more, 3):
        group = [study.trials[number] for number in range(leader, leader + 3)]
        assert len({trial.genome["learning_rate"] for trial in group}) == 3
        alike = [trial for trial in group if structure(trial) == structure(group[0])]
        networks = [Architecture.from_json(trial.architecture) for trial in alike]
        assert {trial.frame for trial in alike} == {frame(networks).notation}
        networks_differ.append(len({trial.fingerprint for trial in alike}))
        before = {study.trials[number].fingerprint for number in range(leader)}
        for trial in group:  # one that found no other network of the structure has its own
            assert trial in alike or trial.fingerprint not in before
    assert 3 in networks_differ
    leaders = [study.trials[number] for number in range(len(FIRST), more, 3)]
    assert len({structure(trial) for trial in leaders}) == len(leaders)
    check_whole(grouped, IN_GROUPS, GROUPED)


def structure(trial: TrialRecord) -> tuple[object, ...]:
    return tuple(trial.genome[gene] for gene in structural())


def test_a_group_loses_one_trial_to_a_worker_that_dies_of_it_and_no_other(
    grouped: StudyFolder, tmp_path: Path
) -> None:
    undisturbed = copied(grouped, tmp_path / "undisturbed")
    coordinate(undisturbed, IN_GROUPS + 3, settings=GROUPED)
    victim = loaded(undisturbed).trials[IN_GROUPS + 1].fingerprint
    failing = Failing(
        BrokenExecutor("killed"), lambda task: task.candidate.architecture.fingerprint == victim
    )
    folder = copied(grouped, tmp_path / "disturbed")
    study = coordinate(folder, IN_GROUPS + 3, executor=failing, settings=GROUPED)
    assert study.trials[IN_GROUPS + 1].state == "failed"
    for number in (IN_GROUPS, IN_GROUPS + 2):
        assert study.trials[number].epochs >= RUNGS[0]
        assert study.trials[number].state in ("complete", "pruned")
    check_whole(folder, IN_GROUPS + 3, GROUPED)


def test_every_trial_asked_comes_to_one_end_in_records_and_database(ended: StudyFolder) -> None:
    check_whole(ended, END)


def test_the_first_trials_are_the_hand_made_ones_and_then_the_sampler_asks(
    ended: StudyFolder,
) -> None:
    trials = loaded(ended).trials
    assert [trials[n].proposer for n in range(len(FIRST) + 1)] == [*FIRST, "sampler"]
    for (name, genome), trial in zip(FIRST.items(), trials.values(), strict=False):
        assert trial.genome == genome.to_json(), name
    assert [trial.share for trial in trials.values()] == [
        Proposals().share_of(n) for n in range(END)
    ]


def test_every_network_is_within_the_budget_and_its_share(ended: StudyFolder) -> None:
    for trial in loaded(ended).trials.values():
        assert trial.cost["params"] <= SETTINGS.budget.max_params * trial.share


def test_some_trials_are_pruned_and_only_at_a_rung(ended: StudyFolder) -> None:
    counts = loaded(ended).counts
    assert counts["pruned"] >= 3
    assert counts["complete"] >= 2
    for trial in loaded(ended).trials.values():
        if trial.state == "pruned":
            assert trial.epochs in RUNGS[:-1]
            assert trial.reason == f"too far behind after {trial.epochs} epochs"


def test_what_is_asked_first_is_pruned_at_the_second_rung_at_the_earliest(
    ended: StudyFolder,
) -> None:
    trials = loaded(ended).trials
    first = [trials[number] for number in range(len(FIRST))]
    pruned_at = {trial.epochs for trial in first if trial.state == "pruned"}
    assert pruned_at == {RUNGS[1]}
    assert RUNGS[0] in {trial.epochs for trial in trials.values() if trial.state == "pruned"}


def test_the_same_seed_gives_the_same_study_and_another_seed_another(
    ended: StudyFolder, tmp_path: Path
) -> None:
    again = coordinate(StudyFolder(tmp_path / "again"), END)
    assert story(again) == story(loaded(ended))
    number = len(FIRST)
    settings = replace(SETTINGS, seed=1)
    other = coordinate(StudyFolder(tmp_path / "other"), number + 1, settings=settings)
    assert other.trials[number].proposer == "sampler"
    assert other.trials[number].genome != again.trials[number].genome


def test_an_evolutionary_sampler_is_interrupted_and_gone_on_with_as_well(tmp_path: Path) -> None:
    settings = replace(SETTINGS, sampler="nsga2")
    whole = coordinate(StudyFolder(tmp_path / "whole"), 7, settings=settings)
    folder = StudyFolder(tmp_path / "halves")
    coordinate(folder, 6, settings=settings)
    assert story(coordinate(folder, 7, settings=settings)) == story(whole)
    check_whole(folder, 7, settings)


def test_a_record_is_on_the_disk_before_anyone_is_told_of_it(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    told_of: list[str] = []

    def watch(kind: str, fields: dict[str, Any]) -> None:
        last = read_records(folder.records)[-1]
        assert (last["kind"], last.get("trial")) == (kind, fields.get("trial"))
        told_of.append(kind)

    coordinate(folder, 2, watch=watch)
    assert [r["kind"] for r in read_records(folder.records)][1:] == told_of
    assert told_of.count("trial") == told_of.count("end") == 2


def test_the_coordinators_seconds_are_in_the_ledger_by_kind(ended: StudyFolder) -> None:
    study = loaded(ended)
    assert study.coordinator_seconds.keys() >= {"ask", "tell", "record", "wait"}
    assert 0 < sum(study.coordinator_seconds.values()) <= study.wall_s


def test_a_coordinator_needs_no_jax(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import searches; "
        "from pennyweight.results.folder import StudyFolder; "
        "searches.coordinate(StudyFolder(Path(sys.argv[1])), 1); assert 'jax' not in sys.modules"
    )
    run(["-c", program, str(tmp_path / "study")])


# Candidates that come again.


def test_a_candidate_that_comes_again_gets_another_seed_and_then_counts_as_a_duplicate(
    tmp_path: Path,
) -> None:
    """Under 46 parameters most hand-made networks shrink to one and the same."""
    settings = replace(SETTINGS, budget=Budget(max_params=40, max_epochs=9))
    folder = StudyFolder(tmp_path / "study")
    study = coordinate(folder, 12, settings=settings)
    by_what = {}
    for trial in study.trials.values():
        by_what.setdefault((trial.fingerprint, str(trial.recipe)), []).append(trial)
    for same in by_what.values():
        assert [trial.seed for trial in same][:MOST_SEEDS] == list(range(len(same)))[:MOST_SEEDS]
        states = [trial.state == "duplicate" for trial in same]
        assert states == [False] * min(len(same), MOST_SEEDS) + [True] * (len(same) - MOST_SEEDS)
        assert all(not trial.rungs for trial in same[MOST_SEEDS:])


# What goes wrong in a worker.


class Failing(Arithmetic):
    """Raises `error` for the first `times` tasks of which `when` holds."""

    def __init__(self, error: Exception, when: Any = lambda task: True, times: int = 10**6):
        self.error, self.when, self.left = error, when, times

    def outcome(self, task: Task) -> Outcome:
        if self.left and self.when(task):
            self.left -= 1
            raise self.error
        return super().outcome(task)


def test_a_rung_whose_worker_died_is_trained_again(base: StudyFolder, tmp_path: Path) -> None:
    folder = copied(base, tmp_path)
    executor = Failing(BrokenExecutor("killed"), times=MOST_ATTEMPTS - 1)
    study = coordinate(folder, END, executor=executor)
    assert executor.left == 0
    assert study.counts["failed"] == 0
    check_whole(folder, END)


def test_a_trial_that_kills_its_workers_fails_and_costs_no_other(
    base: StudyFolder, ended: StudyFolder, tmp_path: Path
) -> None:
    victim = loaded(ended).trials[HERE].fingerprint
    executor = Failing(
        BrokenExecutor("killed"), lambda task: task.candidate.architecture.fingerprint == victim
    )
    folder = copied(base, tmp_path)
    study = coordinate(folder, END, executor=executor)
    assert study.trials[HERE].state == "failed"
    assert study.trials[HERE].reason == f"its worker died {MOST_ATTEMPTS} times"
    assert study.trials[HERE + 1].state in ("complete", "pruned")
    check_whole(folder, END)


@pytest.mark.parametrize(("workers", "state"), [(0, "complete"), (4, "failed")])
def test_attempts_are_counted_by_the_workers_that_were_lost(
    workers: int, state: str, tmp_path: Path
) -> None:
    """Dask hands a call on by itself; and a scheduler's end is no worker's."""
    folder = StudyFolder(tmp_path / "study")
    times = MOST_ATTEMPTS + 1 if workers == 0 else 1
    executor = Failing(WorkersLost("lost", workers), times=times)
    trial = coordinate(folder, 1, executor=executor).trials[0]
    assert (executor.left, trial.state) == (0, state)
    assert trial.reason == (f"its worker died {workers} times" if workers else None)


class Hung(Arithmetic):
    """Never answers its first call, until that is stopped."""

    def __init__(self) -> None:
        self.hung: Future[Any] | None = None
        self.calls, self.calls_before = 0, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        if self.hung is None:
            self.hung = Future()
            return self.hung
        time.sleep(0.02)
        return super().submit(fn, *args, **kwargs)

    def runs(self, future: Future[Any]) -> bool:
        return future is self.hung

    def stop(self, future: Future[Any]) -> None:
        self.calls_before = self.calls
        future.set_exception(BrokenExecutor("stopped"))


def test_a_worker_that_hangs_is_noticed_while_others_come_back_all_the_time(
    tmp_path: Path,
) -> None:
    folder, executor = StudyFolder(tmp_path / "study"), Hung()
    coordinate(folder, 40, executor=executor, slots=2, rung_timeout_s=0.1)
    assert 0 < executor.calls_before < executor.calls / 2
    check_whole(folder, 40)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_group_whose_workers_died_comes_back_in_the_order_in_which_it_would_have(
    times: int, tmp_path: Path
) -> None:
    """On the order depends who goes on: with one worker the search is the same."""
    executor = Failing(BrokenExecutor("killed"), lambda task: task.frame is not None, times)
    settings = replace(GROUPED, group=8)
    folder = StudyFolder(tmp_path / "study")
    study = coordinate(folder, len(FIRST) + 9, executor=executor, settings=settings)
    assert executor.left == 0
    undisturbed = coordinate(StudyFolder(tmp_path / "quiet"), len(FIRST) + 9, settings=settings)
    assert story(study) == story(undisturbed)
    check_whole(folder, len(FIRST) + 9, settings)


@pytest.mark.parametrize(
    "error", [MemoryError("no room"), RuntimeError("RESOURCE_EXHAUSTED: no room")]
)
def test_where_memory_was_too_small_the_rung_is_tried_again_but_not_for_ever(
    error: Exception, base: StudyFolder, ended: StudyFolder, tmp_path: Path
) -> None:
    executor = Failing(error, times=MOST_ATTEMPTS - 1)
    study = coordinate(copied(base, tmp_path / "some"), END, executor=executor)
    assert (executor.left, study.counts["failed"]) == (0, 0)
    victim = loaded(ended).trials[HERE].fingerprint
    executor = Failing(error, lambda task: task.candidate.architecture.fingerprint == victim)
    folder = copied(base, tmp_path / "all")
    study = coordinate(folder, END, executor=executor)
    reason = f"{type(error).__name__}: {error} {MOST_ATTEMPTS} times"
    assert (study.trials[HERE].state, study.trials[HERE].reason) == ("failed", reason)
    assert study.trials[HERE + 1].state in ("complete", "pruned")
    check_whole(folder, END)


def test_a_trial_that_fails_later_keeps_what_it_reached(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    executor = Failing(BrokenExecutor("killed"), lambda task: task.from_epoch == RUNGS[0])
    study = coordinate(folder, 1, executor=executor)
    trial = study.trials[0]
    assert (trial.state, trial.epochs) == ("failed", RUNGS[0])
    assert folder.model(0, RUNGS[0]).exists()
    check_whole(folder, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no\nsuch  thing"), "ValueError: no such thing"),
        (NotImplementedError(), "NotImplementedError:"),
        (OverflowError("x" * 1000), f"OverflowError: {'x' * 285}"),
    ],
)
def test_an_error_in_a_worker_fails_its_trial_with_one_line(
    error: Exception, reason: str, tmp_path: Path
) -> None:
    folder = StudyFolder(tmp_path / "study")
    study = coordinate(folder, 2, executor=Failing(error, times=1))
    assert (study.trials[0].state, study.trials[0].reason) == ("failed", reason)
    assert study.trials[1].state == "complete"
    check_whole(folder, 2)


def test_a_search_in_which_everything_fails_stops_and_can_be_gone_on_with(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    with pytest.raises(RuntimeError, match="5 trials in a row failed, the last with OSError: gone"):
        coordinate(folder, 8, executor=Failing(OSError("gone")))
    assert loaded(folder).counts["failed"] == MOST_FAILURES == len(loaded(folder).trials)
    study = coordinate(folder, 8)
    assert study.counts["failed"] == MOST_FAILURES
    check_whole(folder, 8)


class Diverging(Arithmetic):
    """Every candidate's loss is lost in its second epoch."""

    def outcome(self, task: Task) -> Outcome:
        outcome = super().outcome(task)
        curve = [p for p in outcome.curve if p.epoch <= 2]
        if curve[-1].epoch == 2:
            curve[-1] = replace(curve[-1], train_loss=float("nan"))
        return replace(outcome, curve=tuple(curve))


def test_a_trial_whose_loss_is_no_number_diverged_and_scores_as_the_worst(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    study = coordinate(folder, 2, executor=Diverging())
    assert study.trials[0].state == "diverged"
    assert study.trials[0].epochs == 2
    assert study.trials[0].curve[-1].train_loss is None
    frozen = told(folder)[0]
    assert frozen.value == 0.0
    assert list(frozen.intermediate_values.values())[-1] == 0.0
    assert not list(folder.path.glob("states/*"))


# Interruptions.


def test_after_the_deadline_nothing_new_starts_and_the_study_can_be_gone_on_with(
    base: StudyFolder, ended: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(base, tmp_path)
    assert len(coordinate(folder, END, deadline=time.monotonic() - 1).trials) == HERE

    class Slow(Arithmetic):
        def outcome(self, task: Task) -> Outcome:
            while time.monotonic() < deadline:
                time.sleep(0.01)
            return super().outcome(task)

    deadline = time.monotonic() + 1.5
    study = coordinate(folder, END, executor=Slow(), deadline=deadline)
    assert len(study.trials) == HERE + 1
    assert study.trials[HERE].epochs == RUNGS[0]
    assert story(coordinate(folder, END)) == story(loaded(ended))
    check_whole(folder, END)


class Interrupted(Arithmetic):
    """Ctrl-C comes while the last of `rungs` rungs is trained."""

    def __init__(self, rungs: int) -> None:
        self.rungs = rungs

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.rungs == 0:
            raise KeyboardInterrupt
        self.rungs -= 1
        return super().submit(fn, *args, **kwargs)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of two trials, the first of which always comes through all rungs."""
    folder = StudyFolder(tmp_path_factory.mktemp("runs") / "study")
    study = coordinate(folder, 2)
    assert study.trials[0].epochs == RUNGS[-1]
    return folder


@pytest.mark.parametrize("rungs", range(4))
def test_an_interrupt_at_any_rung_changes_nothing_in_the_end(
    rungs: int, short: StudyFolder, tmp_path: Path
) -> None:
    folder = StudyFolder(tmp_path / "study")
    with pytest.raises(KeyboardInterrupt):
        coordinate(folder, 2, executor=Interrupted(rungs))
    (running,) = [t for t in loaded(folder).trials.values() if t.state == "running"]
    assert (running.trial, running.epochs) == ((0, (0, *RUNGS)[rungs]) if rungs < 3 else (1, 0))
    assert story(coordinate(folder, 2)) == story(loaded(short))
    check_whole(folder, 2)


def test_an_interrupt_between_any_record_and_what_follows_it_changes_nothing_in_the_end(
    short: StudyFolder, tmp_path: Path
) -> None:
    """The record is on the disk then, and Optuna not yet told of it."""
    asked = [r for r in read_records(short.records) if "trial" in r]
    for number in range(len(asked)):
        folder = StudyFolder(tmp_path / f"{number}" / "study")
        left = number

        def watch(kind: str, fields: dict[str, Any]) -> None:
            nonlocal left
            if kind != "ledger" and left == 0:
                raise KeyboardInterrupt
            left -= kind != "ledger"

        with pytest.raises(KeyboardInterrupt):
            coordinate(folder, 2, watch=watch)
        assert sum("trial" in r for r in read_records(folder.records)) == number + 1
        assert story(coordinate(folder, 2)) == story(loaded(short))
        check_whole(folder, 2)


def assert_crashes_change_nothing(
    study: StudyFolder, folder: Path, *, more: int, points: int
) -> None:
    copy = copied(study, folder / "runs")
    program = Path(__file__).with_name("crashes.py")
    printed = run([str(program), str(copy.path), str(more), str(points)])
    results = [json.loads(line) for line in printed.splitlines()]
    assert len(results) == points
    assert [result for result in results if result["problem"]] == []


def test_a_coordinator_killed_at_any_line_and_again_while_it_goes_on_changes_nothing_in_the_end(
    base: StudyFolder, tmp_path: Path
) -> None:
    assert_crashes_change_nothing(base, tmp_path, more=1, points=6)


def test_groups_killed_at_any_line_are_gone_on_with_as_they_were(
    grouped: StudyFolder, tmp_path: Path
) -> None:
    assert_crashes_change_nothing(grouped, tmp_path, more=3, points=6)


class Generous(Arithmetic):
    """Networks asked by the sampler do better than the hand-made ones, so that many survive."""

    def point(self, task: Task, epoch: int) -> Point:
        point = super().point(task, epoch)
        correct = point.val_correct // 2 if task.frame is None else point.val_correct
        return replace(point, val_correct=correct, val_accuracy=correct / TOTAL)


def test_an_interrupt_after_any_record_of_a_group_changes_nothing_in_the_end(
    tmp_path: Path,
) -> None:
    settings, trials = replace(SETTINGS, group=8, sampler="random"), len(FIRST) + 8
    whole = StudyFolder(tmp_path / "whole" / "study")
    wanted = story(coordinate(whole, trials, executor=Generous(), settings=settings))
    survivors = [n for n in wanted if n >= len(FIRST) and len(wanted[n]["rungs"]) > 1]
    assert len(survivors) >= 2
    written = [r for r in read_records(whole.records) if r["kind"] in ("rung", "end")]
    group = [k for k, r in enumerate(written) if r["trial"] >= len(FIRST)]
    for point in group[::2]:
        folder = StudyFolder(tmp_path / f"{point}" / "study")
        left = point

        def watch(kind: str, fields: dict[str, Any]) -> None:
            nonlocal left
            if kind in ("rung", "end"):
                if left == 0:
                    raise KeyboardInterrupt
                left -= 1

        with pytest.raises(KeyboardInterrupt):
            coordinate(folder, trials, executor=Generous(), settings=settings, watch=watch)
        assert story(coordinate(folder, trials, executor=Generous(), settings=settings)) == wanted
        check_whole(folder, trials, settings)


def test_a_structure_that_fails_as_a_whole_does_not_stop_the_search(tmp_path: Path) -> None:
    # From seed 2 both groups have networks enough: none of their trials leaves its structure.
    settings = replace(SETTINGS, group=8, sampler="random", seed=2)
    trials = len(FIRST) + 16
    failing = Failing(BrokenExecutor("killed"), lambda task: bool(task.frame), times=8 * 3 + 1)
    folder = StudyFolder(tmp_path / "study")
    study = coordinate(folder, trials, executor=failing, settings=settings)
    assert study.counts["failed"] == 8
    check_whole(folder, trials, settings)


def test_a_group_whose_record_was_deleted_is_trained_again_alone(
    grouped: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(grouped, tmp_path)
    lines = folder.records.read_bytes().splitlines(keepends=True)
    rung = max(n for n, line in enumerate(lines) if b'"kind":"rung"' in line)
    kept = [line for line in lines[: rung + 1] if b'"kind":"group"' not in line]
    folder.records.write_bytes(b"".join(kept))
    study = coordinate(folder, IN_GROUPS, settings=GROUPED)
    assert study.counts["failed"] == 0
    assert sorted(study.trials) == list(range(IN_GROUPS))


@pytest.mark.extended
@pytest.mark.timeout(1200)
def test_groups_killed_at_sixty_lines_are_gone_on_with_as_they_were(
    grouped: StudyFolder, tmp_path: Path
) -> None:
    assert_crashes_change_nothing(grouped, tmp_path, more=4, points=60)


@pytest.mark.extended
@pytest.mark.timeout(1200)
def test_a_coordinator_killed_at_a_hundred_lines_changes_nothing_in_the_end(
    base: StudyFolder, tmp_path: Path
) -> None:
    assert_crashes_change_nothing(base, tmp_path, more=2, points=100)


# Files of different ages: what a crash of the whole machine, or a restored copy, leaves.


def truncate(folder: StudyFolder, lines: int) -> None:
    """Keep so many lines of the records."""
    whole = folder.records.read_bytes().splitlines(keepends=True)
    folder.records.write_bytes(b"".join(whole[:lines]))


@pytest.mark.parametrize("lost", [1, 2, 4, 7])
def test_records_that_lost_their_end_are_trained_again(
    lost: int, ended: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(ended, tmp_path)
    lines = len(read_records(folder.records))
    truncate(folder, lines - lost)
    kept = story(loaded(folder))
    after = story(coordinate(folder, END))
    for number, trial in kept.items():
        if trial["state"] != "running":
            assert after[number] == trial
    assert after == story(loaded(ended))
    check_whole(folder, END)


def test_a_record_torn_in_the_middle_is_written_again(ended: StudyFolder, tmp_path: Path) -> None:
    folder = copied(ended, tmp_path)
    whole = folder.records.read_bytes().splitlines(keepends=True)
    number = max(n for n, line in enumerate(whole) if b'"kind":"rung"' in line)
    folder.records.write_bytes(b"".join(whole[:number]) + whole[number][:100])
    assert story(coordinate(folder, END)) == story(loaded(ended))
    check_whole(folder, END)


def test_a_database_older_than_the_records_is_brought_up_to_them(
    base: StudyFolder, ended: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(ended, tmp_path)
    shutil.copy(base.path / "study.db", folder.path / "study.db")
    assert story(coordinate(folder, END)) == story(loaded(ended))
    check_whole(folder, END)
    for old, new in zip(told(ended), told(folder), strict=True):
        compared = {k: v for k, v in old.system_attrs.items() if k.startswith("completed")}
        assert compared.items() <= new.system_attrs.items()


def test_a_deleted_database_is_made_anew_and_the_sampler_goes_on_as_if_it_had_been_there(
    base: StudyFolder, ended: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(base, tmp_path)
    (folder.path / "study.db").unlink()
    assert story(coordinate(folder, END)) == story(loaded(ended))
    check_whole(folder, END)


def test_a_database_that_tells_another_story_is_not_believed(
    base: StudyFolder, ended: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(base, tmp_path)
    database = sqlite3.connect(folder.path / "study.db")
    gene = "param_name = 'rotation' AND trial_id = (SELECT MAX(trial_id) FROM trials)"
    changed = database.execute(f"UPDATE trial_params SET param_value = 0.125 WHERE {gene}")
    assert changed.rowcount == 1
    database.commit()
    database.close()
    assert story(coordinate(folder, END)) == story(loaded(ended))
    check_whole(folder, END)


def test_a_damaged_database_is_refused_in_one_line_that_says_what_to_do(
    base: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(base, tmp_path)
    (folder.path / "study.db").write_bytes(b"no database at all" * 100)
    before = folder.records.read_bytes()
    with pytest.raises(UsageError) as caught:
        coordinate(folder, END)
    assert str(folder.path / "study.db") in str(caught.value)
    assert "delete it" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert folder.records.read_bytes() == before
    (folder.path / "study.db").unlink()
    coordinate(folder, END)
    check_whole(folder, END)


def test_a_trial_whose_record_was_damaged_and_deleted_keeps_its_number_to_itself(
    base: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(base, tmp_path)
    whole = folder.records.read_bytes().splitlines(keepends=True)
    kept = [line for line in whole if b'"kind":"trial","trial":4,' not in line]
    assert len(kept) == len(whole) - 1
    folder.records.write_bytes(b"".join(kept))
    study = coordinate(folder, HERE)
    assert sorted(study.trials) == [*range(4), *range(5, HERE), HERE]
    assert study.counts["running"] == 0
    assert [frozen.number for frozen in told(folder)] == list(range(HERE + 1))
    (folder.path / "study.db").unlink()
    assert sorted(coordinate(folder, HERE + 1).trials)[-1] == HERE + 1
    assert told(folder)[4].state.name == "FAIL"


def test_a_lost_training_state_is_trained_again_without_repeating_an_epoch(
    short: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(short, tmp_path)
    first = [record["kind"] for record in read_records(folder.records)].index("rung")
    truncate(folder, first + 1)
    assert loaded(folder).trials[0].epochs == RUNGS[0]
    assert not list(folder.path.glob("states/*"))
    assert story(coordinate(folder, 2)) == story(loaded(short))
    check_whole(folder, 2)


def test_what_a_killed_coordinator_did_not_clear_up_is_cleared_up(
    base: StudyFolder, tmp_path: Path
) -> None:
    folder = copied(base, tmp_path)
    folder.state(2, loaded(folder).trials[2].epochs).write(b"left behind")
    coordinate(folder, HERE)
    check_whole(folder, HERE)


def run(arguments: list[str]) -> str:
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


class Noting(Arithmetic):
    """Notes the precision of every task."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def outcome(self, task: Task) -> Outcome:
        self.seen.add(task.precision)
        return super().outcome(task)


def test_every_task_has_the_studys_precision(tmp_path: Path) -> None:
    for settings in (SETTINGS, replace(SETTINGS, precision="bfloat16")):
        executor = Noting()
        coordinate(StudyFolder(tmp_path / settings.name), 3, executor=executor, settings=settings)
        assert executor.seen == {settings.precision}
