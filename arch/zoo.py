"""Networks made by hand that the search starts from, and is to beat: `zoo:NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError, close_names
from pennyweight.arch.notation import parse


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A network with its source, the result its maker reports, and the training that gave it."""

    notation: str
    about: str
    recipe: Mapping[str, Any] = field(default_factory=dict)  # of `train.Recipe`: the rest is usual
    input_shape: tuple[int, int, int] = (28, 28, 1)
    classes: int = 10

    @property
    def architecture(self) -> Architecture:
        return parse(self.notation, self.input_shape, self.classes)


# Step 4's. Left out is that one picture in ten was its middle 22 pixels, scaled up.
_BUDGET: Mapping[str, Any] = {
    "optimiser": "sgd",
    "schedule": "step",
    "peak_learning_rate": 0.018,
    "weight_decay": 0.0,
    "batch_size": 64,
    "averaging": 0.0,
    "rotation": 15.0,
    "shear": 0.0,
    "scale": 0.0,
    "shift": 0.0,
}

# Four steps towards 99.4% on MNIST under 8,000 parameters in 15 epochs. Every convolution has a
# bias, and BatchNorm, where there is one, comes after the ReLU.
ZOO: dict[str, Entry] = {
    "budget-1": Entry(
        notation="c32v+r c64v+r c128v+r c32k1+r c64v+r m2 c128v+r c10k1+r A",
        about="MNIST in 15 epochs, step 1; reported 98.95% on test",
        recipe=_BUDGET,
    ),
    "budget-2": Entry(
        notation="c128+r c8k1+r c16+r m2 c16v+r c32v+r m2 c16k1+r c16v+r c32v+r c10k1+r A",
        about="MNIST in 15 epochs, step 2; reported 99.35% on test",
        recipe=_BUDGET,
    ),
    "budget-3": Entry(
        notation="c128+rb c4k1+r c8+rb m2 c8v+rb c16v+rb m2 c8k1+r c8v+rb c16v+rb c10k1+r A",
        about="MNIST in 15 epochs, step 3; reported 99.34% on test",
        recipe=_BUDGET,
    ),
    "budget-4": Entry(
        notation="c128v+rb c8k1+r c8v+rb m2 c8v+rb c16v+rb c8k1+r c8v+rb c16v+rb A d10+",
        about="MNIST in 15 epochs, step 4; reported 99.46% on test",
        recipe=_BUDGET,
    ),
}


def entry(name: str) -> Entry:
    """What the zoo has under `name`; UsageError suggests close names."""
    if name not in ZOO:
        raise UsageError(f"The zoo has no network `{name}`: {close_names(name, ZOO)}")
    return ZOO[name]


def zoo(name: str) -> Architecture:
    """The network called `name`; UsageError suggests close names."""
    return entry(name).architecture
