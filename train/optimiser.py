"""The recipe's optimiser and learning-rate schedule, built from Optax."""

from __future__ import annotations

import flax.struct
import jax
import numpy as np
import optax

from pennyweight.train.muon import NO_MATRICES, muon
from pennyweight.train.recipe import Optimiser, Recipe, Schedule


@flax.struct.dataclass
class Hypers:
    """What may differ between candidates of one compiled program; scalars, traced."""

    peak_learning_rate: jax.Array
    weight_decay: jax.Array
    l1: jax.Array
    l2: jax.Array
    label_smoothing: jax.Array
    average_decay: jax.Array  # of the weights' moving average, for one step


def hypers(recipe: Recipe, steps_per_epoch: int) -> Hypers:
    """The traced part of `recipe`, with the average's decay in each step."""
    averaged_steps = recipe.averaging * steps_per_epoch
    values = Hypers(
        peak_learning_rate=recipe.peak_learning_rate,  # type: ignore[arg-type]
        weight_decay=recipe.weight_decay,  # type: ignore[arg-type]
        l1=recipe.l1,  # type: ignore[arg-type]
        l2=recipe.l2,  # type: ignore[arg-type]
        label_smoothing=recipe.label_smoothing,  # type: ignore[arg-type]
        average_decay=np.exp(-1 / averaged_steps) if averaged_steps else 0.0,  # type: ignore[arg-type]
    )
    return jax.tree.map(np.float32, values)


def optimiser(
    name: Optimiser,
    schedule: Schedule,
    total_steps: int,
    hypers: Hypers,
    decayed: np.ndarray | float,
    matrices_mrc: np.ndarray = NO_MATRICES,
) -> optax.GradientTransformation:
    """The optimiser of a weight vector over `total_steps` steps; `hypers` may be traced.

    `decayed` is 1 where a weight decays and 0 where it does not. "muon" has a way of its own with
    those in `matrices_mrc` (`muon.matrices_of`).
    """
    shape = _shape(schedule, total_steps)
    chain = {
        "adamw": optax.scale_by_adam(),
        "sgd": optax.trace(decay=0.9, nesterov=True),
        "muon": muon(matrices_mrc),
    }
    return optax.chain(
        chain[name],
        optax.add_decayed_weights(hypers.weight_decay * decayed),
        optax.scale_by_learning_rate(lambda count: hypers.peak_learning_rate * shape(count)),
    )


def _shape(schedule: Schedule, total_steps: int) -> optax.Schedule:
    """The learning rate as a share of its peak, by step."""
    if schedule == "constant":
        return optax.constant_schedule(1.0)
    if schedule == "step":
        # Rounded up, so that even a run of one step begins at the peak.
        drops = {-(-part * total_steps // 5): 0.12 for part in (2, 4)}
        return optax.piecewise_constant_schedule(1.0, drops)
    rise = int((0.3 if schedule == "one_cycle" else 0.05) * total_steps)
    return optax.warmup_cosine_decay_schedule(
        init_value=1 / 25, peak_value=1.0, warmup_steps=rise, decay_steps=max(total_steps, rise + 1)
    )
