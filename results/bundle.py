"""The files of a bundle, which describe, hold and run one trained network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.results.confirmed import Confirmed
from pennyweight.results.model_source import model_source
from pennyweight.train.look import Look

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree

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
    created: float | str
    look: Look | None = None  # of the pictures that it learned from
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
            },
            "versions": dict(self.versions),
            "command": self.command,
            "created": self.created,
        }


def bundle_files(
    architecture: Architecture, params: Tree, statistics: Tree, facts: Facts
) -> dict[str, bytes]:
    """The content of each file of a bundle by its name, the manifest last.

    Raises UsageError for pictures with more channels than a picture file has, and ValueError when
    `facts` are not about this architecture or hold a number that is not finite.
    """
    _check(facts, architecture)
    weights = {
        f"{layer}.{name}": np.asarray(array, np.float32, order="C")
        for tree in (params, statistics)
        for layer, arrays in tree.items()
        for name, array in arrays.items()
    }
    files = {
        "architecture.json": _pretty(architecture.to_json()),
        "weights.safetensors": save(weights),
        "model.py": model_source(architecture).encode(),
    }
    manifest = {
        "format": f"{FORMAT}{VERSION}",
        "notation": architecture.notation,
        "fingerprint": architecture.fingerprint,
        "cost": cost(architecture).to_json(),
        **facts.to_json(),
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
    }
    return files | {MANIFEST: _pretty(manifest)}


def is_bundle(folder: Path) -> bool:
    """Whether the manifest in `folder` is a bundle's, of whatever version."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["format"].startswith(FORMAT)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _check(facts: Facts, architecture: Architecture) -> None:
    for name, values, length in (
        ("mean", facts.mean, architecture.input_shape[2]),
        ("std", facts.std, architecture.input_shape[2]),
        ("class_names", facts.class_names, architecture.classes),
    ):
        if len(values) != length:
            raise ValueError(f"`{name}` must have {length} values, but has {len(values)}.")


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
