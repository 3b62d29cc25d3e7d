"""The processor cores that this process may use, and its threads. No JAX here."""

import os
from collections.abc import Mapping

HELP = "help"  # in a ledger: seconds that other cores trained, for the kernels in C

_THREADS = (
    "NPROC",  # XLA's thread pools on a CPU; read when its client is made
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def available_cores() -> list[int]:
    """Their numbers; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def core_count() -> int:
    """How many there are, at least 1."""
    return len(available_cores()) or os.cpu_count() or 1


def own_seconds(seconds: Mapping[str, float]) -> float:
    """Of a ledger: without what other cores did at the same time."""
    return sum(spent for kind, spent in seconds.items() if kind != HELP)


def thread_count() -> int:
    """Into how many parts XLA splits large loops on a CPU, which decides how sums are rounded."""
    return int(os.environ.get("NPROC") or core_count())


def compute_in_one_thread() -> None:
    """On a CPU, if JAX has computed nothing yet: the same bits then on any number of cores."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))
