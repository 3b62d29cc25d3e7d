"""What the drawing page offers: the models of a study, and what each says of a drawing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError, shown
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.confirmed import confirmed
from pennyweight.results.leaderboard import rows
from pennyweight.results.loaded import LoadedModel, bundle_folder, load_model
from pennyweight.results.models import Model, find_model
from pennyweight.results.places import Place
from pennyweight.results.preparation import BlankPictureError, prepare
from pennyweight.results.pretrained import pretrained_beside, pretrained_folder
from pennyweight.train.picture_file import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from pennyweight.arch.architecture import Architecture
    from pennyweight.results.bundle import Facts

LARGEST_DRAWING = 1_024 * 1_024  # pixels; the page sends fewer


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model that one can choose, and what is known of it without loading it."""

    name: str
    notation: str
    params: int
    accuracy: float | None  # a fraction
    measured_on: Literal["validation", "test"] | None  # None: it was not


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of a drawing, and how it sees it; None for both of an empty one."""

    probabilities: Sequence[float] | None  # by class, adding up to 1
    seen: np.ndarray | None  # uint8 (h, w, c)

    def to_json(self) -> dict[str, Any]:
        """With the levels of `seen` in one list, row by row."""
        seen = self.seen
        return {
            "probabilities": None if self.probabilities is None else list(self.probabilities),
            "seen": None
            if seen is None
            else {"shape": seen.shape, "levels": seen.ravel().tolist()},
        }


class Choice:
    """The models to choose from, each loaded and compiled when it is first used.

    Of a study these are its Pareto front and the model that was named; a pretrained network stands
    beside the others of the same data, and a bundle alone. It may be used from several threads.
    Raises UsageError as `find_model` and `read_bundle` do.
    """

    def __init__(self, runs: Place, name: str) -> None:
        self._runs = runs
        if folder := bundle_folder(runs, name):
            self.offers = _offers_of_bundle(folder, name)
            self.named = name
        else:
            found = find_model(runs, name)
            self.offers = _offers_of_study(found)
            self.named = _name(found)
        self._loaded: dict[str, LoadedModel] = {}
        self._locks = {offer.name: threading.Lock() for offer in self.offers}

    def load(self, name: str) -> LoadedModel:
        """The model called `name`, compiled; UsageError for one that is not on offer."""
        if name not in self._locks:
            raise UsageError(f"There is no model {shown(name)} on this page: reload it.")
        with self._locks[name]:
            if name not in self._loaded:
                model = load_model(self._runs, name)
                shape = model.classifier.architecture.input_shape
                if not np.isfinite(model.classifier.logits(np.zeros((1, *shape), np.uint8))).all():
                    raise UsageError(f"{name} computes what is no number: choose another model.")
                self._loaded[name] = model
            return self._loaded[name]

    def classify(self, name: str, content: bytes) -> Answer:
        """What the model called `name` says of the picture in a file's `content`.

        Raises UsageError for what is no picture, or a too large one.
        """
        model = self.load(name)
        picture = open_picture(content, "The drawing", largest=LARGEST_DRAWING)
        shape = model.classifier.architecture.input_shape
        try:
            if _is_plain(picture):
                raise BlankPictureError("nothing is drawn")
            seen = prepare(picture, shape, model.look)
        except BlankPictureError:
            return Answer(probabilities=None, seen=None)
        probabilities = model.classifier.probabilities(seen[None])[0]
        return Answer(probabilities=probabilities.tolist(), seen=seen)

    def to_json(self) -> dict[str, Any]:
        """What the page is told as it opens; loads the model that was named."""
        model = self.load(self.named)
        return {
            "named": self.named,
            "data": model.data,
            "classes": model.class_names,
            "shape": model.classifier.architecture.input_shape,
            "models": [vars(offer) for offer in self.offers],
        }


def _offers_of_study(found: Model) -> list[Offer]:
    """From the smallest to the best, without those whose weights are gone."""
    again = {each.trial: each for each in confirmed(found.study)}
    front = {row.trial for row in rows(found.study) if row.pareto} | {found.trial.trial}
    models = [
        Model(found.store, found.study, found.study.trials[trial], again.get(trial))
        for trial in front
    ]
    offers = [_offer_of_trial(model) for model in models if model.weights.exists()]
    return sorted(offers, key=lambda offer: (offer.params, offer.accuracy or 0))


def _offer_of_trial(model: Model) -> Offer:
    trial, tested = model.trial, model.confirmed
    return Offer(
        name=_name(model),
        notation=trial.notation,
        params=trial.cost["params"],
        accuracy=tested.mean if tested else trial.val_accuracy,
        measured_on="test" if tested else "validation" if trial.val_accuracy is not None else None,
    )


def _name(model: Model) -> str:
    return f"{model.store.name}:{model.trial.trial}"


def offer_of(architecture: Architecture, facts: Facts, *, name: str) -> Offer:
    """What `facts` tell of a network that is called `name`."""
    tested, validated = facts.confirmed, facts.val_accuracy
    return Offer(
        name=name,
        notation=architecture.notation,
        params=cost(architecture).params,
        accuracy=tested.mean if tested else validated,
        measured_on="test" if tested else "validation" if validated is not None else None,
    )


def _offers_of_bundle(folder: Path, name: str) -> list[Offer]:
    """Of one that comes with the package, those that learned from the same data too."""
    if not pretrained_folder(name):
        return [_offer_of_bundle(folder, name)]
    return [
        _offer_of_bundle(beside, each)
        for each in pretrained_beside(name)
        if (beside := pretrained_folder(each))
    ]


def _offer_of_bundle(folder: Path, name: str) -> Offer:
    bundle = read_bundle(folder)
    return offer_of(bundle.architecture, bundle.facts, name=name)


def _is_plain(picture: Image) -> bool:
    """Whether all of it has one colour."""
    ends = np.asarray(picture.getextrema()).reshape(-1, 2)
    return bool((ends[:, 0] == ends[:, 1]).all())
