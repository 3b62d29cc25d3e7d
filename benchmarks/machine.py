"""What a record says of the machine."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu() -> str:
    """The processor's name, as well as the system tells it."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
