"""Optuna's database after a crash: brought into line with the records, which are the truth."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from pennyweight.results.store import Store
from pennyweight.results.study_records import Rung, StudyRecords, TrialRecord
from pennyweight.search.sampling import emptied, open_study, space_of, went_on
from pennyweight.search.settings import Settings


def study_in_line(store: Store, settings: Settings, known: StudyRecords) -> optuna.Study:
    """The Optuna study in `store`, which can be gone on with from what is `known`.

    After a crash a trial may lack its last report, or that it was told, and one more may have been
    asked: the coordinator sees to these. Every other difference (a file deleted, lost with the
    power, or restored from an old copy) makes the database anew, at about 0.1 s a trial.
    """
    study = open_study(store, settings)
    asked = study.get_trials(deepcopy=False)
    count = max(known.trials, default=-1) + 1  # with those whose line was damaged and deleted
    agree = [_agrees(trial, known.trials.get(trial.number)) for trial in asked[:count]]
    new = [_is_new(trial) for trial in asked[count:]]
    if agree == [True] * count and new in ([], [True]):
        return study
    study = emptied(study)
    for number in range(count):
        _add(study, settings, known.trials.get(number), asked[number : number + 1])
    return study


def score(rung: Rung) -> float:
    """What Optuna is told of a rung: the accuracy, 0 where it diverged."""
    return 0.0 if rung.diverged or rung.val_correct is None else rung.val_correct / rung.val_total


def tell(study: optuna.Study, trial: Trial, state: str, value: float | None) -> None:
    """Tell Optuna how a trial ended; one that diverged counts as the worst."""
    if state in ("complete", "diverged"):
        study.tell(trial, value or 0.0)
    else:
        study.tell(trial, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)


def _agrees(trial: FrozenTrial, record: TrialRecord | None) -> bool:
    if record is None:
        return trial.state.is_finished()
    if trial.params != record.genome:
        return False
    if not trial.intermediate_values.keys() <= {rung.epoch for rung in record.rungs}:
        return False
    ended = trial.state.is_finished() and record.state != "running"
    return ended or trial.state == TrialState.RUNNING


def _is_new(trial: FrozenTrial) -> bool:
    return not trial.state.is_finished() and not trial.intermediate_values


def _add(
    study: optuna.Study, settings: Settings, record: TrialRecord | None, old: list[FrozenTrial]
) -> None:
    """Add the trial of `record` by the steps by which a coordinator does.

    What sampler and pruner noted at the `old` trial is kept, but for comparisons, made again here.
    """
    if record is None:
        study.add_trial(optuna.create_trial(state=TrialState.FAIL))
        return
    noted = old[0].system_attrs if old and old[0].params == record.genome else {}
    frozen = optuna.create_trial(
        state=TrialState.RUNNING,
        params=dict(record.genome),
        distributions=space_of(settings.ranges),
        system_attrs={k: v for k, v in noted.items() if not k.startswith("completed_rung")},
    )
    trial = Trial(study, study._storage.create_new_trial(study._study_id, frozen))
    for number, rung in enumerate(record.rungs, 1):
        trial.report(score(rung), rung.epoch)
        decided = number < len(record.rungs) or record.state != "running"
        if decided or went_on(rung.epoch) in noted:
            trial.should_prune()  # whatever it answers, others are compared with this one then
    if record.state != "running":
        tell(study, trial, record.state, score(record.rungs[-1]) if record.rungs else None)
