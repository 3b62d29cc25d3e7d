"""Real searches whose processes are killed: what was finished stays, what was begun goes on.

What the coordinator does at each of its lines is in `test_study.py`; here are real processes, real
training, and what the operating system leaves of them.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from searches import REAL, TRIALS, check_whole, real_study, start_search, story
from test_executors import CLEAN_UP_S, processes, until

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import StudyFolder
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords

Condition = Callable[[StudyRecords], bool]


def recorded(folder: Path) -> StudyRecords | None:
    """What the study in `folder` has recorded so far; None before it has begun."""
    try:
        return load_study(folder / "runs", "real")
    except UsageError:
        return None


def finish(search: subprocess.Popen[str]) -> None:
    _, stderr = search.communicate(timeout=200)
    assert search.returncode == 0, stderr


@contextmanager
def frozen(search: subprocess.Popen[str], folder: Path, condition: Condition) -> Iterator[None]:
    """Stop the coordinator at a moment when `condition` holds of what it has recorded."""
    deadline = time.monotonic() + 120
    while True:
        assert search.poll() is None, f"it ended before: {search.communicate()}"
        assert time.monotonic() < deadline
        study = recorded(folder)
        if study is not None and condition(study):
            os.kill(search.pid, signal.SIGSTOP)
            study = recorded(folder)  # it may have gone on between the look and the signal
            if study is not None and condition(study):
                break
            os.kill(search.pid, signal.SIGCONT)
        time.sleep(0.01)
    yield
    if search.poll() is None:
        os.kill(search.pid, signal.SIGCONT)


def in_mid_training(study: StudyRecords) -> bool:
    """Some trials have ended, and one is beyond its second rung."""
    ended = sum(trial.state != "running" for trial in study.trials.values())
    return ended >= 2 and any(
        trial.state == "running" and trial.epochs == REAL.rungs[1]
        for trial in study.trials.values()
    )


@dataclass
class Killed:
    """What was found after one kill of the coordinator."""

    processes_before: int
    processes_after: list[str]  # 5 s later at the latest
    story: dict[int, dict[str, Any]]
    states: set[str]
    holder_left: bool


def killed(search: subprocess.Popen[str], folder: Path) -> Killed:
    before = processes(search.pid)
    search.kill()
    search.communicate()
    until(lambda: not processes(search.pid), CLEAN_UP_S)
    study = recorded(folder)
    path = StudyFolder(folder / "runs" / "real")
    return Killed(
        processes_before=len(before),
        processes_after=processes(search.pid),
        story=story(study) if study else {},
        states={file.stem for file in path.path.glob("states/*.safetensors")},
        holder_left=path.holder.exists(),
    )


@dataclass
class Ordeal:
    """A search of two workers whose coordinator was killed again and again, then left alone."""

    kills: list[Killed]
    folder: StudyFolder


@pytest.fixture(scope="module")
def undisturbed() -> StudyRecords:
    folder = real_study()
    return load_study(folder.path.parent, folder.path.name)


@pytest.fixture(scope="module")
def ordeal(undisturbed: StudyRecords, tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    folder = tmp_path_factory.mktemp("ordeal")
    kills = []
    search = start_search(folder, workers=2)
    with frozen(search, folder, in_mid_training):
        kills.append(killed(search, folder))
    for _ in range(2):  # and at moments that nobody chose
        search = start_search(folder, workers=2)
        time.sleep(random.uniform(0.5, 5))
        kills.append(killed(search, folder))
    search = start_search(folder, workers=2)
    finish(search)
    return Ordeal(kills, StudyFolder(folder / "runs" / "real"))


def test_no_process_outlives_a_killed_coordinator(ordeal: Ordeal) -> None:
    """Workers and Python's resource tracker, in whatever they were."""
    assert ordeal.kills[0].processes_before >= 4
    assert [kill.processes_after for kill in ordeal.kills] == [[]] * len(ordeal.kills)


