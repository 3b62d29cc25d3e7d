"""A trained network, with all that its exports are made of and checked on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.errors import UsageError
from pennyweight.arch.folding import deploy
from pennyweight.results.bundle import Facts
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.probe import read_probe

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree
    from pennyweight.results.quantise import Quantised
    from pennyweight.train.classifier import Classifier
    from pennyweight.train.data import Dataset

PROBE = 256  # pictures that stay in a bundle, for its proofs


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained:
    """A network's weights and facts, and uint8 pictures (n, h, w, c).

    `learned` are some that it learned from, by which 8-bit forms are calibrated, and of which a
    bundle keeps a few.
    `checked` are those that exports are compared on; without `labels` their classes are not known.
    Raises ValueError for weights or facts that are another network's.
    """

    architecture: Architecture
    params: Tree
    statistics: Tree
    facts: Facts
    learned: np.ndarray
    checked: np.ndarray
    labels: np.ndarray | None
    part: Literal["validation", "probe"]  # what `checked` is

    def __post_init__(self) -> None:
        self.facts.check(self.architecture)
        for placed in self.architecture.flat():
            for name, weight in placed.weights().items():
                tree = self.params if weight.trained else self.statistics
                shape = np.shape(tree.get(placed.name, {}).get(name, ()))
                if shape != weight.shape:
                    raise ValueError(
                        f"The weights {placed.name}.{name} must be of shape {weight.shape}, but "
                        f"are of {shape}."
                    )

    @property
    def probe(self) -> np.ndarray:
        return spread(self.learned, PROBE)

    @cached_property
    def classifier(self) -> Classifier:
        """The network itself."""
        from pennyweight.train.classifier import Classifier

        facts = self.facts
        return Classifier(self.architecture, self.params, self.statistics, facts.mean, facts.std)

    @cached_property
    def deployed(self) -> Deployed:
        facts = self.facts
        return deploy(self.architecture, self.params, self.statistics, facts.mean, facts.std)

    @cached_property
    def quantised(self) -> Quantised:
        from pennyweight.results.quantise import quantise

        return quantise(self.deployed, self.learned)


def trained_bundle(folder: Path, *, command: Sequence[str]) -> Trained:
    """The network in a bundle, to be exported in other forms.

    It is checked on the validation split where its data are here, and on its probe otherwise;
    `command` is what asks for it. Raises UsageError for what is no bundle, or one that has neither.
    """

    bundle = read_bundle(folder)
    facts = bundle.facts
    dataset = _data_of(facts)
    if dataset is not None:
        parts = dataset.split(facts.split_seed)
        learned = dataset.images[parts.learned(whole=facts.whole)]
        checked, labels = dataset.images[parts.validation], dataset.labels[parts.validation]
    else:
        learned = checked = read_probe(folder, bundle.manifest, bundle.architecture)["images"]
        labels = None
    return Trained(
        architecture=bundle.architecture,
        params=bundle.params,
        statistics=bundle.statistics,
        facts=replace(facts, command=list(command), created=now()),
        learned=learned,
        checked=checked,
        labels=labels,
        part="probe" if dataset is None else "validation",
    )


def now() -> str:
    """The time, as a manifest tells it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _data_of(facts: Facts) -> Dataset | None:
    """What the network learned from, where it is here."""
    from pennyweight.train.data import load_training_set

    try:
        dataset = load_training_set(facts.data)
    except UsageError:
        return None
    return dataset if dataset.fingerprint == facts.data_fingerprint else None


def spread(images: np.ndarray, most: int) -> np.ndarray:
    """At most so many of `images`, from all over them."""
    if len(images) <= most:
        return images
    return images[np.linspace(0, len(images) - 1, most).round().astype(int)]
