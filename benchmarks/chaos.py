"""Searches whose workers and coordinators are killed at random: nothing is lost, repeated or stuck.

    .venv/bin/python benchmarks/chaos.py --out benchmarks/records/chaos.json

The command line searches the digits under 2,000 parameters and 15 epochs: first undisturbed with
one worker; then again, while kills come at random moments; then with two workers, as well. A kill
is SIGKILL to the coordinator or to a worker, or SIGSTOP to a worker, which is then ended by
`--rung-timeout`; a killed search is gone on with by the same command. When which process gets what
follows from `--seed`, as far as the moments of a machine can be repeated. Exit status 1 where
anything is wrong. Expect five minutes on two cores; `--kills 8 --trials 10` takes one or
two.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from chaos_checks import nothing_lost, same_story, trained_again, whole
from cyclopts import App, Parameter
from machine import origin

from pennyweight.results.studies import load_study

STUDY = "chaos"
FLAGS = ["--data", "digits", "--max-params", "2k", "--max-epochs", "15", "--study", STUDY]
KINDS = ("coordinator killed", "worker killed", "worker stopped")
WEIGHTS = (9, 9, 2)
STUCK_S = 600.0  # without a new rung

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    kills: int = 56,
    trials: int = 40,
    rung_timeout: str = "30s",
    again: Annotated[int, Parameter(help="Trials trained again, to compare each number.")] = 5,
    seed: int = 0,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search undisturbed, then in the chaos, with one worker and with two."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        one = kills // 2
        searches = [
            Search(runs / "quiet", 1, trials, rung_timeout, 0, draw),
            Search(runs / "one", 1, trials, rung_timeout, one, draw),
            Search(runs / "two", 2, trials, rung_timeout, kills - one, draw),
        ]
        print(f"{'workers':>7}{'kills':>7}{'starts':>8}{'trials':>8}{'rungs':>7}{'seconds':>9}")
        rungs, rows = 0, []
        for search in searches:
            search.run(rungs)
            rungs = rungs or search.rungs()
            problems = whole(search.folder, STUDY, trials) + nothing_lost(search)
            if search.workers == 1:
                problems += same_story(searches[0].folder, search.folder, STUDY)
            else:
                problems += trained_again(search.folder, STUDY, again, draw)
            rows.append(search.row() | {"problems": problems})
            print(
                "{workers:>7}{kills:>7}{starts:>8}{trials:>8}{rungs:>7}{seconds:>9.0f}".format(
                    **rows[-1]
                ),
                *problems,
                sep="\n  ",
                flush=True,
            )
    by_kind = Counter(kind for search in searches for kind in search.done)
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(by_kind.items())))
    wrong = [problem for row in rows for problem in row["problems"]]
    print("something is wrong" if wrong else "nothing lost, repeated or stuck")
    if out:
        record = {"benchmark": "chaos", "rows": rows, "kills": dict(by_kind), "seed": seed}
        out.write_text(json.dumps(record | {"again": again} | origin(), indent=2) + "\n")
    sys.exit(bool(wrong))


@dataclass
class Search:
    """One search by the command line, and what was done to it."""

    folder: Path  # of all studies
    workers: int
    trials: int
    rung_timeout: str
    kills: int
    draw: random.Random
    starts: int = 0
    seconds: float = 0.0
    done: list[str] = field(default_factory=list)  # kinds of kills, in order
    seen: list[bytes] = field(default_factory=list)  # whole records there were at each
    stopped: list[int] = field(default_factory=list)  # workers
    left: list[str] = field(default_factory=list)  # what a killed coordinator left running

    @property
    def records(self) -> Path:
        return self.folder / STUDY / "records.jsonl"

    def rungs(self) -> int:
        """How many are recorded."""
        return self.whole_lines().count(b'{"kind":"rung"')

    def whole_lines(self) -> bytes:
        content = self.records.read_bytes() if self.records.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def run(self, rungs: int) -> None:
        """Search to the end, disturbed after some of the first nine tenths of `rungs` rungs."""
        began = time.monotonic()
        moments = sorted(self.draw.choices(range(max(1, rungs * 9 // 10)), k=self.kills))
        process = self.start()
        for moment in moments:
            self.wait(process, moment)
            time.sleep(self.draw.uniform(0, 2))
            process = self.disturb(process)
        self.wait(process, None)
        self.seconds = time.monotonic() - began

    def start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        command = [Path(sys.executable).with_name("pennyweight"), "search", *FLAGS]
        command += ["--trials", str(self.trials), "--workers", str(self.workers), "--seed", "0"]
        command += ["--runs", self.folder, "--rung-timeout", self.rung_timeout]
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self, process: subprocess.Popen[bytes], moment: int | None) -> None:
        """Wait until more than `moment` rungs are recorded, or until the end."""
        known, since = -1, time.monotonic()
        while process.poll() is None:
            if (now := self.rungs()) != known:
                known, since = now, time.monotonic()
            if moment is not None and known > moment:
                return
            if time.monotonic() - since > STUCK_S:
                os.killpg(process.pid, signal.SIGKILL)
                sys.exit(f"Stuck at {known} rungs: {self.tail()}")
            time.sleep(0.05)
        if moment is not None or process.returncode:
            sys.exit(f"The search ended with status {process.returncode}: {self.tail()}")

    def tail(self) -> str:
        return (self.folder / "log").read_text()[-500:]

    def disturb(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Do something to one of its processes; the coordinator that goes on."""
        kind = self.draw.choices(KINDS, WEIGHTS)[0]
        victims = workers(process.pid)
        if kind == KINDS[0] or not victims:
            self.note(KINDS[0])
            process.kill()
            process.wait()
            for worker in self.stopped:  # what is stopped cannot end; it does once it goes on
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)
            deadline = time.monotonic() + 5
            while (left := alive(process.pid)) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.left += left
            return self.start()
        victim = self.draw.choice(victims)
        try:
            os.kill(victim, signal.SIGKILL if kind == KINDS[1] else signal.SIGSTOP)
        except ProcessLookupError:  # it has just ended by itself
            return self.disturb(process)
        self.note(kind)
        self.stopped += [victim] if kind == KINDS[2] else []
        return process

    def note(self, kind: str) -> None:
        self.done.append(kind)
        self.seen.append(self.whole_lines())

    def row(self) -> dict[str, Any]:
        """What it came to."""
        study = load_study(self.folder, STUDY)
        return {
            "workers": self.workers,
            "kills": len(self.done),
            "done": self.done,
            "starts": self.starts,
            "trials": len(study.trials),
            "states": study.counts,
            "rungs": self.rungs(),
            "seconds": self.seconds,
        }


def workers(session: int) -> list[int]:
    """The worker processes of a search, in the order in which they were started."""
    return sorted(int(line.split()[0]) for line in alive(session) if "spawn_main" in line)


def alive(session: int) -> list[str]:
    """The processes of a session that have not ended, with their commands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session:
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                command = (folder / "cmdline").read_text().replace("\0", " ")
                if state not in "ZX":
                    found.append(f"{folder.name} {command}")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


if __name__ == "__main__":
    app()
