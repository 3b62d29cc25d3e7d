"""Processes that tests start in sessions of their own, none of which is left after its test."""

import contextlib
import os
import signal
import subprocess

STARTED: list[subprocess.Popen[str]] = []


def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """`process`, which leads its session and ends with the test, whatever becomes of that."""
    STARTED.append(process)
    return process


def end_all() -> None:
    """Kill what is left of the sessions that were started, so that the next test has the cores."""
    while STARTED:
        process = STARTED.pop()
        with contextlib.suppress(ProcessLookupError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
