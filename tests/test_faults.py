"""Faults made for real around real searches: what is finished stays, and the search goes on.

Each ends as the search that nothing disturbed did, where determinism is promised: with one worker.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import copied, searched, start
from searches import REAL, TRIALS, check_whole, real_study, start_search, story
from started import started
from test_executors import processes, until
from test_kill import finish, recorded

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.notation import parse
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import RecordFile
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.genome import Genome
from pennyweight.search.recording import trial_record
from pennyweight.train.recipe import Candidate, Recipe

pytestmark = pytest.mark.extended

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
ROOM_MB = 2_000  # more than any other candidate here takes


@pytest.fixture(scope="module")
def undisturbed() -> StudyRecords:
    folder = real_study()
    return load_study(folder.path.parent, folder.path.name)


def check_same(folder: Path, undisturbed: StudyRecords) -> StudyRecords:
    """Assert that the study in `folder` came to the end that the undisturbed one did."""
    found = StudyFolder(folder / "runs" / "real")
    check_whole(found, TRIALS, REAL)
    study = load_study(found.path.parent, "real")
    assert story(study) == story(undisturbed)
    return study


def workers(search: subprocess.Popen[str]) -> list[int]:
    """The process ids of the search's workers."""
    lines = [line for line in processes(search.pid) if "spawn_main" in line]
    return [int(line.partition(":")[0]) for line in lines]


def rungs(folder: Path) -> int:
    """How many rungs are recorded."""
    study = recorded(folder)
    return sum(len(trial.rungs) for trial in study.trials.values()) if study else 0


def wait_for(search: subprocess.Popen[str], condition: Callable[[], object]) -> bool:
    """Wait until `condition` holds; whether it did before the search ended."""
    assert until(lambda: search.poll() is not None or condition(), 200)
    return search.poll() is None


def all_ended(search: subprocess.Popen[str]) -> bool:
    """Whether all processes of a search that has ended go too, which takes them a moment."""
    return until(lambda: not processes(search.pid), 5)


# A worker that hangs


def test_a_worker_that_hangs_is_ended_and_its_rung_handed_out_again(
    undisturbed: StudyRecords, tmp_path: Path
) -> None:
    search = start_search(tmp_path, workers=1, more="rung_timeout_s=45")
    assert wait_for(search, lambda: rungs(tmp_path) >= 2)
    (hung,) = workers(search)
    os.kill(hung, signal.SIGSTOP)
    finish(search)
    study = check_same(tmp_path, undisturbed)
    used = {rung.worker for trial in study.trials.values() for rung in trial.rungs}
    assert hung in used
    assert len(used) == 2
    assert len(study.sessions) == 1
    assert all_ended(search)


def test_a_worker_that_is_killed_costs_a_confirmation_nothing(tmp_path: Path) -> None:
    copied(searched()[0] / "runs", tmp_path / "runs")
    flags = ["--top", "2", "--race", "3", "--seeds", "1", "--workers", "1"]
    confirm = started(start("confirm", "small", *flags, cwd=tmp_path))
    records = tmp_path / "runs" / "small" / "records.jsonl"
    assert wait_for(confirm, lambda: '"kind":"fresh"' in records.read_text())
    (first,) = workers(confirm)
    os.kill(first, signal.SIGKILL)  # which may be idle just now; the next has a call
    assert wait_for(confirm, lambda: set(workers(confirm)) - {first})
    for worker in workers(confirm):
        os.kill(worker, signal.SIGKILL)
    _, err = confirm.communicate(timeout=200)
    assert confirm.returncode == 0, err
    known = load_study(tmp_path / "runs", "small").fresh_runs
    assert len({run.worker for run in known if run.part == "validation"}) == 2


