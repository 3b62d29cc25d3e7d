"""What all sides of candidates.py are given: the plan, the pictures, the recipe in plain numbers.

Shapes: n pictures, h rows, w columns, c channels.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.notation import parse
from pennyweight.train.data import load_training_set, normalisation
from pennyweight.train.recipe import Recipe
from pennyweight.train.splits import Split, split

DATA, SHAPE, CLASSES = "mnist", (28, 28, 1), 10
SEED = 0  # of the draw and of the split
MAX_PARAMS = 8_000
MAX_MACS = 3_000_000
EPOCHS = 3
RECIPE = Recipe(batch_size=128, averaging=0)  # all sides score the weights as they are
VALIDATION_BATCH = 500  # it divides 6,000: one shape to compile for

Curve = list[float]  # validation accuracy after each epoch
Backend = Literal["torch", "jax"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every side does."""

    notations: tuple[str, ...]
    pictures: int | None  # to train on, None for all
    processes: int  # of Optuna with PyTorch
    backend: Backend  # of Keras

    @property
    def architectures(self) -> list[Architecture]:
        return [parse(notation, SHAPE, CLASSES) for notation in self.notations]


def cores() -> list[int]:
    """Those this process may use."""
    return sorted(os.sched_getaffinity(0))


def split_limited(labels: np.ndarray, seed: int, pictures: int | None) -> Split:
    """Our own split, with the first `pictures` of the training part alone."""
    whole = split(labels, seed)
    return Split(train=whole.train[:pictures], validation=whole.validation)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Pictures divided by their standard deviation, black 0; `black` is yet to be subtracted."""

    x_nhwc: np.ndarray  # float32
    y_n: np.ndarray  # int64
    validation_x_nhwc: np.ndarray
    validation_y_n: np.ndarray
    black: float

    @classmethod
    def of(cls, plan: Plan) -> Pictures:
        dataset = load_training_set(DATA)
        parts = split_limited(dataset.labels, SEED, plan.pictures)
        (mean,), (deviation,) = normalisation(dataset.images[parts.train])
        white, labels = np.float32(255 * deviation), dataset.labels.astype(np.int64)
        return cls(
            x_nhwc=dataset.images[parts.train] / white,
            y_n=labels[parts.train],
            validation_x_nhwc=dataset.images[parts.validation] / white,
            validation_y_n=labels[parts.validation],
            black=mean / deviation,
        )

    @property
    def steps(self) -> int:
        """Full batches of an epoch; we leave the rest out, too."""
        return len(self.y_n) // RECIPE.batch_size


def affine(ops: Any, draws_5n: Any) -> tuple[Any, ...]:
    """The 2x2 matrices and shifts of `pennyweight.train.augment`, with `ops` of a framework.

    `draws_5n` are uniform from -1 to 1.
    """
    angle = draws_5n[0] * math.radians(RECIPE.rotation)
    slope = ops.tan(draws_5n[1] * math.radians(RECIPE.shear))
    size = 1 + draws_5n[2] * RECIPE.scale
    cosine, sine = ops.cos(angle) / size, ops.sin(angle) / size
    matrix = cosine - sine * slope, -sine, sine + cosine * slope, cosine
    return *matrix, draws_5n[3] * RECIPE.shift, draws_5n[4] * RECIPE.shift


def theta(ops: Any, draws_5n: Any) -> Any:
    """PyTorch's form of the same maps: columns before rows, sides from -1 to 1."""
    a, b, c, d, down, right = affine(ops, draws_5n)
    return ops.stack([d, c, 2 * right, b, a, 2 * down], -1).reshape(-1, 2, 3)


def one_cycle(steps: int) -> np.ndarray:
    """The learning rate of each step, as `pennyweight.train.optimiser` has it."""
    rise, step = int(0.3 * steps), np.arange(steps)
    up = 1 / 25 + (1 - 1 / 25) * step / max(1, rise)
    down = (1 + np.cos(np.pi * (step - rise) / (steps - rise))) / 2
    return RECIPE.peak_learning_rate * np.where(step < rise, up, down)


def deviation_of(fan_in: int) -> float:
    """Of a kernel's first values (He et al., arXiv:1502.01852), as ours have it."""
    return math.sqrt(2 / fan_in)
