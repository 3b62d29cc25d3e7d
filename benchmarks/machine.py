"""What a record says of how and where it was made."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from pennyweight.search.recording import versions


def origin() -> dict[str, Any]:
    """The command, the machine and the versions that make a record."""
    command = " ".join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    here = {"command": command, "cores": os.cpu_count(), "cpu": cpu()}
    return here | {"versions": versions()}


def cpu() -> str:
    """The processor's name, as well as the system tells it."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