def test_where_every_rung_takes_too_long_the_search_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where nothing is compiled yet, no rung is over before it is first looked at.
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / "cache"))
    search = start_search(tmp_path, workers=1, more="rung_timeout_s=0.1")
    _, err = search.communicate(timeout=280)
    assert search.returncode == 1
    assert "5 trials in a row failed, the last with a rung took more than 0.1 s, 3 times" in err
    finish(start_search(tmp_path, workers=1))
    check_whole(StudyFolder(tmp_path / "runs" / "real"), TRIALS, REAL)


# Interrupted


@pytest.mark.timeout(900)  # twenty starts, each of which compiles
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_every_rung_it_is_the_same_search(
    kind: signal.Signals,
    undisturbed: StudyRecords,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupts = 0
    while True:
        # Where nothing is compiled yet, one rung is noticed before the next one is over.
        monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / f"cache{interrupts}"))
        before = rungs(tmp_path)
        search = start_search(tmp_path, workers=1)
        if not wait_for(search, lambda before=before: rungs(tmp_path) > before):
            finish(search)
            break
        search.send_signal(kind)
        search.communicate(timeout=60)
        if search.returncode == 0:  # it was just done
            break
        assert search.returncode == -kind
        assert all_ended(search)
        interrupts += 1
    assert interrupts >= 8
    check_same(tmp_path, undisturbed)


# One candidate that is too much


def asked_by_hand(folder: Path, candidate: Candidate) -> StudyFolder:
    """A finished study in `folder`, in which `candidate` is yet to be trained."""
    shutil.copytree(real_study().path.parent, folder / "runs")
    study = StudyFolder(folder / "runs" / "real")
    with RecordFile.open(study.records) as records:
        asked = trial_record(Genome(), candidate)
        records.append("trial", trial=TRIALS, proposer="by hand", **asked)
    return study


def check_after(study: StudyFolder, state: str) -> TrialRecord:
    """Assert that the candidate ended as `state`, and that the study went on; its trial."""
    check_whole(study, TRIALS + 2, REAL)
    trials = load_study(study.path.parent, "real").trials
    assert trials[TRIALS].state == state
    assert trials[TRIALS + 1].state in ("complete", "pruned")
    return trials[TRIALS]


def wide_candidate() -> Candidate:
    """One that trains in more than 4 GB: a batch's maps have 270 MB each."""
    network: Architecture = parse(f"c1024k1b {'c1024k1b ' * 7}A d10+", (8, 8, 1), 10)
    return Candidate(architecture=network, recipe=replace(Recipe(), batch_size=1024), seed=0)


