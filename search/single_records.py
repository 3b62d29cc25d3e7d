"""What a study tells of the training of one network: its settings, its one trial, what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.settings import relabelling
from pennyweight.train.precision import PRECISION
from pennyweight.train.recipe import Recipe
from pennyweight.train.stopping import Stopping

if TYPE_CHECKING:
    from pennyweight.search.single import Training


def settings_of(training: Training) -> dict[str, Any]:
    """What its study is recorded with; what is usual is not told."""
    budget = Budget(
        max_params=cost(training.candidate.architecture).params, max_epochs=training.epochs
    )
    usual = {"data": training.data, "budget": asdict(budget), "seed": training.candidate.seed}
    usual |= {} if training.precision == PRECISION else {"precision": training.precision}
    usual |= {"whole": True} if training.whole else {}
    usual |= relabelling(training.data)
    usual |= {"stopping": training.stopping.to_json()} if training.stopping else {}
    return usual | ({"start": training.start.to_json()} if training.start else {})


def asked_of(training: Training) -> dict[str, Any]:
    """The fields of the record of its trial."""
    architecture = training.candidate.architecture
    return {
        "trial": 0,
        "proposer": "user",
        "share": 1.0,
        "genome": {},
        "architecture": architecture.to_json(),
        "notation": architecture.notation,
        "fingerprint": architecture.fingerprint,
        "recipe": training.candidate.recipe.to_json(),
        "seed": training.candidate.seed,
        "cost": cost(architecture).to_json(),
    }


def differences_from(training: Training, known: StudyRecords) -> list[str]:
    """How the recorded training differs from this one, a clause each."""
    if "sampler" in known.settings:
        return ["it is a search"]
    here = {"data": training.data, "max_epochs": training.epochs, "seed": training.candidate.seed}
    started = training.start.to_json() if training.start else None
    here |= {"precision": training.precision, "whole": training.whole, "start": _told(started)}
    here |= relabelling(training.data).get("relabel", {}) | asdict(training.stopping)
    there = {
        "data": known.data,
        "max_epochs": known.budget["max_epochs"],
        "seed": known.settings["seed"],
        "precision": known.precision,
        "whole": known.whole,
        "start": _told(known.start),
        **known.settings.get("relabel", {}),
        **asdict(Stopping.of(known.stopping)),
    }
    if trial := known.trials.get(0):
        here |= {"network": training.candidate.architecture.notation}
        here |= asdict(training.candidate.recipe)
        there |= {"network": trial.notation}
        there |= asdict(Recipe.from_json(dict(trial.recipe)))
    return [
        f"{name} is {_given(there.get(name))} there and {_given(here.get(name))} here"
        for name in here | there
        if here.get(name) != there.get(name)
    ]


def _given(value: object) -> str:
    return "not given" if value is None else str(value)


def _told(start: Mapping[str, Any] | None) -> str:
    """What a training started from: the same weights may have had another name."""
    return f"the weights {start['identity']}" if start else "random weights"
