"""From a deployed network to 8-bit integers, with some training pictures to measure on.

It runs the pictures through the network in float, and then, step by step, in integers. Each channel
of a convolution or a product is shifted by the mean difference between the two
(bias correction; Nagel et al., arXiv:1906.04721), which on MNIST brought the logits of the best
network under 8,000 parameters from 1.7% to 1.2% of their deviation away. A value's levels range
over what was seen, less what is cut off where the squared error gains by it; for the networks of
`results/records` that is as good as the whole range, to a tenth, and one far value spoils nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pennyweight.arch.deployed import Deployed, Step, applied, computed
from pennyweight.arch.errors import UsageError
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
_LARGEST = 2**30  # of sums of products, and of offsets: together they are still an int32
_NOTHING = 1e-30  # a smaller scale would vanish in float32 products


def quantise(deployed: Deployed, images_nhwc: np.ndarray) -> Quantised:
    """`deployed` in 8-bit integers, measured on uint8 training pictures (n, h, w, c).

    Of more than `PICTURES` so many are drawn, always the same: a few hundred tell enough. Raises
    UsageError for layers so wide that int32 can't hold the worst of their sums.
    """
    if not len(images_nhwc):
        raise ValueError("Quantisation needs at least one picture to measure on.")
    if len(images_nhwc) > PICTURES:
        drawn = np.random.default_rng(0).choice(len(images_nhwc), PICTURES, replace=False)
        images_nhwc = images_nhwc[np.sort(drawn)]
    means, levels = _measured(deployed, images_nhwc)
    steps, scales = _with_levels(deployed, levels)
    made = Quantised(
        input_shape=deployed.input_shape,
        classes=deployed.classes,
        mean=deployed.mean,
        std=deployed.std,
        steps=steps,
        kernel_scales=scales,
        levels=levels,
    )
    return _corrected(made, means, images_nhwc)


def _measured(
    deployed: Deployed, images_nhwc: np.ndarray
) -> tuple[list[np.ndarray], tuple[Levels, ...]]:
    """In float: the mean of what each operation makes, by channel, and levels for each value."""
    means, levels = [], [_picture_levels(deployed)]
    values = {0: deployed.normalised(images_nhwc)}
    last = deployed.last_uses()
    for number, step in enumerate(deployed.steps):
        x = computed(step, [values[value] for value in step.inputs])
        means.append(_mean(x))
        for function in step.pointwise:
            x = applied(function, x)
        levels.append(levels[step.inputs[0]] if keeps_levels(step) else levels_of(x))
        values = {value: it for value, it in values.items() if last[value] > number}
        values[number + 1] = x
    return means, tuple(levels[:-1])  # the logits have none


def _corrected(made: Quantised, means: Sequence[np.ndarray], images_nhwc: np.ndarray) -> Quantised:
    """`made` with its products shifted to the `means`, each step on what those before it make."""
    values = {0: made.picture(images_nhwc)}
    last = made.deployed.last_uses()
    for number, step in enumerate(made.steps):
        x = made.summed(number, [values[value] for value in step.inputs])
        if made.kernel_scales[number] is not None:
            step = replace(step, pointwise=_shifted(step.pointwise, means[number] - _mean(x)))
            made = replace(made, steps=(*made.steps[:number], step, *made.steps[number + 1 :]))
        values = {value: it for value, it in values.items() if last[value] > number}
        values[number + 1] = made.finished(number, x)
    return made


def _mean(x: np.ndarray) -> np.ndarray:
    """By channel."""
    return x.mean(axis=tuple(range(x.ndim - 1)), dtype=np.float64)


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


def _with_levels(
    deployed: Deployed, levels: Sequence[Levels]
) -> tuple[tuple[Step, ...], tuple[np.ndarray | None, ...]]:
    """The steps with kernels in int8, and their scales; what several steps share stays one."""
    kernels: dict[int, np.ndarray] = {}
    least: dict[int, np.ndarray] = {}
    for step in deployed.steps:
        if isinstance(step.operation, Convolve | Multiply):
            key = id(step.operation.kernel)
            kernels[key] = step.operation.kernel
            least[key] = np.maximum(least.get(key, 0), _least_scale(step, levels[step.inputs[0]]))
    known = {key: _in_levels(kernel, least[key]) for key, kernel in kernels.items()}
    steps, scales = [], []
    for step in deployed.steps:
        scale = None
        if isinstance(step.operation, Convolve | Multiply):
            kernel, scale = known[id(step.operation.kernel)]
            step = replace(step, operation=replace(step.operation, kernel=kernel))
            _check_sums(len(steps) + 1, step, kernel, levels[step.inputs[0]])
        steps.append(step)
        scales.append(scale)
    return tuple(steps), tuple(scales)


def _least_scale(step: Step, given: Levels) -> np.ndarray:
    """For each output: beneath, its offset in units of products would be no int32, as ONNX has it.

    Such a kernel is as good as nothing beside its offset, so it loses nothing.
    """
    match step.pointwise:
        case (Affine(scale=None, offset=np.ndarray() as offset), *_):
            return np.abs(offset.astype(np.float64)) / (given.scale * _LARGEST)
        case _:
            return np.zeros(1)


def _in_levels(kernel: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`kernel` in int8, and a scale for each output, which is `least` or more."""
    most = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
    scale = np.maximum(most / HIGHEST, least)
    scale = np.where(scale > _NOTHING, scale, 1).astype(np.float32)
    levels = np.clip(np.rint(kernel / scale), -HIGHEST, HIGHEST).astype(np.int8)
    return levels, scale


def _check_sums(number: int, step: Step, kernel: np.ndarray, given: Levels) -> None:
    """Raise UsageError where levels of the input could add up to more than fits."""
    furthest = max(given.zero_point - LOWEST, HIGHEST - given.zero_point)
    products = np.abs(kernel.astype(np.int64)).sum(axis=tuple(range(kernel.ndim - 1)))
    if (worst := furthest * int(products.max())) >= _LARGEST:
        before, after = ("x".join(map(str, s)) for s in (step.input_shape, step.output_shape))
        raise UsageError(
            f"In 8-bit integers a layer's sums must stay below {_LARGEST:,}, but those of step "
            f"{number} ({type(step.operation).__name__.lower()} {before} -> {after}) may reach "
            f"{worst:,}: it is too wide for c-int8 and onnx-int8, so pick other forms by --format."
        )


def _shifted(functions: tuple[Pointwise, ...], by: np.ndarray) -> tuple[Pointwise, ...]:
    """`functions` of x + by."""
    first = functions[0] if functions else None
    if not isinstance(first, Affine):
        return Affine(offset=by.astype(np.float32)), *functions
    offset = by if first.scale is None else by * first.scale
    if first.offset is not None:
        offset = offset + first.offset
    return replace(first, offset=offset.astype(np.float32)), *functions[1:]
