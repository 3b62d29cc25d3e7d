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
    """A network with its source, the result its maker reports, and the training that gave it.

    The training is as close to its maker's as a recipe can say; `left_out` tells the rest.
    """

    notation: str
    source: str
    reported: str
    recipe: Mapping[str, Any] = field(default_factory=dict)  # of `train.Recipe`: the rest is usual
    epochs: int = 15
    left_out: str | None = None
    input_shape: tuple[int, int, int] = (28, 28, 1)
    classes: int = 10

    @property
    def architecture(self) -> Architecture:
        return parse(self.notation, self.input_shape, self.classes)

    @property
    def about(self) -> str:
        """The source and its result in one line."""
        return f"{self.source}; reported {self.reported}"


_UNCHANGED: Mapping[str, Any] = {"rotation": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0}
_ADAM: Mapping[str, Any] = {
    "optimiser": "adamw",
    "schedule": "cosine",
    "peak_learning_rate": 1e-3,
    "weight_decay": 0.0,
    "batch_size": 64,
    "averaging": 0.0,
    **_UNCHANGED,
}
_CONSTANT = "a constant learning rate: here it falls along a cosine"

# Of the four, only step 4's training is told.
_BUDGET: Mapping[str, Any] = {
    "optimiser": "sgd",
    "schedule": "step",
    "peak_learning_rate": 0.018,
    "weight_decay": 0.0,
    "batch_size": 64,
    "averaging": 0.0,
    **_UNCHANGED,
    "rotation": 15.0,
}
_STEPS: Mapping[str, Any] = {"peak_learning_rate": 3e-3, **_UNCHANGED, "rotation": 15.0}
_STEPS_LEFT_OUT = "its maker's training, which is not told: this is the usual one, more slowly"
_CROPS = "one picture in ten was its middle 22 pixels, scaled up"

_VGG = "c32+r c32+rb m2 o0.25 c64+r c64+rb m2 o0.25 c128+r c128+rb o0.25 c128+rb o0.25"
_VGG_RECIPE: Mapping[str, Any] = {**_ADAM, "rotation": 10.0, "scale": 0.1, "shift": 0.1}
_VGG_LEFT_OUT = "early stopping, and keeping the best epoch's weights: --patience 10 --keep best"

_M3_WIDTHS = range(32, 177, 16)

# Of the budget networks, every convolution has a bias, and BatchNorm, where there is one, comes
# after the ReLU. Of `vgg-436k` and `dilated-5340` the counts and the kinds of layer are published:
# where BatchNorm, padding and dropout stand is what gives exactly these counts.
ZOO: dict[str, Entry] = {
    "mlp-32": Entry(
        notation="F d32+r d10+",
        source="a drawing window for 8x8 digits",
        reported="96% of a fifth held out",
        recipe=_ADAM,
        epochs=200,
        left_out="200,000 epochs in batches of 1,024 at a rate of 5e-5",
        input_shape=(8, 8, 1),
    ),
    "mlp-128": Entry(
        notation="F d128+r d10+",
        source="a first notebook on MNIST, and a Kaggle entry of 10 epochs",
        reported="98% on test; 97.11% on validation",
        recipe=_ADAM,
        epochs=10,
        left_out=_CONSTANT,
    ),
    "mlp-128-128": Entry(
        notation="F d128+r d128+r d10+",
        source="a drawing window for MNIST's digits",
        reported="97% on test",
        recipe={**_ADAM, "peak_learning_rate": 5e-4},
        epochs=20,
        left_out="6,000 epochs in batches of 16,384",
    ),
    "notebook-cnn": Entry(
        notation="c10+r c10+r m2 c10+r c10+r m2 F d10+",
        source="a first notebook on MNIST, 5 epochs",
        reported="98% on test",
        recipe={**_ADAM, "peak_learning_rate": 3e-3},
        epochs=5,
        left_out=_CONSTANT,
    ),
    "budget-1": Entry(
        notation="c32v+r c64v+r c128v+r c32k1+r c64v+r m2 c128v+r c10k1+r A",
        source="MNIST in 15 epochs, step 1",
        reported="98.95% on test",
        recipe={**_STEPS, "peak_learning_rate": 1e-3},
        left_out=_STEPS_LEFT_OUT,
    ),
    "budget-2": Entry(
        notation="c128+r c8k1+r c16+r m2 c16v+r c32v+r m2 c16k1+r c16v+r c32v+r c10k1+r A",
        source="MNIST in 15 epochs, step 2",
        reported="99.35% on test",
        recipe=_STEPS,
        left_out=_STEPS_LEFT_OUT,
    ),
    "budget-3": Entry(
        notation="c128+rb c4k1+r c8+rb m2 c8v+rb c16v+rb m2 c8k1+r c8v+rb c16v+rb c10k1+r A",
        source="MNIST in 15 epochs, step 3",
        reported="99.34% on test",
        recipe=_STEPS,
        left_out=_STEPS_LEFT_OUT,
    ),
    "budget-4": Entry(
        notation="c128v+rb c8k1+r c8v+rb m2 c8v+rb c16v+rb c8k1+r c8v+rb c16v+rb A d10+",
        source="MNIST in 15 epochs, step 4",
        reported="99.46% on test",
        recipe=_BUDGET,
        left_out=_CROPS,
    ),
    "dilated-5340": Entry(
        notation="c10vbr c10vbr c15vbr m2 c10k1br c10x2br c10x2bro0.03 c10x2br A",
        source="the best published on MNIST under 8,000 parameters, 15 epochs",
        reported="99.55% on test",
        recipe={
            **_BUDGET,
            "peak_learning_rate": 0.1,
            "shear": 5.0,
        },
        left_out="a mild perspective (here a shear), and a rate that drops once, near the end",
    ),
    "vgg-436k": Entry(
        notation=f"{_VGG} M d10+",
        source="a Kaggle entry of some 20 layers, global maximum",
        reported="99.57% on test",
        recipe=_VGG_RECIPE,
        epochs=30,
        left_out=_VGG_LEFT_OUT,
    ),
    "vgg-436k-average": Entry(
        notation=f"{_VGG} A d10+",
        source="the same with the global average",
        reported="less than with the maximum",
        recipe=_VGG_RECIPE,
        epochs=30,
        left_out=_VGG_LEFT_OUT,
    ),
    "m3": Entry(
        notation=" ".join([*(f"c{width}vbr" for width in _M3_WIDTHS), "F d10b"]),
        source="ModelM3, a saved model (its network: arXiv:2008.10400)",
        reported="99% on test at epoch 100",
        recipe={**_ADAM, "rotation": 20.0, "shift": 0.2},
        left_out="100 epochs, and pixels scaled to [-1, 1]: here to mean 0 and deviation 1",
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
