"""A program is waited for only so long, and leaves nothing running."""

import os
import time
from pathlib import Path

import pytest

from pennyweight.arch.errors import RunError
from pennyweight.results.bounded import run_bounded


def test_what_it_says_and_its_status_are_kept(tmp_path: Path) -> None:
    told = "pwd; printf 'a\\377b' >&2; echo $WORD; exit 3"
    ran = run_bounded(["/bin/sh", "-c", told], cwd=tmp_path, env={"WORD": "x"}, timeout_s=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, f"{tmp_path}\nx\n", "a\ufffdb")


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    start = time.monotonic()
    told = "sleep 60 & echo $! > child; wait"
    with pytest.raises(RunError, match=r"^sh took more than 1 seconds: try again\.$"):
        run_bounded(["/bin/sh", "-c", told], cwd=tmp_path, timeout_s=1)
    assert time.monotonic() - start < 30
    assert not running(int((tmp_path / "child").read_text()))


def test_what_it_leaves_behind_is_ended(tmp_path: Path) -> None:
    told = "sleep 60 >/dev/null 2>&1 & echo $!"
    child = int(run_bounded(["/bin/sh", "-c", told], cwd=tmp_path, timeout_s=60).stdout)
    assert not running(child)


def test_one_that_does_not_start_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^nothing does not start \(No such file or directory\)\.$"):
        run_bounded([tmp_path / "nothing"], timeout_s=1)


def running(process: int) -> bool:
    """Whether it still is after a moment; one that is dead may wait to be reaped."""
    for _ in range(50):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True
