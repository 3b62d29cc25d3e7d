"""Optuna's storage of one study: in memory, and written through to its database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pennyweight.results.store import OptunaDatabase


class SoleWriter(InMemoryStorage):
    """One study of a database, which nobody else writes to meanwhile, so that it is read only once.

    Optuna's own cache reads every running trial anew at each question, which took half of the
    question's time. A trial that is created running is written with its parameters by `flush`.
    """

    def __init__(self, database: OptunaDatabase, name: str) -> None:
        """Open the study called `name` in the `database`, or make the tables for it."""
        super().__init__()
        options = {"creator": database.connect, "pool_pre_ping": True}
        with database.making():
            self._database = _Database(database.url, engine_kwargs=options)
        self._study_ids: dict[int, int] = {}  # in the database, by those in memory
        self._trial_ids: dict[int, int] = {}
        self._new: dict[int, int] = {}  # trials not yet written: their studies
        self._space: dict[str, BaseDistribution] = {}  # of the last trial that was read or written
        self._genes: dict[tuple[str, BaseDistribution], BaseDistribution] = {}  # that were read
        for study in self._database.get_all_studies():
            if study.study_name != name:
                continue
            here = super().create_new_study(study.directions, study.study_name)
            self._study_ids[here] = study._study_id
            for key, value in study.system_attrs.items():
                super().set_study_system_attr(here, key, value)
            for trial in self._database.get_all_trials(study._study_id, deepcopy=False):
                self._trial_ids[self._taken_over(here, trial)] = trial._trial_id

    def _taken_over(self, study: int, trial: FrozenTrial) -> int:
        """The id here of a trial that was read; it shares its genes' distributions with the others.

        Optuna would keep deep copies of the trial's own, which took half of the time to read it.
        """
        own, trial.distributions = trial.distributions, {}
        here = super().create_new_trial(study, trial)
        taken = self._get_trial(here)
        taken.distributions = {
            name: self._genes.setdefault((name, genes), genes) for name, genes in own.items()
        }
        self._share(taken)
        return here

    def _share(self, trial: FrozenTrial) -> None:
        """Let `trial` have the dictionary of the one before: the genes are the same, of 2 kB."""
        if trial.distributions == self._space:
            trial.distributions = self._space
        self._space = trial.distributions

    def close(self) -> None:
        """Close the database, so that it is one file again."""
        self._database.remove_session()
        self._database.engine.dispose()

    def flush(self) -> None:
        """Write the trials that were created, with what was set of them since.

        Not which genes were given to it: who asks a trial anew gives them again.
        """
        for trial, study in list(self._new.items()):
            frozen = self.get_trial(trial)
            frozen.system_attrs.pop("fixed_params", None)
            there = self._study_ids[study]
            self._trial_ids[trial] = self._database.create_new_trial(there, frozen)
            del self._new[trial]
            self._share(frozen)

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        here = super().create_new_study(directions, study_name)  # refuses a name that is taken
        self._study_ids[here] = self._database.create_new_study(directions, study_name)
        return here

    def delete_study(self, study_id: int) -> None:
        self._database.delete_study(self._study_ids.pop(study_id))
        super().delete_study(study_id)
        if not self._study_ids:  # samplers note trials by number here: as it will be when reopened
            self._max_study_id = self._max_trial_id = -1

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.flush()
        there = self._study_ids[study_id]
        _insisted(lambda: self._database.set_study_system_attr(there, key, value))
        super().set_study_system_attr(study_id, key, value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("A study's user attributes would not be kept.")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("A trial's user attributes would not be kept.")

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial = super().create_new_trial(study_id, template_trial)
        self._new[trial] = study_id
        if template_trial is not None and template_trial.state != TrialState.RUNNING:
            self.flush()
        return trial

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        value = param_name, param_value_internal, distribution
        super().set_trial_param(trial_id, *value)
        if trial_id not in self._new:
            there = self._trial_ids[trial_id]
            _insisted(lambda: self._database.set_trial_param(there, *value))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        self.flush()
        there = self._trial_ids[trial_id]
        _insisted(lambda: self._database.set_trial_state_values(there, state, values))
        return super().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self.flush()
        there = self._trial_ids[trial_id]
        value = there, step, intermediate_value
        _insisted(lambda: self._database.set_trial_intermediate_value(*value))
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        if trial_id not in self._new:
            there = self._trial_ids[trial_id]
            _insisted(lambda: self._database.set_trial_system_attr(there, key, value))


def _insisted(write: Callable[[], object]) -> None:
    """Do `write`, once more where the connection broke meanwhile: one cannot know if it was done.

    A connection that broke before is noticed before it is used. Optuna itself repeats the making of
    a trial: should there then be two, the study is made anew from the records when it is gone on
    with.
    """
    try:
        write()
    except StorageInternalError as error:
        if not getattr(error.__cause__, "connection_invalidated", False):
            raise
        with contextlib.suppress(UpdateFinishedTrialError):  # it was done
            write()


class _Database(RDBStorage):
    """Optuna's, which compares each parameter with the one before: two thirds of a trial's time.

    It would also send each by itself; a new trial's go together.
    """

    _new: list[dict[str, Any]] | None = None  # parameters of the trial that is being made

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> models.TrialModel:
        self._new = []
        try:
            trial = super()._get_prepared_new_trial(study_id, template_trial, session)
            if self._new:
                session.execute(models.TrialParamModel.__table__.insert(), self._new)
        finally:
            self._new = None
        return trial

    def _set_trial_param_without_commit(
        self,
        session: Any,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        del previous_distribution  # a study has one space
        parameter = {
            "trial_id": trial_id,
            "param_name": param_name,
            "param_value": param_value_internal,
            "distribution_json": _json(distribution),
        }
        if self._new is None:
            session.execute(models.TrialParamModel.__table__.insert(), [parameter])
        else:
            self._new.append(parameter)


_json = cache(distribution_to_json)  # the same few genes in every trial