def test_the_same_call_goes_on_until_all_trials_have_ended(ordeal: Ordeal) -> None:
    check_whole(ordeal.folder, TRIALS, REAL)


def test_finished_trials_are_neither_lost_nor_repeated(ordeal: Ordeal) -> None:
    final = story(load_study(ordeal.folder.path.parent, "real"))
    for kill in ordeal.kills:
        finished = {n: trial for n, trial in kill.story.items() if trial["state"] != "running"}
        assert {number: final[number] for number in finished} == finished
    assert len([t for t in ordeal.kills[0].story.values() if t["state"] != "running"]) >= 2


def test_trials_in_flight_go_on_from_their_last_rung(ordeal: Ordeal) -> None:
    final = story(load_study(ordeal.folder.path.parent, "real"))
    furthest = 0
    for kill in ordeal.kills:
        for number, trial in kill.story.items():
            if trial["state"] == "running":
                reached = trial["rungs"]
                assert final[number] | {"rungs": [], "state": "", "reason": ""} == trial | {
                    "rungs": [],
                    "state": "",
                    "reason": "",
                }
                assert final[number]["rungs"][: len(reached)] == reached
                furthest = max(furthest, *(epoch for epoch, *_ in reached), 0)
                if reached:
                    assert f"{number:06d}-{reached[-1][0]:04d}" in kill.states
    assert furthest == REAL.rungs[1]


def test_a_killed_coordinator_leaves_its_mark_and_one_that_ends_does_not(ordeal: Ordeal) -> None:
    assert ordeal.kills[0].holder_left
    assert not ordeal.folder.holder.exists()


def test_training_that_was_cut_and_gone_on_with_gives_the_same_numbers(
    ordeal: Ordeal, undisturbed: StudyRecords
) -> None:
    """Bit for bit, in other processes, beside other trials: a rung depends on its task alone."""
    final, alone = story(load_study(ordeal.folder.path.parent, "real")), story(undisturbed)
    for number, trial in final.items():
        assert trial["genome"] == alone[number]["genome"]
        for mine, theirs in zip(trial["rungs"], alone[number]["rungs"], strict=False):
            assert mine == theirs


def test_one_worker_killed_and_gone_on_with_gives_the_same_study_as_an_undisturbed_one(
    undisturbed: StudyRecords, tmp_path: Path
) -> None:
    search = start_search(tmp_path, workers=1)
    with frozen(search, tmp_path, in_mid_training):
        kill = killed(search, tmp_path)
    assert kill.processes_after == []
    finish(start_search(tmp_path, workers=1))
    folder = StudyFolder(tmp_path / "runs" / "real")
    check_whole(folder, TRIALS, REAL)
    assert story(load_study(folder.path.parent, "real")) == story(undisturbed)


def test_a_killed_worker_costs_its_rung_and_the_search_goes_on(
    undisturbed: StudyRecords, tmp_path: Path
) -> None:
    search = start_search(tmp_path, workers=2)

    def has_ended_one(study: StudyRecords) -> bool:
        return any(trial.state != "running" for trial in study.trials.values())

    with frozen(search, tmp_path, has_ended_one):
        study = recorded(tmp_path)
        assert study is not None
        at_work = {rung.worker for trial in study.trials.values() for rung in trial.rungs}
        victim = int(at_work.pop())
        os.kill(victim, signal.SIGKILL)
    finish(search)
    folder = StudyFolder(tmp_path / "runs" / "real")
    check_whole(folder, TRIALS, REAL)
    final = load_study(folder.path.parent, "real")
    assert final.counts["failed"] == 0
    workers = {rung.worker for trial in final.trials.values() for rung in trial.rungs}
    assert len(workers) == 3, "a new worker takes the place of the killed one"
    assert len(final.sessions) == 1
    for number, trial in story(final).items():
        for mine, theirs in zip(trial["rungs"], story(undisturbed)[number]["rungs"], strict=False):
            assert mine == theirs
