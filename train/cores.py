"""The processor cores that this process may use. No JAX here."""

import os


def available_cores() -> list[int]:
    """Their numbers; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def core_count() -> int:
    """How many there are, at least 1."""
    return len(available_cores()) or os.cpu_count() or 1
