"""From a genome to layers: the structure with relative widths, then layers of given widths."""

from __future__ import annotations

from dataclasses import dataclass, field

from pennyweight.arch.convolution import Conv, Depthwise
from pennyweight.arch.dense import Dense
from pennyweight.arch.layers import Layer
from pennyweight.arch.pointwise import BatchNorm, Dropout, PRelu, Relu
from pennyweight.arch.pools import AveragePool, Flatten, GlobalAverage, GlobalMax, MaxPool
from pennyweight.arch.repeat import Repeat
from pennyweight.arch.residual import Residual
from pennyweight.arch.views import Views
from pennyweight.search.genome import Genome

_HEADS: dict[str, type[Layer]] = {
    "average": GlobalAverage,
    "max": GlobalMax,
    "flatten": Flatten,
    "window": GlobalAverage,  # after a depthwise convolution as large as the map
}
_POOLS: dict[str, type[MaxPool] | type[AveragePool]] = {"max": MaxPool, "average": AveragePool}
_ACTIVATIONS: dict[str, type[Layer]] = {"relu": Relu, "prelu": PRelu}
_SMALLEST_POOLED = 4  # pixels: below that a pool would leave a single one, or none
_LARGEST_WINDOW = 7  # pixels across


def widths(genome: Genome, side: int) -> list[float]:
    """The relative width of every layer that has one, in the order in which `layers` takes them."""
    skeleton = _Skeleton(genome, side, iter(()))
    skeleton.build(2)
    return skeleton.relative


def layers(
    genome: Genome, side: int, classes: int, chosen: list[int], shrink: int = 1
) -> tuple[Layer, ...]:
    """The layers for pictures whose shorter side is `side` pixels, with `chosen` widths.

    A `shrink` above 1 averages the picture over so many pixels first, for budgets too tight for
    its size.
    """
    first = () if shrink == 1 else (AveragePool(extent=shrink),)
    skeleton = _Skeleton(genome, side // shrink, iter(chosen))
    whole = (*first, *skeleton.build(classes))
    return (Views(body=whole),) if genome.views else whole


@dataclass
class _Skeleton:
    """Builds layer by layer, following the side of the map; without widths, every one is 1."""

    genome: Genome
    side: int
    chosen: object
    relative: list[float] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)

    def build(self, classes: int) -> tuple[Layer, ...]:
        genome = self.genome
        stages = (
            (genome.depth1, genome.block1, genome.squeeze1, genome.width1),
            (genome.depth2, genome.block2, genome.squeeze2, genome.width2),
            (genome.depth3, genome.block3, genome.squeeze3, genome.width3),
        )
        pools = (genome.pool1, genome.pool2, genome.pool3)
        first = _relative(genome.width1)
        self._pads = genome.padding != "valid"
        self._unit(first * 16**genome.stem_width, kernel=genome.stem_kernel)
        if genome.sharing == "all":
            self._everywhere()
        else:
            for (depth, block, squeeze, width), pool in zip(stages, pools, strict=True):
                if depth and genome.sharing == "stage":
                    self._same(block, depth)
                elif depth:
                    self._stage(depth, block, squeeze, _relative(width))
                self._pool(pool)
                self._pads = genome.padding == "same"
        self._end(classes)
        return tuple(self.layers)

    def _everywhere(self) -> None:
        """The second stage's block and pool in every stage, with the same weights."""
        genome = self.genome
        if not genome.depth1:
            self._pool(genome.pool1)
        stages, side = 3 if genome.depth1 else 2, self.side
        self._pads = True
        start = len(self.layers)
        self._same(genome.block2, genome.depth2)
        self._pool(genome.pool2)
        body = tuple(self.layers[start:])
        if side == self.side:  # no pool between them: one block, as often as in all stages
            self.layers[start:] = []
            self._same(genome.block2, genome.depth2 * stages)
            return
        rounds = 1
        while rounds < stages and self.side >= _SMALLEST_POOLED:
            self.side //= 2
            rounds += 1
        if rounds > 1:
            self.layers[start:] = [Repeat(times=rounds, body=body)]

    def _pool(self, pool: str) -> None:
        if pool != "none" and self.side >= _SMALLEST_POOLED:
            self.layers.append(_POOLS[pool](extent=2))
            self.side //= 2

    def _same(self, block: str, times: int) -> None:
        """A block that keeps the width, `times` times with the same weights."""
        start, side = len(self.layers), self.side
        pads, self._pads = self._pads, True
        self._convolve(self._last, 3, block)
        self._pads, self.side = pads, side
        body = tuple(self.layers[start:])
        if block == "residual":
            body = (Residual(body=body),)
        self.layers[start:] = [Repeat(times=times, body=body)] if times > 1 else body

    def _stage(self, depth: int, block: str, squeeze: bool, width: float) -> None:
        if squeeze:
            self.layers += [Conv(width=self._width(width), kernel=1, bias=True), self._active]
        for number in range(depth):
            relative = width * (1 + self.genome.growth) ** number
            if block == "residual" and number:
                start, side = len(self.layers), self.side
                self._convolve(self._last, 3, "residual")
                body = tuple(self.layers[start:])
                self.layers[start:] = [Residual(body=body)]
                self.side = side
            else:
                self._unit(relative, block=block)

    def _unit(self, relative: float, *, kernel: int = 3, block: str = "conv") -> None:
        self._convolve(self._width(relative), kernel, block)

    def _convolve(self, width: int, kernel: int, block: str) -> None:
        """One convolution with its normalisation and activation."""
        norm = self.genome.norm
        bias = norm != "before"
        dilation = 2 if block == "dilated" and self.side > 4 else 1
        extent = (kernel - 1) * dilation + 1
        valid = not self._pads and block != "residual" and self.side >= extent
        window = {"kernel": kernel, "dilation": dilation, "valid": valid}
        if valid:
            self.side -= extent - 1
        if block == "separable":
            self.layers += [Depthwise(**window), Conv(width=width, kernel=1, bias=bias)]
        else:
            self.layers.append(Conv(width=width, bias=bias, **window))
        act = self._active
        after = {"before": [BatchNorm(), act], "after": [act, BatchNorm()], "none": [act]}
        self.layers += after[norm]
        self._last = width

    @property
    def _active(self) -> Layer:
        return _ACTIVATIONS[self.genome.activation]()

    def _end(self, classes: int) -> None:
        genome = self.genome
        if genome.head == "window" and 1 < self.side <= _LARGEST_WINDOW:
            self.layers += [Depthwise(kernel=self.side, valid=True), self._active]
        if rate := float(f"{0.1 * genome.dropout:.2g}"):
            self.layers.append(Dropout(rate=rate))
        if genome.classifier == "conv" and genome.head != "flatten":
            self.layers += [Conv(width=classes, kernel=1, bias=True), _HEADS[genome.head]()]
        else:
            self.layers += [_HEADS[genome.head](), Dense(width=classes, bias=True)]

    def _width(self, relative: float) -> int:
        self.relative.append(relative)
        return next(self.chosen, 1)  # type: ignore[call-overload]


def _relative(unit: float) -> float:
    return 2 ** (2 * unit - 1)
