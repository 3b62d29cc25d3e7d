"""A Ctrl-C that Python drops is raised after all."""

import signal
import subprocess
import sys

SCRIPT = """
import os, signal
from pennyweight.search.interrupts import insisting

class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.{signal})

class Broken:
    def __del__(self):
        raise RuntimeError("broken")

def terminated(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, terminated)
with insisting() as insist:
    insist()
    Finalised()
    print("dropped", flush=True)
    try:
        insist()
    except KeyboardInterrupt:
        print("insisted", flush=True)
    insist()
    Broken()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGTERM) is terminated
"""


def printed(name: str) -> list[str]:
    """What the script says when the signal called `name` comes in a finaliser."""
    script = [sys.executable, "-c", SCRIPT.format(signal=name)]
    ended = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Exception ignored in") == 1  # Python's word for what it drops
    assert "KeyboardInterrupt" not in ended.stderr
    return ended.stdout.split()


def test_an_interrupt_that_a_finaliser_dropped_is_raised_once() -> None:
    assert printed(signal.SIGINT.name) == ["dropped", "insisted"]


def test_so_is_what_another_signals_handler_raises() -> None:
    assert printed(signal.SIGTERM.name) == ["dropped", "insisted"]
