"""The genome: what a sampler chooses, under fixed names, for an architecture and its recipe."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pennyweight.arch.errors import UsageError, shown
from pennyweight.train.recipe import Optimiser, Recipe, Schedule

Value = float | int | str | bool
_EVERYWHERE: Mapping[str, Sequence[Any]] = {}
SIGNIFICANT = 3  # digits of a recipe's numbers: finer differences would only hide duplicates


def _unit(default: float, *, structural: bool = False) -> Any:
    """A gene in [0, 1]."""
    metadata = {"choices": None, "structural": structural}
    return dataclasses.field(default=default, metadata=metadata)


def _choice(*choices: Value) -> Any:
    """A gene that is one of `choices`; the first is the default. It decides what is compiled."""
    metadata = {"choices": choices, "structural": True}
    return dataclasses.field(default=choices[0], metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Genome:
    """One point of the space. Defaults are the plain network `c8 c8 P c12 c12 P c16 c16` and its
    recipe.

    The network is a stem convolution and three stages with a pool between them, then a head.
    Widths are relative: the decoder scales them until the budget is spent.
    """

    # How much of the budget to spend. Set by the study, not the sampler: see `proposals.share_of`.
    share: float = _choice(1.0, 0.5, 0.25, 0.125)

    stem_kernel: int = _choice(3, 5)
    stem_width: float = _unit(0.0)  # 1 to 16 times the first stage's
    depth1: int = _choice(1, 0, 2, 3)  # convolutions of the first stage, beyond the stem
    depth2: int = _choice(2, 1, 3)
    depth3: int = _choice(2, 0, 1, 3)
    block1: str = _choice("conv", "separable", "dilated", "residual")
    block2: str = _choice("conv", "separable", "dilated", "residual")
    block3: str = _choice("conv", "separable", "dilated", "residual")
    squeeze1: bool = _choice(False, True)  # a 1x1 convolution opens the stage
    squeeze2: bool = _choice(False, True)
    squeeze3: bool = _choice(False, True)
    width1: float = _unit(0.5)  # half to twice; with `sharing`, 3/4 to all of what fits
    width2: float = _unit(0.8)
    width3: float = _unit(1.0)
    growth: float = _unit(0.0)  # of the width from layer to layer of a stage: 1 to 2 times
    pool1: str = _choice("max", "none", "average")
    pool2: str = _choice("max", "none", "average")
    pool3: str = _choice("none", "max", "average")
    # Which blocks have the same weights, and all the stem's width: those of a stage, or all.
    sharing: str = _choice("none", "stage", "all")
    padding: str = _choice("same", "valid", "mixed")  # mixed: same in the first stage alone
    norm: str = _choice("before", "after", "none")  # BatchNorm, before or after activation
    activation: str = _choice("relu", "prelu")
    head: str = _choice("average", "max", "flatten", "window")  # a learned weight for each place
    classifier: str = _choice("dense", "conv")  # a dense layer after the head, or a 1x1 before it
    dropout: float = _unit(0.0, structural=True)  # 0 to 0.1, before the head
    views: bool = _choice(False, True)  # the mean over the picture and four that are moved

    optimiser: str = _choice("adamw", "sgd", "muon")
    schedule: str = _choice("one_cycle", "cosine", "step")
    batch_size: int = _choice(64, 32, 128)
    learning_rate: float = _unit(0.65)  # 0.02, but 0.2 with SGD
    weight_decay: float = _unit(0.4)
    label_smoothing: float = _unit(0.0)
    averaging: float = _unit(0.5)
    augmented: bool = _choice(True, False)  # by the four strengths that follow
    rotation: float = _unit(0.5)
    shear: float = _unit(0.5)
    scale: float = _unit(0.6)
    shift: float = _unit(0.6)

    @property
    def recipe(self) -> Recipe:
        """The training recipe, its numbers rounded to 3 significant digits."""
        sgd = self.optimiser == "sgd"
        lowest, highest = (1e-2, 1.0) if sgd else (1e-3, 1e-1)
        part = 1 if self.augmented else 0
        return Recipe(
            optimiser=cast(Optimiser, self.optimiser),
            schedule=cast(Schedule, self.schedule),
            batch_size=self.batch_size,
            peak_learning_rate=_rounded(_log(self.learning_rate, lowest, highest)),
            weight_decay=_rounded(_log(self.weight_decay, 1e-5, 1e-1)),
            label_smoothing=_rounded(0.1 * self.label_smoothing),
            averaging=_rounded(_log(self.averaging, 0.1, 3)),
            rotation=_rounded(15 * part * self.rotation),
            shear=_rounded(15 * part * self.shear),
            scale=_rounded(0.15 * part * self.scale),
            shift=_rounded(0.1 * part * self.shift),
        )

    def to_json(self) -> dict[str, Value]:
        return dataclasses.asdict(self)


def choices() -> Mapping[str, tuple[Value, ...] | None]:
    """The genes in order: the choices of a categorical one, None for one in [0, 1]."""
    return {field.name: field.metadata["choices"] for field in dataclasses.fields(Genome)}


def check_genome(name: str, genome: Mapping[str, Any]) -> None:
    """Raise UsageError unless the genome of `name`, as a file tells it, is a point of the space."""
    known = choices()
    for gene, value in genome.items():
        if gene not in known or not _allowed(value, known[gene]):
            raise UsageError(
                f"The genome of {name} is no point of this version's space, at {shown(gene)} "
                f"{shown(value)}: leave {name} out."
            )


def check_ranges(ranges: Mapping[str, Any]) -> None:
    """Raise UsageError unless these are what is left of genes: (lowest, highest), or choices."""
    known = choices()
    for gene, left in ranges.items():
        right = gene in known and isinstance(left, list | tuple) and bool(left)
        right = right and all(_allowed(value, known[gene]) for value in left)
        if not right or (known[gene] is None and (len(left) != 2 or left[0] > left[1])):
            raise UsageError(
                f"The study's settings must say what is left of each gene, but of {shown(gene)} "
                f"they say {shown(left)}: restore the study from a copy, or begin another --study."
            )


def _allowed(value: Any, options: tuple[Value, ...] | None) -> bool:
    if options is not None:
        return isinstance(value, int | float | str) and value in options
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= 1


def random_genome(
    draw: random.Random, share: Value = 1.0, ranges: Mapping[str, Sequence[Any]] = _EVERYWHERE
) -> Genome:
    """A point of the space, uniform in every gene but the `share`, which is set.

    Of a gene with a range, it is (lowest, highest), or the choices that are left.
    """
    genes: dict[str, Any] = {
        name: draw.uniform(*ranges.get(name, (0.0, 1.0)))
        if options is None
        else draw.choice(ranges.get(name, options))
        for name, options in choices().items()
    }
    genes["share"] = share
    return Genome(**genes)


def structural() -> tuple[str, ...]:
    """The genes that decide what is compiled: equal ones, and networks differ in widths alone."""
    return tuple(f.name for f in dataclasses.fields(Genome) if f.metadata["structural"])


def _log(unit: float, lowest: float, highest: float) -> float:
    return lowest * (highest / lowest) ** unit


def _rounded(number: float) -> float:
    return float(f"{number:.{SIGNIFICANT}g}")
