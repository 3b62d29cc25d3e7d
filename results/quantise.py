"""From a deployed network to 8-bit integers, with some training pictures to measure on.

It goes step by step, with what the network makes of the pictures in float and in integers side by
side. Each channel of a convolution or a product is shifted by the mean difference between the two
(bias correction; Nagel et al., arXiv:1906.04721), which on MNIST brought the logits of the best
network under 8,000 parameters from 1.7% to 1.2% of their deviation away. A value's levels range
over what was seen, less what is cut off where the squared error gains by it; for the networks of
`results/records` that is as good as the whole range, to a tenth, and one far value spoils nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pennyweight.arch.deployed import Deployed, Step, applied, computed
from pennyweight.arch.operations import Affine, Convolve, Multiply, Pointwise
from pennyweight.results.quantised import (
    HIGHEST,
    LOWEST,
    Levels,
    Quantised,
    keeps_levels,
)

PICTURES = 512  # to measure on; twice as many told nothing new
_SAMPLE = 100_000  # values of which a range is chosen
_CUTS = np.linspace(1, 0.3, 36)  # of the whole range


def quantise(deployed: Deployed, images_nhwc: np.ndarray) -> Quantised:
    """`deployed` in 8-bit integers, measured on uint8 training pictures (n, h, w, c).

    Of more than `PICTURES` so many are drawn, always the same: a few hundred tell enough.
    """
    if not len(images_nhwc):
        raise ValueError("Quantisation needs at least one picture to measure on.")
    if len(images_nhwc) > PICTURES:
        drawn = np.random.default_rng(0).choice(len(images_nhwc), PICTURES, replace=False)
        images_nhwc = images_nhwc[np.sort(drawn)]
    kernels = _Kernels()
    made = Quantised(
        input_shape=deployed.input_shape,
        classes=deployed.classes,
        mean=deployed.mean,
        std=deployed.std,
        steps=(),
        kernel_scales=(),
        levels=(_picture_levels(deployed),),
    )
    last = deployed.last_uses()
    exact = {0: deployed.normalised(images_nhwc)}
    rounded = {0: made.picture(images_nhwc)}
    for number, step in enumerate(deployed.steps):
        float_step, step, scale = step, *kernels.quantised(step)
        made = replace(made, steps=(*made.steps, step), kernel_scales=(*made.kernel_scales, scale))
        x = computed(float_step, [exact[value] for value in step.inputs])
        y = made.summed(number, [rounded[value] for value in step.inputs])
        if scale is not None:
            correction = (x - y).mean(axis=tuple(range(x.ndim - 1)), dtype=np.float64)
            step = replace(step, pointwise=_shifted(step.pointwise, correction))
            made = replace(made, steps=(*made.steps[:-1], step))
        for function in float_step.pointwise:
            x = applied(function, x)
        if number + 1 < len(deployed.steps):
            levels = made.levels[step.inputs[0]] if keeps_levels(step) else levels_of(x)
            made = replace(made, levels=(*made.levels, levels))
            exact[number + 1], rounded[number + 1] = x, made.finished(number, y)
        for value in step.inputs:
            if last[value] == number:
                exact.pop(value, None)
                rounded.pop(value, None)
    return made


def levels_of(x: np.ndarray) -> Levels:
    """Levels for values such as `x`, 0 among them, with the least squared error."""
    x = x.ravel()
    if (sample := x).size > _SAMPLE:  # drawn: every n-th value would be of a few channels only
        sample = x[np.random.default_rng(0).integers(x.size, size=_SAMPLE)]
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    tried = [_levels(low * cut, high * cut) for cut in _CUTS]
    errors = [np.square(_back(levels, levels.of(sample)) - sample).mean() for levels in tried]
    return tried[int(np.argmin(errors))]


def _back(levels: Levels, of: np.ndarray) -> np.ndarray:
    return (of.astype(np.float32) - levels.zero_point) * np.float32(levels.scale)


def _levels(low: float, high: float) -> Levels:
    """From `low` <= 0 to `high` >= 0."""
    scale = float(np.float32((high - low) / (HIGHEST - LOWEST))) or 1.0
    return Levels(scale, int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST)))


def _picture_levels(deployed: Deployed) -> Levels:
    """From black to white in every channel; with one channel, a level a byte."""
    mean, std = np.asarray(deployed.mean), np.asarray(deployed.std)
    return _levels(min(0.0, (-mean / std).min()), max(0.0, ((1 - mean) / std).max()))


class _Kernels:
    """Kernels of int8, of those that several steps share one."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def quantised(self, step: Step) -> tuple[Step, np.ndarray | None]:
        """`step` with its kernel in int8, and the scale for each output."""
        operation = step.operation
        if not isinstance(operation, Convolve | Multiply):
            return step, None
        kernel = operation.kernel
        if id(kernel) not in self._known:
            most = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
            scale = np.where(most > 0, most / HIGHEST, 1).astype(np.float32)
            levels = np.clip(np.rint(kernel / scale), -HIGHEST, HIGHEST).astype(np.int8)
            self._known[id(kernel)] = levels, scale
        levels, scale = self._known[id(kernel)]
        return replace(step, operation=replace(operation, kernel=levels)), scale


def _shifted(functions: tuple[Pointwise, ...], by: np.ndarray) -> tuple[Pointwise, ...]:
    """`functions` of x + by."""
    first = functions[0] if functions else None
    if not isinstance(first, Affine):
        return Affine(offset=by.astype(np.float32)), *functions
    offset = by if first.scale is None else by * first.scale
    if first.offset is not None:
        offset = offset + first.offset
    return replace(first, offset=offset.astype(np.float32)), *functions[1:]
