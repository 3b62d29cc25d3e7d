"""A terminal for tests: what a program's stderr shows there, screen after screen."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SIZE = (80, 24)  # columns, lines


class Shown(NamedTuple):
    """What a program came to in a terminal."""

    status: int
    out: str  # which is no terminal's
    raw: str  # all that the terminal got

    @property
    def screens(self) -> list[list[str]]:
        """The lines of each screen, in the order in which they replaced one another."""
        drawn = re.split(r"\r?\x1b\[2K(?:\x1b\[1A\x1b\[2K)*", self.raw)
        plain = (re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen) for screen in drawn)
        return [screen.strip().splitlines() for screen in plain if screen.strip()]


def in_terminal(
    program: str | Sequence[str | Path], folder: Path, size: tuple[int, int] = SIZE
) -> Shown:
    """Run Python's `program`, or a command, in `folder` with a terminal of that size as stderr."""
    columns, lines = size
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    command = [sys.executable, "-c", program] if isinstance(program, str) else program
    environment = {
        name: os.environ[name] for name in os.environ if name not in ("COLUMNS", "LINES")
    }
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    ) as process:
        os.close(terminal)
        raw = b""
        try:
            while part := os.read(ours, 65_536):
                raw += part
        except OSError:  # how a terminal's end is told on Linux
            pass
        os.close(ours)
        assert process.stdout is not None
        out = process.stdout.read()
    return Shown(process.returncode, out, raw.decode())
