"""What must hold of a search after the chaos; each check gives what is wrong, a line each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.arch.budget import Budget
from pennyweight.arch.notation import parse
from pennyweight.results.folder import StudyFolder
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import CurvePoint, StudyRecords, TrialRecord
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import recorded_candidate, rung_record
from pennyweight.search.sampling import close_study, open_study
from pennyweight.search.settings import Settings
from pennyweight.train.rung import Outcome, Task, train_rungs

if TYPE_CHECKING:
    from chaos import Search

TOLD = {"complete": "COMPLETE", "diverged": "COMPLETE", "pruned": "PRUNED"}


def settings_of(study: StudyRecords) -> Settings:
    """The settings of a study of this benchmark."""
    known = study.settings
    return Settings(
        data=known["data"],
        budget=Budget(**known["budget"]),
        seed=known["seed"],
        group=known["group"],
    )


def whole(runs: Path, name: str, trials: int) -> list[str]:
    """Each trial came to one end, was recorded once, and Optuna knows the same."""
    folder, study = StudyFolder(runs / name), load_study(runs, name)
    settings, problems = settings_of(study), []
    if sorted(study.trials) != list(range(trials)):
        problems.append(f"asked were the trials {sorted(study.trials)}")
    written = [r for r in folder.read_records() if "trial" in r]
    keys = Counter((r["kind"], r["trial"], r.get("epoch")) for r in written)
    problems += [f"recorded {count} times: {key}" for key, count in keys.items() if count > 1]
    optuna_study = open_study(folder, settings)
    told = optuna_study.get_trials(deepcopy=False)
    close_study(optuna_study)
    if len(told) != len(study.trials):
        problems.append(f"Optuna has {len(told)} trials of {len(study.trials)}")
    for frozen, (number, trial) in zip(told, study.trials.items(), strict=False):
        if trial.state in ("running", "failed"):
            problems.append(f"trial {number} is {trial.state}: {trial.reason}")
        if frozen.state.name != TOLD.get(trial.state, "FAIL") or frozen.params != trial.genome:
            problems.append(f"trial {number} is {trial.state}, and for Optuna {frozen.state.name}")
        epochs = [rung.epoch for rung in trial.rungs]
        if epochs != list(settings.rungs)[: len(epochs)] and trial.state != "diverged":
            problems.append(f"trial {number} has the rungs {epochs}")
        if trial.rungs and not folder.model(number, trial.epochs).exists():
            problems.append(f"the model of trial {number} is gone")
    problems += [f"{path.name} was left" for path in folder.path.glob("states/*")]
    return problems


def nothing_lost(search: Search) -> list[str]:
    """What was recorded when something was killed is there in the end, unchanged."""
    final = search.whole_lines()
    lost = [
        f"after kill {number} ({kind}) records were lost or changed"
        for number, (kind, seen) in enumerate(zip(search.done, search.seen, strict=True), 1)
        if not final.startswith(seen)
    ]
    return lost + [f"outlived its coordinator: {line}" for line in search.left]


def story(study: StudyRecords) -> dict[int, Any]:
    """What became of each trial, without what differs from run to run: seconds and processes."""
    return {
        number: (
            dict(trial.genome),
            trial.seed,
            trial.notation,
            trial.frame,
            trial.state,
            [(rung.epoch, rung.val_correct, rung.curve) for rung in trial.rungs],
        )
        for number, trial in study.trials.items()
    }


def same_story(quiet: Path, runs: Path, name: str) -> list[str]:
    """The same trials, to the last bit, as in the search that nothing disturbed."""
    wanted, found = story(load_study(quiet, name)), story(load_study(runs, name))
    return [f"trial {n} differs" for n in wanted | found if wanted.get(n) != found.get(n)]


def trained_again(runs: Path, name: str, count: int, draw: random.Random) -> list[str]:
    """Some trials' trainings give the same numbers in a process of their own."""
    study = load_study(runs, name)
    trained = [trial for trial in study.trials.values() if trial.rungs]
    problems = []
    with LocalExecutor(1) as executor:
        for trial in draw.sample(trained, min(count, len(trained))):
            outcomes: list[Outcome] = []
            for task in tasks(study, trial):
                before = outcomes[-1].state if outcomes else None
                outcomes += executor.submit(train_rungs, [task(before)]).result()
            curve = [
                CurvePoint(**point)
                for outcome in outcomes
                for point in rung_record(trial.trial, outcome)["curve"]
            ]
            if curve != list(trial.curve):
                problems.append(f"trial {trial.trial} trained again gives other numbers")
    return problems


def tasks(study: StudyRecords, trial: TrialRecord) -> Sequence[Any]:
    """The trial's rungs, each a task to be made from the state before it."""
    settings = settings_of(study)
    candidate = recorded_candidate(trial)
    architecture = candidate.architecture
    frame = trial.frame and parse(trial.frame, architecture.input_shape, architecture.classes)

    def made(begin: int, end: int) -> Any:
        return lambda state: Task(
            source=study.data,
            split_seed=settings.seed,
            candidate=candidate,
            epochs=settings.budget.max_epochs,
            from_epoch=begin,
            to_epoch=end,
            state=state,
            frame=frame or None,
        )

    ends = [rung.epoch for rung in trial.rungs]
    return [made(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
