"""MODEL on the command line, ready to classify: STUDY[:TRIAL], a bundle or `pretrained:NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.models import Model, find_model, load_data_of
from pennyweight.results.places import Place, folder_of, store_in, study_names
from pennyweight.results.pretrained import RESERVED, pretrained_folder
from pennyweight.train.door import Ledger
from pennyweight.train.look import Look, look_of

if TYPE_CHECKING:
    from pennyweight.train.classifier import Classifier


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network, and what there is to know of the pictures that it learned from."""

    name: str  # as it was asked for
    classifier: Classifier
    class_names: tuple[str, ...]
    look: Look | None
    data: str
    data_fingerprint: str  # of the training pictures and labels
    split_seed: int  # which training pictures are for validation
    whole: bool  # whether it learned from those too
    readings: Path | Ledger  # the ledger of its looks at the test set


def load_model(runs: Place, name: str) -> LoadedModel:
    """The model called `name`: a study of that name comes before a folder.

    Raises UsageError for what does not exist, is damaged, or has no weights yet.
    """
    folder = bundle_folder(runs, name)
    return _of_bundle(folder, name, runs) if folder else load_trained(find_model(runs, name), name)


def bundle_folder(runs: Place, name: str) -> Path | None:
    """The folder of the bundle called `name`; None where a study or its trial is meant.

    Raises UsageError for a pretrained network that there is not.
    """
    if found := pretrained_folder(name):
        return found
    is_study = name.partition(":")[0] in study_names(runs)
    return Path(name) if not is_study and (Path(name).is_dir() or "/" in name) else None


def load_trained(model: Model, name: str) -> LoadedModel:
    """The `model` of a study, under `name`; UsageError as of `load_model`."""
    from pennyweight.arch.architecture import Architecture
    from pennyweight.train.classifier import Classifier
    from pennyweight.train.data import normalisation

    study = model.study
    dataset = load_data_of(study)
    parts = dataset.split(study.settings["seed"])
    learned = dataset.images[parts.learned(whole=model.whole)]
    architecture = Architecture.from_json(model.trial.architecture)
    content = model.read_weights()
    try:
        classifier = Classifier.of_model(architecture, content, *normalisation(learned))
    except ValueError as error:
        raise UsageError(f"{model.weights}: {error} Choose another trial.") from error
    return LoadedModel(
        name=name,
        classifier=classifier,
        class_names=dataset.class_names,
        look=look_of(learned),
        data=study.data,
        data_fingerprint=study.data_fingerprint,
        split_seed=study.settings["seed"],
        whole=model.whole,
        readings=model.store.readings,
    )


def _of_bundle(folder: Path, name: str, runs: Place) -> LoadedModel:
    from pennyweight.train.classifier import Classifier

    bundle = read_bundle(folder)
    facts = bundle.facts
    return LoadedModel(
        name=name,
        classifier=Classifier(
            bundle.architecture, bundle.params, bundle.statistics, facts.mean, facts.std
        ),
        class_names=tuple(facts.class_names),
        look=facts.look,
        data=facts.data,
        data_fingerprint=facts.data_fingerprint,
        split_seed=facts.split_seed,
        whole=facts.whole,
        readings=_ledger(runs, name, facts.study),
    )


def _ledger(runs: Place, name: str, study: str) -> Path | Ledger:
    """The study's that it was exported from, where that is here: a bundle stays as it is."""
    here = study in study_names(runs) and name.partition(":")[0] != RESERVED
    return store_in(runs, study).readings if here else folder_of(runs, "test-readings.jsonl")