def status_mb(process: int, key: str) -> float:
    """What /proc says of a process's memory; 0 once it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.partition(f"{key}:")[2].split()[0]) / 1e3
    except (OSError, IndexError):
        return 0.0


def test_a_candidate_too_large_for_the_memory_fails_and_the_study_goes_on(tmp_path: Path) -> None:
    study = asked_by_hand(tmp_path, wide_candidate())
    idle = "import jax; jax.numpy.zeros(1); print(open('/proc/self/status').read())"
    idle = subprocess.run([sys.executable, "-c", idle], capture_output=True, text=True, check=True)
    idle_kb = int(idle.stdout.partition("VmSize:")[2].split()[0])
    search = start_search(tmp_path, workers=1, trials=TRIALS + 2)
    limit = (idle_kb + ROOM_MB * 1000) * 1024  # its workers, yet to be started, inherit it
    resource.prlimit(search.pid, resource.RLIMIT_AS, (limit, limit))
    finish(search)
    reason = check_after(study, "failed").reason
    assert reason is not None
    assert "RESOURCE_EXHAUSTED" in reason
    assert reason.endswith("3 times")


def test_a_candidate_that_gets_its_workers_killed_fails_and_the_study_goes_on(
    tmp_path: Path,
) -> None:
    study = asked_by_hand(tmp_path, wide_candidate())
    search = start_search(tmp_path, workers=1, trials=TRIALS + 2)
    killed: set[int] = set()
    while search.poll() is None:  # as a system does that runs out of memory
        for worker in workers(search):
            if status_mb(worker, "VmRSS") > ROOM_MB:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
        time.sleep(0.05)
    finish(search)
    assert len(killed) == 3
    assert check_after(study, "failed").reason == "its worker died 3 times"


def test_a_candidate_whose_loss_is_no_number_ends_as_diverged(tmp_path: Path) -> None:
    network: Architecture = parse("c8+ c8+ c8+ F d10+", (8, 8, 1), 10)
    recipe = replace(Recipe(), optimiser="sgd", peak_learning_rate=10.0)
    candidate = Candidate(architecture=network, recipe=recipe, seed=0)
    study = asked_by_hand(tmp_path, candidate)
    finish(start_search(tmp_path, workers=1, trials=TRIALS + 2))
    trial = check_after(study, "diverged")
    assert trial.reason == "its loss was not finite"
    assert trial.curve[-1].val_log_loss is None


# A disk that is full


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """A file system of its own in `folder`, to be made as large as so many KiB."""
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("only root may make file systems here")

    def resize(kib: int) -> None:
        wanted = f"remount,size={kib}k"
        subprocess.run(["mount", "-o", wanted, str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


FULL = "cannot be written (No space left on device): make room or make it writable"


def test_a_full_disk_ends_the_search_in_one_line_and_with_room_it_goes_on(
    undisturbed: StudyRecords, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as resize:
        runs, stops = tmp_path / "disk", 0
        for kib in (64, 160, 256, 320, 400, 512, 640, 4_096):
            resize(kib)
            search = start_search(tmp_path, workers=1, more=f"runs={str(runs)!r}")
            _, err = search.communicate(timeout=200)
            if search.returncode == 0:
                break
            stops += 1
            assert "database or disk is full" in err or "No space left on device" in err, err
            assert "UsageError: The study's folder" in err.splitlines()[-1]
            assert all_ended(search)
        assert stops >= 3
        shutil.copytree(runs, tmp_path / "runs")
    check_same(tmp_path, undisturbed)


@pytest.mark.parametrize("kind", ["records", "database", "cache"])
def test_files_that_may_not_grow_do_the_same(
    kind: str, undisturbed: StudyRecords, tmp_path: Path
) -> None:
    """The limit strikes what is largest first: records, Optuna's database, or compiled programs."""
    limits = {"records": 12_000, "database": 150_000, "cache": 300_000}
    stops = 0
    for limit in (limits[kind], None):
        search = start_search(tmp_path, workers=1)
        if limit is not None:
            limited = ["prlimit", "--pid", str(search.pid), f"--fsize={limit}"]
            subprocess.run(limited, check=True)
        _, err = search.communicate(timeout=200)
        stops += search.returncode != 0
        assert search.returncode == 0 or "UsageError: The study's folder" in err.splitlines()[-1]
    assert search.returncode == 0
    check_same(tmp_path, undisturbed)


# A clock that jumps


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime (Debian's faketime) is not installed")
def test_a_clock_that_jumps_changes_nothing(
    undisturbed: StudyRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten days on, then twenty back, as wall clocks do that are set; monotonic ones go on."""
    clock = tmp_path / "clock"
    clock.write_text("+0d\n")
    monkeypatch.setenv("LD_PRELOAD", str(FAKETIME))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    search = start_search(tmp_path, workers=1, more="timeout_s=3_000")
    for jump, after in (("+10d", 1), ("-10d", 4), ("+0d", 7)):
        assert wait_for(search, lambda after=after: rungs(tmp_path) >= after)
        clock.write_text(f"{jump}\n")
        shown = subprocess.run([sys.executable, "-c", "import time; print(time.time())"],
                               capture_output=True, text=True, check=True)  # fmt: skip
        days = (float(shown.stdout) - real_time()) / 86_400
        assert abs(days - float(jump[:-1])) < 0.1, "the clock did not jump"
    finish(search)
    monkeypatch.undo()
    check_same(tmp_path, undisturbed)


def real_time() -> float:
    """By a clock that nobody set: this process's was started without libfaketime."""
    return time.time()
