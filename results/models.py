"""A trained network of a study: found by name, with its weights, ready to export or evaluate."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.arch.errors import UsageError, shown
from pennyweight.arch.zoo import entry
from pennyweight.results.confirmed import Confirmed, confirmed
from pennyweight.results.leaderboard import rows, wilson_interval
from pennyweight.results.places import Place, store_in, study_names
from pennyweight.results.store import Store, StoredFile
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords, TrialRecord

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.bundle import Facts
    from pennyweight.results.export import Exported
    from pennyweight.results.trained import Trained
    from pennyweight.train.cache import Progress
    from pennyweight.train.data import Dataset


@dataclass(frozen=True)
class Model:
    """A trial of a study that has weights."""

    store: Store  # which may have been renamed since its records were begun
    study: StudyRecords
    trial: TrialRecord
    confirmed: Confirmed | None = None  # then it is that of the first of the fresh seeds

    @property
    def weights(self) -> StoredFile:
        """Its weights, as the last epoch left them, or the one that was kept."""
        if self.confirmed:
            return self.store.fresh_model(self.trial.trial, self.seed)
        return self.store.model(self.trial.trial, self.trial.kept_epoch)

    def read_weights(self) -> bytes:
        """The content of that file; UsageError where it is none that could be."""
        try:
            return self.weights.read_bytes()
        except OSError as error:
            raise UsageError(f"{self.weights} must be readable, but: {error.strerror}.") from error

    @property
    def seed(self) -> int:
        """What it was trained from."""
        return self.confirmed.seeds[0] if self.confirmed else self.trial.seed

    @property
    def whole(self) -> bool:
        """Whether it was trained on the validation pictures too."""
        return self.study.whole or self.confirmed is not None


def find_model(runs: Place, name: str) -> Model:
    """The model that `STUDY` (what was confirmed last, or rank 1) or `STUDY:TRIAL` names.

    Of a confirmed trial it is the one from the first of its seeds, not the best on the test set.
    Raises UsageError for a study or trial that does not exist, or has no weights yet.
    """
    study_name, colon, number = name.partition(":")
    if study_name == "zoo" and study_name not in study_names(runs):
        entry(number)  # which there may not be
        raise UsageError(
            f"{name} has no weights yet: `pennyweight train {name}` first, and name its study."
        )
    study = load_study(runs, study_name)
    known = confirmed(study)
    if colon:
        trial = find_trial(study, study_name, number)
    else:
        trial = best_trial(study)
        if trial is None:
            raise UsageError(
                f"No trial of study {study_name} has finished a rung yet: go on with its search."
            )
    again = next((found for found in known if found.trial == trial.trial), None)
    model = Model(store_in(runs, study_name), study, trial, again)
    if not trial.rungs or not model.weights.exists():
        raise UsageError(
            f"Trial {trial.trial} of study {study_name} ({trial.state}) has no weights: "
            "choose one that finished a rung."
        )
    return model


def best_trial(study: StudyRecords) -> TrialRecord | None:
    """What was confirmed last, or else rank 1; None before the first rung."""
    if known := confirmed(study):
        return study.trials[known[0].trial]
    best = next((row for row in rows(study) if row.val_accuracy is not None), None)
    return None if best is None else study.trials[best.trial]


def find_trial(study: StudyRecords, name: str, number: str) -> TrialRecord:
    """The trial that `number` names in the study called `name`; UsageError if there is none."""
    # Compared as text: Python reads no number of more than 4,300 digits.
    for trial in study.trials.values():
        if str(trial.trial) == number:
            return trial
    if not study.trials:
        raise UsageError(f"Study {name} has no trial yet: go on with its search.")
    raise UsageError(
        f"Study {name} has no trial {shown(number)}: its trials are numbered "
        f"{min(study.trials)} to {max(study.trials)}."
    )


def load_data_of(study: StudyRecords, *, progress: Progress | None = None) -> Dataset:
    """The training part of the study's data; UsageError where it is no longer what it was."""
    from pennyweight.train.data import load_training_set

    dataset = load_training_set(study.data, progress=progress)
    if dataset.fingerprint != study.data_fingerprint:
        raise UsageError(
            f"The data {study.data} have changed since study {study.study} began (their "
            f"fingerprint was {study.data_fingerprint} and is {dataset.fingerprint}): bring back "
            "the old ones, or begin another --study."
        )
    return dataset


def export_model(
    model: Model,
    folder: Path,
    *,
    command: Sequence[str],
    forms: Sequence[str] = (),
    force: bool = False,
) -> Exported:
    """Write `model` as a bundle, every form compared on the study's whole validation split.

    Raises UsageError when its weights are damaged, and what `export_bundle` raises.
    """
    from pennyweight.results.export import export_bundle

    return export_bundle(trained_model(model, command=command), folder, forms=forms, force=force)


def trained_model(model: Model, *, command: Sequence[str]) -> Trained:
    """`model` with its facts and pictures; UsageError when its weights are damaged."""
    from pennyweight.arch.architecture import Architecture
    from pennyweight.results.trained import Trained
    from pennyweight.train import state_file

    study, trial = model.study, model.trial
    dataset = load_data_of(study)
    parts = dataset.split(study.settings["seed"])
    learned = dataset.images[parts.learned(whole=model.whole)]
    data, architecture = model.read_weights(), Architecture.from_json(trial.architecture)
    try:
        params, statistics = state_file.of_network(data, architecture)
        return Trained(
            architecture=architecture,
            params=params,
            statistics=statistics,
            facts=_facts(model, dataset, learned, command),
            learned=learned,
            checked=dataset.images[parts.validation],
            labels=dataset.labels[parts.validation],
            part="validation",
        )
    except ValueError as error:
        raise UsageError(f"{model.weights}: {error} Export another trial.") from error


def _facts(model: Model, dataset: Dataset, learned: np.ndarray, command: Sequence[str]) -> Facts:
    from pennyweight.results.bundle import Facts
    from pennyweight.results.trained import now
    from pennyweight.train.data import normalisation
    from pennyweight.train.look import look_of

    study, trial = model.study, model.trial
    mean, std = normalisation(learned)
    correct, total = trial.val_correct or 0, trial.val_total or 1
    low, high = wilson_interval(correct, total)
    epochs = study.budget["max_epochs"] or trial.epochs
    return Facts(
        data=study.data,
        data_fingerprint=dataset.fingerprint,
        mean=mean,
        std=std,
        class_names=dataset.class_names,
        recipe=trial.recipe,
        precision=study.precision,
        seed=model.seed,
        split_seed=study.settings["seed"],
        whole=model.whole,
        look=look_of(learned),
        confirmed=model.confirmed,
        epochs=epochs if model.confirmed else trial.kept_epoch,
        ended="complete" if model.confirmed else trial.state,
        genome=trial.genome,
        val_accuracy=None if model.whole else correct / total,
        val_low=None if model.whole else low,
        val_high=None if model.whole else high,
        study=study.study,
        trial=trial.trial,
        versions={**study.versions, "python": platform.python_version()},
        command=list(command),
        created=now(),
    )
