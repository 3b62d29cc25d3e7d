"""What a search would do: the space under a budget, before anything is trained."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import Cost, cost, training_macs
from pennyweight.search.decode import decode, smallest_within
from pennyweight.search.genome import random_genome
from pennyweight.search.grouping import COMPILE_S, training_s

if TYPE_CHECKING:
    from pennyweight.search.launch import Plan

_EXAMPLES = 20  # random genomes that are decoded


@dataclass(frozen=True)
class Preview:
    """The smallest and largest network, examples, and roughly how long the search takes."""

    smallest: Architecture
    largest: Architecture
    examples: tuple[Architecture, ...]
    trials: int
    workers: int
    expected_s: float | None  # None on an accelerator: no clock of ours has seen it

    def to_json(self) -> dict[str, Any]:
        return {
            "smallest": _described(self.smallest),
            "largest": _described(self.largest),
            "examples": [_described(example) for example in self.examples],
            "trials": self.trials,
            "workers": self.workers,
            "expected_s": None if self.expected_s is None else round(self.expected_s),
        }

    def to_text(self) -> str:
        named = [("smallest", self.smallest), ("largest", self.largest)]
        named += [("example", example) for example in self.examples]
        return "\n".join(
            [
                *(_line(name, architecture) for name, architecture in named),
                f"{_counted(self.trials, 'trial')} on {_counted(self.workers, 'worker')}"
                + ("" if self.expected_s is None else f": roughly {_duration(self.expected_s)}"),
            ]
        )


def preview(plan: Plan, workers: int | None) -> Preview:
    """What `plan` would search; nothing is written."""
    info, settings = plan.info, plan.settings
    shape, classes = info.input_shape, info.classes
    draw = random.Random(settings.seed)
    genomes = [random_genome(draw, ranges=settings.ranges) for _ in range(_EXAMPLES)]
    decoded = [decode(genome, settings.budget, shape, classes) for genome in genomes]
    workers = plan.engine.count(workers, plan.device)
    epochs = _expected_epochs(settings.rungs)
    macs = sum(map(training_macs, decoded)) / len(decoded)
    each_s = COMPILE_S / settings.group + training_s(macs, info.train_examples, epochs)
    by_size = sorted(decoded, key=lambda a: cost(a).params)
    return Preview(
        smallest=smallest_within(settings.budget, shape, classes),
        largest=by_size[-1],
        examples=tuple(decoded[:3]),
        trials=plan.trials,
        workers=workers,
        expected_s=None if plan.device.accelerates else plan.trials * each_s / workers,
    )


def _expected_epochs(rungs: tuple[int, ...]) -> float:
    """Epochs a trial takes on average; a little over a third go on from each rung."""
    epochs, going_on, start = 0.0, 1.0, 0
    for rung in rungs:
        epochs, going_on, start = epochs + going_on * (rung - start), going_on * 0.4, rung
    return epochs


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Two digits or so: 90 s, 45 minutes, 4 hours, 1,940 days.

    >>> _duration(5_400), _duration(90)
    ('90 minutes', '90 s')
    """
    for name, unit in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"


def _described(architecture: Architecture) -> dict[str, Any]:
    return {"notation": architecture.notation, **cost(architecture).to_json()}


def _line(name: str, architecture: Architecture) -> str:
    costs: Cost = cost(architecture)
    return f"{name:9} {costs.params:8,} parameters {costs.macs:12,} MACs  {architecture.notation}"
