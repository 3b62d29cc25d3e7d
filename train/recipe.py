"""How a network is trained, as a frozen value, and what is trained: the candidate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError, close_names, shown

Optimiser = Literal["adamw", "sgd", "muon"]
Schedule = Literal["one_cycle", "cosine", "step", "constant"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The training recipe.

    `optimiser`, `schedule`, `batch_size` and `accumulation` shape the compiled program, and so do
    numbers that are 0 where others are not.

    Schedules scale `peak_learning_rate`: "one_cycle" rises from a 25th of it for 30% of the
    steps, then falls along a cosine to 0; "cosine" rises for 5%; "step" multiplies by 0.12 after
    40% and 80%; "constant" stays.
    """

    optimiser: Optimiser = "adamw"  # "sgd" has Nesterov momentum 0.9; "muon": `train/muon.py`
    schedule: Schedule = "one_cycle"
    peak_learning_rate: float = 0.01
    weight_decay: float = 1e-4  # of kernels only, decoupled
    l1: float = 0.0  # what the loss grows by for each kernel's sum of |w|, and
    l2: float = 0.0  # of w^2
    batch_size: int = 64
    accumulation: int = 1  # batches whose mean gradient makes one step
    label_smoothing: float = 0.0  # share of the target spread over all classes
    averaging: float = 1.0  # epochs over which weights are averaged (time constant); 0 is off
    rotation: float = 8.0  # degrees, either way
    shear: float = 8.0  # degrees, either way
    scale: float = 0.1  # share of the size, either way
    shift: float = 0.07  # share of the side, either way

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and type(value) is not bool
            if not number or not least <= value <= most:
                raise UsageError(
                    f"`{name}` of a recipe must be from {least:g} to {most:g}, "
                    f"but got {shown(value)}."
                )
        for name in ("batch_size", "accumulation"):
            if type(value := getattr(self, name)) is not int:
                raise UsageError(f"`{name}` must be a whole number, but got {shown(value)}.")
        for name, choices in (("optimiser", Optimiser), ("schedule", Schedule)):
            value, known = getattr(self, name), get_args(choices)
            if value not in known:
                raise UsageError(
                    f"`{name}` cannot be {shown(value)}: {close_names(str(value), known)}"
                )

    @property
    def augments(self) -> bool:
        """Whether pictures are changed at all."""
        return bool(self.rotation or self.shear or self.scale or self.shift)

    @property
    def penalises(self) -> bool:
        """Whether the loss grows with the kernels."""
        return bool(self.l1 or self.l2)

    @property
    def step_size(self) -> int:
        """Pictures that one step of the optimiser takes."""
        return self.batch_size * self.accumulation

    def to_json(self) -> dict[str, Any]:
        described = dataclasses.asdict(self)
        # What is not used is not told of, as in recipes from before there was a choice.
        return {
            name: value
            for name, value in described.items()
            if name not in _RARE or value != getattr(Recipe, name)
        }

    @classmethod
    def from_json(cls, description: Any) -> Recipe:
        """The recipe of a JSON object; fields that are left out keep their defaults."""
        if not isinstance(description, dict):
            raise UsageError(f"A recipe is a JSON object, but got {shown(description)}.")
        known = get_type_hints(cls)
        if unknown := sorted(description.keys() - known):
            raise UsageError(f"A recipe has no `{unknown[0]}`: {close_names(unknown[0], known)}")
        return cls(**description)


UNCHANGED: dict[str, Any] = {"rotation": 0, "shear": 0, "scale": 0, "shift": 0}
"""The fields of a recipe that leaves pictures as they are."""

_RARE = ("l1", "l2", "accumulation")

_RANGES = {
    "peak_learning_rate": (1e-7, 10),
    "weight_decay": (0, 10),
    "l1": (0, 10),
    "l2": (0, 10),
    "batch_size": (1, 65_536),
    "accumulation": (1, 1_024),
    "label_smoothing": (0, 0.9),
    "averaging": (0, 1_000),
    "rotation": (0, 180),
    "shear": (0, 60),
    "scale": (0, 0.9),
    "shift": (0, 1),
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is trained: an architecture, a recipe, and the seed of everything random."""

    architecture: Architecture
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        # JAX keeps 32 bits of a seed: larger ones would shuffle alike.
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise UsageError(
                f"`seed` must be a whole number from 0 to {2**32 - 1}, but got {shown(self.seed)}."
            )
