"""Searches for tests: by arithmetic in place of training in a second, or real ones in processes."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.trial import FrozenTrial
from started import started

from pennyweight.arch.budget import Budget
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import read_records
from pennyweight.results.store import Store
from pennyweight.results.studies import fold_records, load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.recording import versions
from pennyweight.search.sampling import close_study, open_study
from pennyweight.search.settings import Settings
from pennyweight.search.study import Coordinator, Watcher
from pennyweight.train.data import describe, load_training_set
from pennyweight.train.rung import Outcome, Point, Task

SETTINGS = Settings(data="digits", budget=Budget(max_params=500, max_epochs=9))
RUNGS = (1, 3, 9)
TOTAL = 288  # validation pictures


class Arithmetic(Executor):
    """Trains nothing: what a task gives is computed from it at once, by a hash.

    The coordinator takes any executor, so thousands of its steps cost what one training would.
    """

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result([self.outcome(task) for task in args[0]])
        except Exception as error:
            future.set_exception(error)
        return future

    def outcome(self, task: Task) -> Outcome:
        came_from = {"candidate": _hash(task.candidate, task.frame), "epoch": task.from_epoch}
        if task.from_epoch:
            assert task.state is not None
            assert json.loads(task.state) == came_from
        curve = [self.point(task, e) for e in range(task.from_epoch + 1, task.to_epoch + 1)]
        return Outcome(
            state=json.dumps(came_from | {"epoch": task.to_epoch}).encode(),
            model=f"model of {came_from['candidate']} at {task.to_epoch}".encode(),
            curve=tuple(curve),
            val_total=TOTAL,
            seconds={"train": 0.25 * len(curve)},
            worker=1,
        )

    def point(self, task: Task, epoch: int) -> Point:
        correct = 100 + int(_hash(task.candidate, epoch)[:2], 16) // 2
        return Point(
            epoch=epoch,
            train_loss=1 / epoch,
            train_accuracy=0.5,
            val_accuracy=correct / TOTAL,
            val_log_loss=1 - correct / TOTAL,
            val_correct=correct,
        )


def coordinate(
    store: Store,
    trials: int,
    *,
    executor: Executor | None = None,
    settings: Settings = SETTINGS,
    slots: int = 1,
    watch: Watcher = lambda kind, fields: None,
    deadline: float | None = None,
    side_by_side: bool = False,
    rung_timeout_s: float | None = None,
) -> StudyRecords:
    """Go on with the study in `store`, or begin it, as a launch does but for the processes."""
    with store.writing(), store.locked(settles=True), store.open_records() as records:
        if not store.read_records():
            records.append(
                "study",
                study=store.name,
                settings=settings.to_json(),
                data_fingerprint=load_training_set(settings.data).fingerprint,
                versions=versions(),
                command=[],
                created=0.0,
            )
        Coordinator(
            store=store,
            settings=settings,
            info=describe("digits"),
            executor=executor or Arithmetic(),
            slots=lambda: slots,
            trials=trials,
            watch=watch,
            deadline=deadline,
            side_by_side=side_by_side,
            rung_timeout_s=rung_timeout_s,
        ).run(records, fold_records(store.read_records()))
    return fold_records(store.read_records())


def copied(folder: StudyFolder, runs: Path) -> StudyFolder:
    """A copy of the study under the same name in the new folder `runs`."""
    return StudyFolder(Path(shutil.copytree(folder.path, runs / folder.path.name)))


def told(folder: StudyFolder, settings: Settings = SETTINGS) -> list[FrozenTrial]:
    """What Optuna's database holds."""
    optuna_study = open_study(folder, settings)
    trials = optuna_study.get_trials(deepcopy=False)
    close_study(optuna_study)
    return trials


