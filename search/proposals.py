"""What a study asks first, and how much of the budget each trial may spend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pennyweight.search.genome import Genome, Value, structural

PLAIN = Genome()

# The hand-made networks of `arch.zoo`, as genomes: the decoder scales them to the budget and the
# pictures. Left out is the ReLU on the logits of the first three, which no search should try. Only
# the last is asked first: the others were its forerunners.
_BUDGET_2 = {
    "stem_width": 1.0,
    "depth1": 1,
    "squeeze1": True,
    "depth2": 2,
    "depth3": 2,
    "squeeze3": True,
    "padding": "mixed",
    "width1": 0.5,
    "width2": 0.5,
    "width3": 0.5,
    "growth": 1.0,
    "classifier": "conv",
}
HAND_MADE: dict[str, dict[str, Any]] = {
    "budget-4": {
        **_BUDGET_2,
        "norm": "after",
        "padding": "valid",
        "pool2": "none",
        "classifier": "dense",
    },
    "budget-3": {**_BUDGET_2, "norm": "after"},
    "budget-2": {**_BUDGET_2, "norm": "none", "stem_width": 0.75},
    "budget-1": {
        "stem_width": 0.0,
        "depth1": 2,
        "pool1": "none",
        "depth2": 1,
        "squeeze2": True,
        "depth3": 1,
        "padding": "valid",
        "norm": "none",
        "width1": 0.5,
        "width2": 0.5,
        "width3": 1.0,
        "growth": 1.0,
        "classifier": "conv",
    },
}

# One separable block everywhere, pools between, and a learned weight for each place at the end: the
# best of what was tried by hand under 1,000 parameters.
_SHARED: dict[str, Any] = {
    "sharing": "all",
    "width1": 1.0,
    "depth1": 0,
    "block2": "separable",
    "pool3": "max",
    "activation": "prelu",
    "head": "window",
    "learning_rate": 0.85,
    "augmented": False,
}
# One separable block a stage, wider from stage to stage: the best of them under 2,000.
_GROWING: dict[str, Any] = {
    **_SHARED,
    "sharing": "none",
    "depth2": 1,
    "block3": "separable",
    "depth3": 1,
    "width1": 0.5,
    "width2": 0.66,
    "width3": 0.79,
    "augmented": True,
    "rotation": 0.27,
    "shear": 0.27,
    "scale": 0.33,
    "shift": 0.3,
}
# The plain network with PReLU, learning faster.
_SLOPES: dict[str, Any] = {"activation": "prelu", "learning_rate": 0.74, "weight_decay": 0.5}
# Two plain convolutions where the map is large, then separable ones, deep and growing: the best of
# what was tried by hand from 2,000 parameters on.
_MIXED: dict[str, Any] = {
    "depth2": 3,
    "block2": "separable",
    "block3": "separable",
    "pool3": "max",
    "activation": "prelu",
    "head": "window",
    "width1": 0.25,
    "width2": 0.85,
    "optimiser": "muon",
    "learning_rate": 0.74,
}
# Few channels, and all of the last small map seen by the classes.
_FLAT: dict[str, Any] = {
    "depth1": 0,
    "depth2": 1,
    "depth3": 1,
    "pool3": "max",
    "head": "flatten",
    "width1": 0.5,
    "width2": 0.85,
    "width3": 0.65,
    "learning_rate": 0.85,
    "augmented": False,
}

FIRST: dict[str, Genome] = {
    "mixed": Genome(**_MIXED),
    "plain": PLAIN,
    "still": Genome(**_MIXED, augmented=False),  # not all pictures are like digits
    "slopes": Genome(**_SLOPES),
    "growing": Genome(**_GROWING),
    "shared": Genome(**_SHARED, depth2=1),
    "rounds": Genome(**_SHARED, depth2=2),  # each block twice
    "flat": Genome(**_FLAT),
    "budget-4": Genome(**HAND_MADE["budget-4"]),
}

_EVERY = 5  # trials, of which one draws the front at smaller sizes
_SMALLER = (0.5, 0.25, 0.125)


# From how many parameters on, and under how many, where that is not everywhere. Beyond, others were
# better on MNIST, and what is only good when small took up to three times as long.
_ASKED: dict[str, tuple[float, float]] = {
    "mixed": (2_000, math.inf),
    "still": (2_000, math.inf),
    "growing": (0, 2_000),
    "shared": (0, 2_000),
    "rounds": (0, 2_000),
    "flat": (0, 2_000),
}
# What pools three times is asked of pictures of at least so many pixels.
_LEAST_SIDE = {"mixed": 16, "still": 16}


@dataclass(frozen=True)
class Proposals:
    """Which trials of a study ask what: `after` and `FIRST` first, alone, then groups of `group`.

    `after` are genomes of other studies by what is to be recorded as their proposer. Of `FIRST`,
    some are asked only where so many parameters are allowed, of pictures whose shorter side is
    `side` pixels, and none where `own` ones are not wanted.
    """

    group: int = 1
    max_params: int = 0
    side: int = 0
    after: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    own: bool = True

    @cached_property
    def first(self) -> list[tuple[str, Genome]]:
        """The proposers and genomes of the first trials."""
        after = [(name, Genome(**genes)) for name, genes in self.after.items()]  # type: ignore[arg-type]
        known = [genome for _, genome in after]
        own = [
            (name, genome)
            for name, genome in FIRST.items()
            if self.own and self._asks(name) and genome not in known
        ]
        return after + own

    def _asks(self, name: str) -> bool:
        least, under = _ASKED.get(name, (0, math.inf))
        return least <= self.max_params < under and self.side >= _LEAST_SIDE.get(name, 0)

    @property
    def alone(self) -> int:
        """How many trials are asked first, each in a group by itself."""
        return len(self.first)

    def leader_of(self, number: int) -> int:
        """The trial whose structure `number` shares; itself where it leads its group.

        >>> [Proposals(4).leader_of(number) for number in range(5, 17)]
        [5, 6, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15]
        """
        first = self.alone
        return number if number < first else number - (number - first) % self.group

    def share_of(self, number: int) -> float:
        """The share of the budget that trial `number` spends: all, but for one group in five.

        >>> [Proposals().share_of(number) for number in range(6, 21)].count(1.0)
        12
        """
        first = self.alone
        place = number if number < first else first + (number - first) // self.group
        if place < first or place % _EVERY:
            return 1.0
        return _SMALLER[place // _EVERY % len(_SMALLER)]

    def proposal(
        self, number: int, leader: Mapping[str, Value] | None = None
    ) -> tuple[str, dict[str, Value]]:
        """(proposer, the genes that are set for trial `number`); the sampler chooses the others.

        `leader` is the genome of the trial that leads its group, None where it leads itself.
        """
        if number < self.alone:
            name, genome = self.first[number]
            return name, genome.to_json()
        if leader is None:
            return "sampler", {"share": self.share_of(number)}
        return "sampler", {name: leader[name] for name in structural()}
