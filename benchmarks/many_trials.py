"""A study of 10,000 trials: what a trial costs the coordinator, and how soon one sees the study.

    .venv/bin/python benchmarks/many_trials.py --out benchmarks/records/many-trials.json

The study is written by the coordinator as always: it asks, decodes, records, reports, prunes and
tells, on the disk and in Optuna's database. Only the training is spared: a network is trained for
one rung after the other, once and in earnest, and what came back is given for every candidate, with
an accuracy that follows from its description. Then the command line lists and reports the study,
each time in a new process, and goes on with it. Expect half an hour.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.arch.budget import Budget
from pennyweight.results.folder import StudyFolder
from pennyweight.results.studies import fold_records
from pennyweight.search.recording import study_record
from pennyweight.search.settings import Sampler, Settings
from pennyweight.search.study import Coordinator
from pennyweight.train.data import describe, load_training_set
from pennyweight.train.rung import Outcome, Task, train_rung

BUDGET = Budget(max_params=8_000, max_epochs=15)
EVERY = 500  # trials, at which seconds are noted

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    trials: int = 10_000,
    sampler: Sampler = "tpe",
    group: int = 8,
    runs: Annotated[Path | None, Parameter(help="Where to keep the study.")] = None,
    rounds: int = 5,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Write the study, then look at it."""
    settings = Settings(data="digits", budget=BUDGET, sampler=sampler, group=group)
    with tempfile.TemporaryDirectory() as folder:
        kept = runs or Path(folder)
        costs = written(StudyFolder(kept / "many"), settings, trials)
        shown = {
            " ".join(command): looked(command, kept, folder, rounds)
            for command in (["leaderboard"], ["leaderboard", "--json"], ["report"])
        }
    for command, seconds in shown.items():
        print(f"{command:<20}{median(seconds):>7.2f} s")
    if out:
        record = {"benchmark": "many-trials", "trials": trials, "sampler": sampler}
        record |= {"group": group, "costs": costs, "seconds": shown}
        out.write_text(json.dumps(record | origin(), indent=2) + "\n")


class Replayed(Executor):
    """Gives what one network's rungs gave, for every candidate."""

    def __init__(self) -> None:
        self._trained: dict[int, Outcome] = {}  # by the epoch to which it was trained

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        future.set_result([self.outcome(task) for task in args[0]])
        return future

    def outcome(self, task: Task) -> Outcome:
        if task.to_epoch not in self._trained:
            before = self._trained.get(task.from_epoch)
            task = replace(task, state=before.state if before else None)
            self._trained[task.to_epoch] = train_rung(task)
        trained = self._trained[task.to_epoch]
        # As if it were that candidate's: the sampler and the pruner have something to go by.
        digest = hashlib.sha256(task.candidate.architecture.fingerprint.encode()).digest()
        correct = digest[0] * trained.val_total // 256
        curve = [
            replace(point, val_correct=correct, val_accuracy=correct / trained.val_total)
            for point in trained.curve
        ]
        return replace(trained, curve=tuple(curve))


def written(folder: StudyFolder, settings: Settings, trials: int) -> list[dict[str, float]]:
    """Write the study; what its trials cost, a row for each `EVERY` of them."""
    rows, kinds = [], ("ask", "tell", "record")
    with folder.writing(), folder.locked(), folder.open_records() as records:
        first = study_record(
            folder.name, settings.to_json(), load_training_set("digits").fingerprint, []
        )
        records.append("study", **first)
        coordinator = Coordinator(
            store=folder,
            settings=settings,
            info=describe("digits"),
            executor=Replayed(),
            slots=lambda: 1,
            trials=trials,
            watch=lambda kind, fields: noted(kind, fields),
        )
        spent, since = dict.fromkeys(kinds, 0.0), (time.perf_counter(), time.process_time())

        def noted(kind: str, fields: dict[str, Any]) -> None:
            nonlocal since
            if kind == "ledger":
                for name in kinds:
                    spent[name] += fields["seconds"].get(name, 0.0)
            ended = fields.get("trial", 0) + 1
            if kind != "end" or ended % EVERY:
                return
            total = {k: spent[k] + coordinator._seconds[k] for k in kinds}
            known = {k: sum(row[f"{k}_s"] * EVERY for row in rows) for k in kinds}
            now = time.perf_counter(), time.process_time()
            row = {f"{k}_s": (total[k] - known[k]) / EVERY for k in kinds} | {"trial": ended}
            for name, begun, end in zip(("wall_s", "cpu_s"), since, now, strict=True):
                row[name] = (end - begun) / EVERY
            row["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            rows.append(row)
            since = now
            print(
                "trial {trial:>6}: ask {ask_s:.3f} s, tell {tell_s:.3f}, record {record_s:.3f}, "
                "in all {wall_s:.3f}, of a core {cpu_s:.3f}; {mb:.0f} MB".format(**row),
                flush=True,
            )

        coordinator.run(records, fold_records([{"kind": "study", **first}]))
    return rows


def looked(command: list[str], runs: Path, folder: str, rounds: int) -> list[float]:
    """Seconds of a command on the study, each in a new process."""
    program = str(Path(sys.executable).with_name("pennyweight"))
    call = [program, command[0], "many", *command[1:], "--runs", str(runs)]
    call += ["--out", f"{folder}/report.html"] if command[0] == "report" else []
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(call, stdout=subprocess.DEVNULL, env=os.environ, check=True)
        seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    app()
