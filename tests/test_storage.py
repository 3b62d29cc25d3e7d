"""What Optuna is told is in memory, and in the database for whoever opens it next."""

from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from pennyweight.results.folder import StudyFolder
from pennyweight.search.storage import SoleWriter

SPACE = FloatDistribution(0.0, 1.0)


def opened(folder: Path) -> tuple[SoleWriter, optuna.Study]:
    storage = SoleWriter(StudyFolder(folder).optuna(), "s")
    return storage, optuna.create_study(storage=storage, study_name="s", load_if_exists=True)


def on_disk(folder: Path) -> list[dict[str, Any]]:
    """What a second reader finds, who knows nothing of the first."""
    storage = RDBStorage(f"sqlite:///{folder / 'study.db'}")
    study = storage.get_study_id_from_name("s")
    trials = storage.get_all_trials(study)
    storage.engine.dispose()
    return [told(trial) for trial in trials]


def told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "params": trial.params,
        "distributions": trial.distributions,
        "reports": trial.intermediate_values,
        "values": trial.values,
        "noted": trial.system_attrs,
    }


def test_every_step_of_a_trial_is_in_the_database_once_it_was_flushed(tmp_path: Path) -> None:
    storage, study = opened(tmp_path)
    trial = study.ask()
    trial._suggest("x", SPACE)
    assert on_disk(tmp_path) == []
    storage.flush()
    assert on_disk(tmp_path) == [told(t) for t in study.trials]
    trial._suggest("y", SPACE)
    trial.report(0.5, 1)
    storage.set_trial_system_attr(trial._trial_id, "noted", True)
    assert on_disk(tmp_path) == [told(t) for t in study.trials]
    study.tell(trial, 0.75)
    assert on_disk(tmp_path) == [told(t) for t in study.trials]
    assert study.trials[0].state == TrialState.COMPLETE
    assert study.best_value == 0.75
    storage.close()


def test_a_database_opened_again_is_what_it_was_and_is_gone_on_with(tmp_path: Path) -> None:
    storage, study = opened(tmp_path)
    for number in range(3):
        trial = study.ask()
        trial._suggest("x", SPACE)
        if number:
            study.tell(trial, number / 2)
    storage.flush()
    before = [told(trial) for trial in study.trials]
    storage.set_study_system_attr(study._study_id, "parents", [1, 2])
    storage.close()
    storage, study = opened(tmp_path)
    assert [told(trial) for trial in study.trials] == before
    assert storage.get_study_system_attrs(study._study_id) == {"parents": [1, 2]}
    left = Trial(study, study.trials[0]._trial_id)
    study.tell(left, 0.25)
    assert [trial.value for trial in study.trials] == [0.25, 0.5, 1.0]
    assert on_disk(tmp_path) == [told(trial) for trial in study.trials]
    storage.close()


def test_a_study_that_was_deleted_and_made_anew_begins_from_nothing(tmp_path: Path) -> None:
    storage, study = opened(tmp_path)
    study.tell(study.ask(), 1.0)
    optuna.delete_study(study_name="s", storage=storage)
    assert optuna.create_study(storage=storage, study_name="s").trials == []
    study = optuna.load_study(study_name="s", storage=storage)
    study.add_trial(optuna.create_trial(value=0.25))
    assert [trial._trial_id for trial in study.trials] == [0]  # as when it is opened again
    study.add_trial(optuna.create_trial(value=0.5, params={"x": 0.1}, distributions={"x": SPACE}))
    assert on_disk(tmp_path) == [told(trial) for trial in study.trials]
    storage.close()


def test_trials_that_are_read_share_the_distributions_of_their_genes(tmp_path: Path) -> None:
    storage, study = opened(tmp_path)
    for _ in range(2):
        trial = study.ask()
        trial._suggest("x", SPACE)
        study.tell(trial, 0.5)
    asked = [told(trial) for trial in study.trials]
    storage.close()
    storage, study = opened(tmp_path)
    assert [told(trial) for trial in study.trials] == asked
    first, second = (t.distributions for t in study.get_trials(deepcopy=False))
    assert first["x"] is second["x"]
    storage.close()
