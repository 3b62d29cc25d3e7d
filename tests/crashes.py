"""A program that kills coordinators at chosen lines, and goes on with what they leave behind.

`python crashes.py FOLDER MORE POINTS`: FOLDER holds a study; it is copied, then gone on with for
MORE trials by a forked process that ends without any clean-up at some line of its work, by a second
one that ends at another, and by a last one that may finish. Prints one JSON line for each of POINTS
such lines.
"""

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from searches import SETTINGS, check_whole, coordinate, story

from pennyweight.results.folder import StudyFolder
from pennyweight.results.studies import load_study

KILLED = 9
# Where a death matters: what writes, and what decides on what was written.
WATCHED = (
    "/search/study.py",
    "/search/asking.py",
    "/search/tpe.py",
    "/search/flights.py",
    "/search/sampling.py",
    "/search/storage.py",
    "/search/repair.py",
    "/results/folder.py",
    "/results/records.py",
    "/optuna/study/study.py",
    "/optuna/study/_tell.py",
    "/optuna/trial/_trial.py",
    "/optuna/storages/_rdb/storage.py",
    "/optuna/pruners/_successive_halving.py",
)


def dies_at(line: int, work: Callable[[], Any]) -> int:
    """How many watched lines `work` ran in a forked process that ends, dead, at number `line`."""
    ours, theirs = os.pipe()
    if child := os.fork():
        os.close(theirs)
        _, status = os.waitpid(child, 0)
        ran = int(os.read(ours, 100))
        os.close(ours)
        assert os.waitstatus_to_exitcode(status) in (0, KILLED)
        return ran
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        if event == "line":
            count += 1
            if count == line:
                os.write(theirs, str(count).encode())
                os._exit(KILLED)
        return trace

    try:
        sys.settrace(trace)
        work()
        sys.settrace(None)
        os.write(theirs, str(count).encode())
    finally:
        os._exit(0)


def main(folder: StudyFolder, more: int, points: int) -> None:
    known = load_study(folder.path.parent, folder.path.name)
    total = len(known.trials) + more
    settings = replace(SETTINGS, group=known.settings["group"])
    copy = StudyFolder(folder.path.parent.parent / "crashed" / folder.path.name)

    def go_on() -> None:
        coordinate(copy, total, settings=settings)

    def restart() -> None:
        shutil.rmtree(copy.path, ignore_errors=True)
        shutil.copytree(folder.path, copy.path)

    restart()
    lines = dies_at(-1, go_on)
    check_whole(copy, total, settings)
    wanted = story(load_study(copy.path.parent, copy.path.name))
    draw = random.Random(0)
    for point in range(points):
        restart()
        # One in each equal part of the work, the second anywhere in what it had left.
        first = dies_at(int((point + draw.random()) * lines / points) + 1, go_on)
        second = dies_at(int(draw.random() * (lines - first)) + 1, go_on)
        where = f"killed at line {first}, then at {second}, of {lines}"
        try:
            go_on()
            check_whole(copy, total, settings)
            got = story(load_study(copy.path.parent, copy.path.name))
            problem = None if got == wanted else _difference(got, wanted)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        print(json.dumps({"where": where, "problem": problem}), flush=True)


def _difference(got: dict[int, Any], wanted: dict[int, Any]) -> str:
    number = next(n for n in wanted if got.get(n) != wanted[n])
    return f"trial {number} is {got.get(number)}, undisturbed {wanted[number]}"


if __name__ == "__main__":
    main(StudyFolder(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
