"""What a record says of the machine."""

from __future__ import annotations

from pathlib import Path


def cpu() -> str:
    """The processor's name, on Linux."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
