"""A program that is waited for only so long, and that leaves nothing running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pennyweight.arch.errors import RunError


class NotStartedError(RunError):
    """There is no such program, or it may not be run."""


def run_bounded(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float,
) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end and keep what it says; whatever it started ends with it.

    Raises NotStartedError where it does not start, and RunError where it takes more than
    `timeout_s`; a status other than 0 is the caller's to judge.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # so that all its processes can be ended together
        )
    except OSError as error:
        raise NotStartedError(f"{name} does not start ({error.strerror or error}).") from error
    try:
        said, complained = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise RunError(f"{name} took more than {timeout_s:.0f} seconds: try again.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, said, complained)