def story(study: StudyRecords) -> dict[int, dict[str, Any]]:
    """What became of each trial, without what differs from run to run: seconds and processes."""
    return {
        number: {
            "proposer": trial.proposer,
            "genome": dict(trial.genome),
            "seed": trial.seed,
            "notation": trial.notation,
            "frame": trial.frame,
            "state": trial.state,
            "reason": trial.reason,
            "rungs": [(rung.epoch, rung.val_correct, rung.curve) for rung in trial.rungs],
        }
        for number, trial in study.trials.items()
    }


def check_whole(folder: StudyFolder, trials: int, settings: Settings = SETTINGS) -> None:
    """Assert what must hold of every study that came to its end, whatever happened meanwhile."""
    study = load_study(folder.path.parent, folder.path.name)
    assert sorted(study.trials) == list(range(trials))
    assert "running" not in {trial.state for trial in study.trials.values()}
    written = read_records(folder.records)
    keys = [(r["kind"], r["trial"], r.get("epoch")) for r in written if "trial" in r]
    assert len(keys) == len(set(keys)), "a trial, rung or end was recorded twice"
    for trial in study.trials.values():
        ended, wanted = [rung.epoch for rung in trial.rungs], list(settings.rungs)
        if trial.state == "diverged":  # in the middle of its last rung, maybe
            assert ended.pop() <= wanted[len(ended)]
        assert ended == wanted[: len(ended)]
        scored = [point.epoch for point in trial.curve]
        assert scored == sorted(set(scored))
        assert {rung.epoch for rung in trial.rungs} <= set(scored) <= {*range(1, trial.epochs + 1)}
    sampled = [str(t.genome) for t in study.trials.values() if t.proposer == "sampler"]
    assert len(sampled) == len(set(sampled)), "a point was drawn twice"
    states = {"complete": "COMPLETE", "diverged": "COMPLETE", "pruned": "PRUNED"}
    for frozen, trial in zip(told(folder, settings), study.trials.values(), strict=True):
        assert frozen.state.name == states.get(trial.state, "FAIL")
        assert frozen.params == trial.genome
        reports = {rung.epoch: (rung.val_correct or 0) / rung.val_total for rung in trial.rungs}
        assert trial.state == "diverged" or frozen.intermediate_values == reports
        if trial.state == "complete":
            assert frozen.value == reports[settings.budget.max_epochs]
    assert not list(folder.path.glob("states/*")), "a state was left behind"
    kept = {path.stem for path in folder.path.glob("models/*")}
    assert kept == {f"{t.trial:06d}-{t.epochs:04d}" for t in study.trials.values() if t.rungs}


def _hash(*values: object) -> str:
    # With 4, the trials that `test_study` goes on with are not pruned at once.
    return hashlib.sha256(repr((4, *values)).encode()).hexdigest()


# Real ones. Networks of 60 parameters compile soonest; that they learn little does not matter.

REAL = Settings(data="digits", budget=Budget(max_params=60, max_epochs=36))
TRIALS = 7
CALL = "search('digits', max_params=60, max_epochs=36, trials={trials}, study='real', {more})"
SCRIPT = """
from pennyweight.search import search

if __name__ == "__main__":
    found = {call}
    print(found.best.trial, len(found.rows))
"""


def start_search(
    folder: Path, *, workers: int | None = 2, trials: int = TRIALS, more: str = ""
) -> subprocess.Popen[str]:
    """Start the search, or go on with it, by a script in `folder`, in a session of its own."""
    call = CALL.format(trials=trials, more=f"workers={workers}, {more}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.py").write_text(SCRIPT.format(call=call))
    return started(
        subprocess.Popen(
            [sys.executable, "script.py"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )


def real_study() -> StudyFolder:
    """A finished real study, trained by one worker, once for all test processes; to be copied."""
    cache = Path(os.environ["PENNYWEIGHT_CACHE"])
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "real-study.lock"):
        folder = cache / "real-study"
        if not (folder / "done").exists():
            process = start_search(folder, workers=1)
            _, stderr = process.communicate(timeout=280)
            assert process.returncode == 0, stderr
            (folder / "done").touch()
    return StudyFolder(folder / "runs" / "real")
