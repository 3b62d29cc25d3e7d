"""A study's folder: one holder at a time, and files that are whole or not there."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import StudyFolder, write_whole


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    path = tmp_path / "study"
    path.mkdir()
    return StudyFolder(path)


HOLD = """
import sys, time
from pathlib import Path
from pennyweight.results.folder import StudyFolder
with StudyFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(folder: StudyFolder) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the study."""
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_study_is_held_alone_and_who_holds_it_is_named(
    folder: StudyFolder, holder: subprocess.Popen[str]
) -> None:
    for _ in range(2):  # the refused one takes neither the lock nor the name
        with pytest.raises(UsageError) as caught, folder.locked():
            pass
        message = str(caught.value)
        assert f"and process {holder.pid} on {socket.gethostname()} since " in message
        assert message.startswith("One coordinator at a time may run study study, ")
        assert message.endswith(": wait for it, stop it, or choose another --study.")
        assert "\n" not in message


def test_the_lock_of_a_killed_process_is_free_at_once_and_its_mark_stays(
    folder: StudyFolder, holder: subprocess.Popen[str]
) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert json.loads(folder.holder.read_text())["pid"] == holder.pid
    with folder.locked():
        assert json.loads(folder.holder.read_text())["pid"] == os.getpid()
    assert folder.was_left(), "nobody has made up for what it left undone"
    with folder.locked(settles=True):
        pass
    assert not folder.holder.exists()


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("note", ["{torn", "[]", '"me"'])
def test_a_holder_that_left_no_name_is_another_process(note: str, folder: StudyFolder) -> None:
    folder.holder.write_text(note)
    with pytest.raises(UsageError, match="and another process does"), folder.locked():
        pass


def test_an_error_inside_gives_the_study_back(folder: StudyFolder) -> None:
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError
    with folder.locked():
        pass


# Files.


def test_a_file_is_written_into_folders_that_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.bin", b"new")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.bin"
    write_whole(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # as a full disk
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.bin"]


WRITE = """
import sys
from pathlib import Path
from pennyweight.results.folder import write_whole
number = 0
while True:
    number += 1
    write_whole(Path(sys.argv[1]), bytes([number % 256]) * 300_000)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    for wait_s in (0.0, 0.003, 0.007):
        process = subprocess.Popen([sys.executable, "-c", WRITE, str(path)])
        while not path.exists():
            time.sleep(0.001)
        time.sleep(wait_s)
        process.kill()
        process.wait()
        data = path.read_bytes()
        assert data == data[:1] * 300_000
        path.unlink()


def names(folder: StudyFolder) -> set[str]:
    return {f"{path.parent.name}/{path.stem}" for path in folder.path.glob("*/*.safetensors")}


def test_a_running_trial_keeps_its_last_rung_and_an_ended_one_its_model_alone(
    folder: StudyFolder,
) -> None:
    for trial in (1, 10, 11):
        for epoch in (2, 6):
            folder.state(trial, epoch).write(b"")
            folder.model(trial, epoch).write(b"")
    assert folder.trials_with_states() == {1, 10, 11}
    others = {name for name in names(folder) if "/000001-" not in name}
    folder.clear(1, keep=6, running=True)
    assert names(folder) - others == {"states/000001-0006", "models/000001-0006"}
    folder.clear(1, keep=6, running=False)
    assert names(folder) - others == {"models/000001-0006"}
    assert folder.trials_with_states() == {10, 11}
    folder.clear(1, keep=6, running=False)
    folder.clear(10, keep=0, running=False)
    assert names(folder) == {"models/000001-0006"} | {n for n in others if "/000011-" in n}


def test_names_of_trials_and_epochs_that_begin_alike_are_told_apart(folder: StudyFolder) -> None:
    for trial, epoch in ((1, 15), (1, 5), (100_001, 15), (1_000_001, 5)):
        folder.model(trial, epoch).write(b"")
    folder.clear(1, keep=15, running=False)
    assert names(folder) == {
        "models/000001-0015",
        "models/100001-0015",
        "models/1000001-0005",
    }


def test_a_study_without_readings_of_the_test_set_has_none(folder: StudyFolder) -> None:
    assert folder.count_readings() == 0
