"""MODEL as what a training or a search goes on from: its weights, and how they came to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.loaded import bundle_folder
from pennyweight.results.models import find_model
from pennyweight.results.places import Place
from pennyweight.train.precision import Precision
from pennyweight.train.recipe import Recipe

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """A trained network, and what it learned from."""

    name: str  # as it was asked for
    architecture: Architecture
    params: Tree
    statistics: Tree
    class_names: tuple[str, ...]
    recipe: Recipe
    precision: Precision
    epochs: int
    data: str
    data_fingerprint: str  # of its training pictures
    split_seed: int  # which training pictures are for validation
    whole: bool  # whether it learned from those too
    genome: Mapping[str, Any]  # {} where no search proposed it

    @property
    def identity(self) -> str:
        """The network down to its weights, as the ledger of test readings knows it."""
        from pennyweight.train.classifier import Classifier

        return Classifier(self.architecture, self.params, self.statistics, (), ()).identity


def find_origin(runs: Place, name: str) -> Origin:
    """The MODEL called `name`; UsageError for what does not exist or is damaged."""
    folder = bundle_folder(runs, name)
    return _of_bundle(folder, name) if folder else _of_study(runs, name)


def _of_study(runs: Place, name: str) -> Origin:
    from pennyweight.train import state_file
    from pennyweight.train.data import describe

    model = find_model(runs, name)
    study, trial = model.study, model.trial
    content = model.read_weights()
    architecture = Architecture.from_json(trial.architecture)
    try:
        params, statistics = state_file.of_network(content, architecture)
    except ValueError as error:
        raise UsageError(f"{model.weights}: {error} Choose another trial.") from error
    return Origin(
        name=name,
        architecture=architecture,
        params=params,
        statistics=statistics,
        class_names=describe(study.data).class_names,
        recipe=Recipe.from_json(dict(trial.recipe)),
        precision=study.precision,  # type: ignore[arg-type]
        epochs=study.budget["max_epochs"] or trial.epochs,
        data=study.data,
        data_fingerprint=study.data_fingerprint,
        split_seed=study.settings["seed"],
        whole=model.whole,
        genome=trial.genome,
    )


def _of_bundle(folder: Path, name: str) -> Origin:
    bundle = read_bundle(folder)
    facts = bundle.facts
    return Origin(
        name=name,
        architecture=bundle.architecture,
        params=bundle.params,
        statistics=bundle.statistics,
        class_names=tuple(facts.class_names),
        recipe=Recipe.from_json(dict(facts.recipe)),
        precision=facts.precision,  # type: ignore[arg-type]
        epochs=facts.epochs,
        data=facts.data,
        data_fingerprint=facts.data_fingerprint,
        split_seed=facts.split_seed,
        whole=facts.whole,
        genome=facts.genome,
    )
