"""A program that takes too long is ended, with all that it started."""

import os
import sys
import time
from pathlib import Path

import pytest

from pennyweight.arch.errors import RunError
from pennyweight.results.bounded import run_bounded

STARTS_ANOTHER = """
import pathlib, subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(other.pid))
time.sleep(600)
"""


def test_what_a_program_says_and_its_status_come_back() -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    ran = run_bounded([sys.executable, "-c", program], timeout_s=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, "out\n", "err\n")


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with pytest.raises(RunError, match=r"was stopped, as it took more than 5 s\."):
        run_bounded([sys.executable, "-c", STARTS_ANOTHER, str(told)], timeout_s=5)
    other = int(told.read_text())
    for _ in range(100):  # until the system has taken it away
        if not is_running(other):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {other} still runs")


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        return status.read_text().split()[2] != "Z"  # one that nobody has waited for is over
    except (ProcessLookupError, FileNotFoundError):
        return False
