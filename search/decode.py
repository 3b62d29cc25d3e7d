"""The decoder: every genome becomes an architecture within the budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from operator import ge, le

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost, trainable
from pennyweight.arch.errors import UsageError
from pennyweight.arch.layers import Layer
from pennyweight.search import skeleton
from pennyweight.search.genome import Genome

ENOUGH = 0.98  # of the parameters: closer is not worth trying pairs of widths for
_WIDEST = 4_096  # channels

Widths = list[int]


def decode(
    genome: Genome, budget: Budget, input_shape: tuple[int, int, int], classes: int
) -> Architecture:
    """The architecture of `genome`, as wide as `genome.share` of `budget` allows.

    It fits every limit of the budget, always: where the genome's structure is too large even at
    width 1, simpler ones take its place. Raises UsageError when not even the smallest network of
    the space fits.
    """
    shared = _shared(genome.share, budget)
    for limit in (shared, budget):
        for simpler, shrink in _simpler(genome, min(input_shape[:2])):
            space = _Widths(simpler, shrink, limit, input_shape, classes)
            if space.fits([1] * space.slots):
                return space.build(_narrowed(simpler, space.widest()))
    raise _too_tight(budget, input_shape, classes)


def smallest(input_shape: tuple[int, int, int], classes: int) -> Architecture:
    """The smallest network of the space."""
    *_, (genome, shrink) = _simpler(Genome(), min(input_shape[:2]))
    space = _Widths(genome, shrink, Budget(), input_shape, classes)
    return space.build([1] * space.slots)


def smallest_within(
    budget: Budget, input_shape: tuple[int, int, int], classes: int
) -> Architecture:
    """The smallest network of the space; UsageError says which limit it is over."""
    architecture = smallest(input_shape, classes)
    if not budget.fits(cost(architecture)):
        raise _too_tight(budget, input_shape, classes)
    return architecture


class _Widths:
    """The widths of one structure under one budget. Every cost grows with every width."""

    def __init__(
        self,
        genome: Genome,
        shrink: int,
        budget: Budget,
        input_shape: tuple[int, int, int],
        classes: int,
    ):
        side = min(input_shape[:2])
        self._budget = budget
        self._relative = skeleton.widths(genome, side // shrink)
        self.slots = len(self._relative)
        self._known: dict[tuple[int, ...], int] = {}  # parameters
        self._fitting: list[Widths] = []
        self._over: list[Widths] = []

        def layers(widths: Widths) -> tuple[Layer, ...]:
            return skeleton.layers(genome, side, classes, widths, shrink)

        self.build = lambda widths: Architecture(input_shape, classes, layers(widths))
        self._count = lambda widths: trainable(layers(widths), input_shape)

    def fits(self, widths: Widths) -> bool:
        """Whether the network with these widths is within every limit.

        Where narrower ones are over a limit or wider ones within all, nothing is computed.
        """
        if any(all(map(le, widths, wider)) for wider in self._fitting):
            return True
        if any(all(map(ge, widths, narrower)) for narrower in self._over):
            return False
        fits = self._params(widths) <= self._budget.max_params
        if fits and not self._budget.of_params_alone:
            fits = self._budget.fits(cost(self.build(widths)))
        (self._fitting if fits else self._over).append(widths)
        return fits

    def widest(self) -> Widths:
        """Widths near their ratios that spend the budget."""
        return self._paired(self._filled([1] * self.slots))

    def _filled(self, widths: Widths) -> Widths:
        """All scaled together, then those that no limit stops yet, until there is none."""
        free = self._free(widths, range(self.slots))
        while free:
            scaled = self._scaled(widths, free)
            if scaled == widths:  # not all of them any more, but one
                scaled = max((_moved(widths, up) for up in free), key=self._params)
            widths = scaled
            free = self._free(widths, free)
        return widths

    def _free(self, widths: Widths, slots: Iterable[int]) -> list[int]:
        """Which of `slots` can be one wider by itself."""
        return [up for up in slots if widths[up] < _WIDEST and self.fits(_moved(widths, up))]

    def _scaled(self, widths: Widths, free: list[int]) -> Widths:
        """The `free` widths in their ratios, as wide as fits, the others as they are."""

        def at(scale: float) -> Widths:
            scaled = list(widths)
            for slot in free:
                scaled[slot] = max(widths[slot], min(_WIDEST, int(scale * self._relative[slot])))
            return scaled

        low, high = 1e-3, _WIDEST / min(self._relative)
        while high / low > 1.002:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self.fits(at(middle)) else (low, middle)
        return at(low)

    def _paired(self, widths: Widths) -> Widths:
        """One width up and another down while that spends more, where parameters stop them all."""
        limit, slots = self._budget.max_params, range(self.slots)
        if any(self._params(_moved(widths, up)) <= limit for up in slots):
            return widths
        while self._params(widths) < ENOUGH * limit:
            pairs = (_moved(widths, up, down) for up in slots for down in slots if up != down)
            fitting = [pair for pair in pairs if min(pair) >= 1 and self.fits(pair)]
            better = self._filled(max(fitting, key=self._params, default=widths))
            if self._params(better) <= self._params(widths):
                break
            widths = better
        return widths

    def _params(self, widths: Widths) -> int:
        key = tuple(widths)
        if key not in self._known:
            self._known[key] = self._count(widths)
        return self._known[key]


def _narrowed(genome: Genome, widths: Widths) -> Widths:
    """`widths`, or where weights are shared a part of the one there is: from 3/4 to all of it.

    Without it all genomes of such a structure would be one network.
    """
    if genome.sharing == "none":
        return widths
    return [max(1, int(width * (0.75 + 0.25 * genome.width1))) for width in widths]


def _moved(widths: Widths, up: int, down: int | None = None) -> Widths:
    moved = list(widths)
    moved[up] += 1
    if down is not None:
        moved[down] -= 1
    return moved


def _shared(share: float, budget: Budget) -> Budget:
    """`budget` with every limit on cost multiplied by `share`."""

    def part(limit: int | None) -> int | None:
        return None if limit is None else max(1, int(limit * share))

    return dataclasses.replace(
        budget,
        max_params=max(1, int(budget.max_params * share)),
        max_macs=part(budget.max_macs),
        max_activation_bytes=part(budget.max_activation_bytes),
    )


def _simpler(genome: Genome, side: int) -> Iterator[tuple[Genome, int]]:
    """(genome, shrink), from the genome itself to the smallest structure of the space."""
    yield genome, 1
    steps: tuple[dict[str, object], ...] = (
        {"views": False},
        {"head": genome.head if genome.head == "max" else "average"},
        {"sharing": "none"},
        {"depth1": min(1, genome.depth1), "depth2": 1, "depth3": min(1, genome.depth3)},
        {"squeeze1": False, "squeeze2": False, "squeeze3": False},
        {"depth3": 0, "depth1": 0},
        # At a width of 1, a separable convolution or a BatchNorm would cost more.
        {"block2": "conv", "stem_kernel": 3, "norm": "none", "activation": "relu"},
        {"classifier": "dense"},
        {"padding": "valid"},
    )
    for step in steps:
        genome = dataclasses.replace(genome, **step)
        yield genome, 1
    shrink = 2
    while side // shrink >= 2:
        yield genome, shrink
        shrink *= 2


def _too_tight(budget: Budget, input_shape: tuple[int, int, int], classes: int) -> UsageError:
    least = cost(smallest(input_shape, classes))
    flag, limit, value = next(iter(budget.excesses(least)))
    shape = "x".join(map(str, input_shape))
    return UsageError(
        f"{flag} must be at least {value} for {shape} images and {classes} classes "
        f"(the smallest network in the space), but got {limit}."
    )
