"""All that is random in an epoch, drawn by NumPy: nothing is compiled for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pennyweight.train.augment import Affine, draw_affine
from pennyweight.train.recipe import Recipe


class Plan(NamedTuple):
    """By step: which pictures, how they are changed, what drops; a whole epoch's, or one step's."""

    order_sb: np.ndarray  # indices of pictures
    affine_sb: Affine | None  # None where pictures stay as they are
    dropout_keys_s2: np.ndarray  # uint32: the data of a threefry key each


def plan_epoch(n: int, recipe: Recipe, seed: int, epoch: int) -> Plan:
    """The plan of an epoch over `n` pictures, at least one step; it follows from the arguments.

    Pictures beyond the last full step sit this epoch out. One of several accumulated batches has so
    many places in the plan.
    """
    random = np.random.default_rng([seed, epoch])
    b = recipe.batch_size
    steps = n // recipe.step_size * recipe.accumulation
    order = random.permutation(n)[: steps * b].reshape(steps, b).astype(np.int32)
    keys = random.integers(0, 2**32, (steps, 2), np.uint32)
    affine = draw_affine(random, (steps, b), recipe) if recipe.augments else None
    return Plan(order, affine, keys)
