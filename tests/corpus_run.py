"""Runs a part of the corpus in this process, through the command line's own `main`.

`python corpus_run.py PART FOLDER MADE` writes what each case came to into `FOLDER/PART.json`. The
part finds in MADE a study that was searched. A process for each case would take three seconds each.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from corpus import MOST_S, Case
from corpus_parts import PARTS

from pennyweight.search.cli import main

_ADDRESSES = 10_000_000_000  # bytes: what asks for more is refused before the machine suffers


class TookTooLongError(BaseException):
    """Passes through every `except Exception`."""


def run(case: Case, place: Path) -> dict[str, Any]:
    """What `case` comes to in the new folder `place`."""
    here = place / "here"
    here.mkdir(parents=True)
    (place / "home").mkdir()
    case.put(here)
    before = stamps(place)
    out, err = place.with_suffix(".out"), place.with_suffix(".err")
    memory = forget_peak()
    start = time.monotonic()
    with elsewhere(here, {"HOME": str(place / "home"), **case.environment}), printing_to(out, err):
        status = status_of(list(case.words))
    took_s, peak = time.monotonic() - start, peak_bytes()
    after = stamps(place)
    shutil.rmtree(place)
    return {
        "status": status,
        "out": out.read_bytes().decode(errors="replace"),
        "err": err.read_bytes().decode(errors="replace"),
        "took_s": took_s,
        "bytes": peak - memory,
        "changed": sorted(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        ),
    }


def status_of(words: list[str]) -> Any:
    """How the command ends."""
    signal.setitimer(signal.ITIMER_REAL, MOST_S)
    try:
        main(words)
        return 0
    except SystemExit as ended:
        return ended.code
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def stamps(folder: Path) -> dict[str, tuple[int, ...]]:
    """What would change of every path below `folder` if it were written."""
    return {
        str(path.relative_to(folder)): (stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        for path in folder.rglob("*")
        for stat in [path.lstat()]
    }


def forget_peak() -> int:
    """The memory that this process has now, from which its peak begins anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """The most memory that this process had since then."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1_024


@contextmanager
def elsewhere(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """In another folder, with other variables."""
    before, variables = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(variables)


@contextmanager
def printing_to(out: Path, err: Path) -> Iterator[None]:
    """All that is printed, by whatever library, goes into two files."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    for number, path in ((1, out), (2, err)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def too_long(_: int, frame: FrameType | None) -> None:
    at = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
    raise TookTooLongError(at)


if __name__ == "__main__":
    part, folder, made = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, resource.RLIM_INFINITY))
    cases = PARTS[part](made)
    found = [run(case, folder / f"{part}-{number}") for number, case in enumerate(cases)]
    names = [case.name for case in cases]
    (folder / f"{part}.json").write_text(json.dumps(dict(zip(names, found, strict=True))))
