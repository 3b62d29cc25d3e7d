"""A bundle's manifest: what was trained and how, what each file is, and how each was proven."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.results.confirmed import Confirmed
from pennyweight.train.look import Look
from pennyweight.train.precision import PRECISION

MANIFEST = "manifest.json"

FORMAT = "pennyweight-bundle/"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a bundle's manifest tells beside the architecture and its cost."""

    data: str
    data_fingerprint: str
    mean: Sequence[float]  # of the training pictures, for each channel, on the scale from 0 to 1
    std: Sequence[float]
    class_names: Sequence[str]
    recipe: Mapping[str, Any]
    precision: str  # of the matrix products that trained it
    seed: int
    split_seed: int  # of the validation pictures
    whole: bool  # whether it was trained on these too
    epochs: int
    val_accuracy: float | None  # fraction; None where it was trained on validation pictures too
    val_low: float | None  # the ends of its 95% interval
    val_high: float | None
    study: str
    trial: int
    versions: Mapping[str, str]
    command: Sequence[str] | str
    created: str
    ended: str = "complete"  # what became of the trial; a pruned one stopped early
    look: Look | None = None  # of the pictures that it learned from
    genome: Mapping[str, Any] = field(default_factory=dict)  # {} where no search proposed it
    confirmed: Confirmed | None = None  # what the same network reached from fresh seeds

    def to_json(self) -> dict[str, Any]:
        """The facts as the manifest groups them."""
        return {
            "data": {"name": self.data, "fingerprint": self.data_fingerprint},
            "normalisation": {
                "mean": [float(value) for value in self.mean],
                "std": [float(value) for value in self.std],
            },
            "look": self.look.to_json() if self.look else None,
            "class_names": list(self.class_names),
            "validation": None
            if self.val_accuracy is None
            else {"accuracy": self.val_accuracy, "low": self.val_low, "high": self.val_high},
            "confirmed": self.confirmed.to_json() if self.confirmed else None,
            "training": {
                "study": self.study,
                "trial": self.trial,
                "recipe": dict(self.recipe),
                "precision": self.precision,
                "seed": self.seed,
                "split_seed": self.split_seed,
                "whole": self.whole,
                "epochs": self.epochs,
                "ended": self.ended,
                "genome": dict(self.genome),
            },
            "versions": dict(self.versions),
            "command": self.command,
            "created": self.created,
        }

    @classmethod
    def from_json(cls, manifest: Mapping[str, Any]) -> Self:
        """What `to_json` gave; KeyError, TypeError, AttributeError or ValueError for another."""
        training, data = manifest["training"], manifest["data"]
        validation = manifest["validation"] or {}
        tested, look = manifest.get("confirmed"), manifest.get("look")
        return cls(
            data=str(data["name"]),
            data_fingerprint=str(data["fingerprint"]),
            mean=[float(value) for value in manifest["normalisation"]["mean"]],
            std=[float(value) for value in manifest["normalisation"]["std"]],
            class_names=_texts(manifest["class_names"]),
            recipe=_plain(training["recipe"]),
            precision=str(training.get("precision", PRECISION)),
            seed=int(training["seed"]),
            split_seed=int(training.get("split_seed", 0)),
            whole=bool(training.get("whole", manifest.get("confirmed") is not None)),
            epochs=int(training["epochs"]),
            ended=str(training.get("ended", "complete")),
            genome=dict(training.get("genome") or {}),
            val_accuracy=float(validation["accuracy"]) if validation else None,
            val_low=float(validation["low"]) if validation else None,
            val_high=float(validation["high"]) if validation else None,
            study=str(training["study"]),
            trial=int(training["trial"]),
            versions={str(name): str(value) for name, value in manifest["versions"].items()},
            command=_words(manifest["command"]),
            created=str(manifest["created"]),
            look=Look.from_json(look) if look is not None else None,
            confirmed=Confirmed.from_json(tested) if tested is not None else None,
        )

    def check(self, architecture: Architecture) -> None:
        """Raise ValueError when these are not facts about this architecture, or no facts at all."""
        for name, values, length in (
            ("mean", self.mean, architecture.input_shape[2]),
            ("std", self.std, architecture.input_shape[2]),
            ("class_names", self.class_names, architecture.classes),
        ):
            if len(values) != length:
                raise ValueError(f"`{name}` must have {length} values, but has {len(values)}.")
        if not np.isfinite(self.mean).all() or not (np.asarray(self.std) > 0).all():
            raise ValueError("`mean` must be finite and `std` above 0.")
        if min(self.seed, self.split_seed, self.epochs) < 0:
            raise ValueError("`seed`, `split_seed` and `epochs` must be at least 0.")


def make_manifest(
    architecture: Architecture,
    facts: Facts,
    *,
    files: Mapping[str, bytes],
    forms: Mapping[str, Mapping[str, Any]],
) -> bytes:
    """The content of `MANIFEST`: what the other `files` are, and a hash of itself.

    `forms` says of each form which files are its own, and how it was proven. Raises ValueError when
    a number is not finite.
    """
    manifest = {
        "format": f"{FORMAT}{VERSION}",
        "notation": architecture.notation,
        "fingerprint": architecture.fingerprint,
        "cost": cost(architecture).to_json(),
        **facts.to_json(),
        "forms": {name: dict(form) for name, form in forms.items()},
        "files": {
            name: {"bytes": len(content), "sha256": sha256(content)}
            for name, content in files.items()
        },
    }
    return pretty(manifest | {"sha256": seal(manifest)})


def seal(manifest: Mapping[str, Any]) -> str:
    """The hash of all that a manifest says but its own."""
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Named numbers, words and switches; TypeError for anything deeper."""
    if not all(isinstance(value, int | float | str | None) for value in values.values()):
        raise TypeError("a recipe is of numbers and words")
    return {str(name): value for name, value in values.items()}


def _texts(names: Any) -> list[str]:
    if not isinstance(names, list):  # text would be a list of letters
        raise TypeError("names are a list")
    return [str(name) for name in names]


def _words(command: Any) -> list[str] | str:
    return command if isinstance(command, str) else [str(word) for word in command]


def pretty(value: Any) -> bytes:
    """JSON as people read it; ValueError for a number that is not finite."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
