"""Where each value of a deployed network lies, in one block of memory: its arena."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pennyweight.arch.deployed import Deployed
from pennyweight.arch.operations import Add, Flatten, Pass

_IN_PLACE = (Add, Flatten, Pass)  # each value of the output needs one place of an input alone


@dataclass(frozen=True)
class MemoryPlan:
    """Where each value begins, and how long the arena is, in elements."""

    offsets: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class _Buffer:
    """A place for values of one size, of which each takes over from the one before."""

    values: tuple[int, ...]
    size: int
    first: int  # the step that writes it first; -1 for the picture
    last: int  # the step that reads it last

    def meets(self, other: _Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan_memory(deployed: Deployed, *, with_logits: bool = True) -> MemoryPlan:
    """A place for each value, the normalised picture included, from its making to its last use.

    Values that work in place share one. Without `with_logits` the last value has no place: the
    caller brings it.

    Of a chain of steps the arena is as small as can be: what one step reads and writes. Residual
    connections are an allocation problem without a quick exact solution, so a few orders are tried.
    """
    buffers = _buffers(deployed, with_logits)
    bound = _most_alive(buffers)
    tried = [_from_both_ends(buffers, bound)]
    for order in (
        sorted(buffers, key=lambda buffer: -buffer.size),
        sorted(buffers, key=lambda buffer: buffer.first - buffer.last),
        sorted(buffers, key=lambda buffer: buffer.size * (buffer.first - buffer.last)),
        buffers,
        buffers[::-1],
    ):
        tried.append(_lowest(order))
    placed = min((each for each in tried if each), key=_end)
    offsets = {value: at for buffer, at in placed.items() for value in buffer.values}
    return MemoryPlan(tuple(offsets[value] for value in sorted(offsets)), _end(placed))


def _buffers(deployed: Deployed, with_logits: bool) -> list[_Buffer]:
    """The buffers in the order in which they are first written."""
    shapes = [deployed.input_shape, *(step.output_shape for step in deployed.steps)]
    sizes = [math.prod(shape) for shape in shapes]
    if not with_logits:
        sizes[-1] = 0
    last = deployed.last_uses()
    last[-1] = len(deployed.steps)  # the caller reads it
    chains: dict[int, list[int]] = {0: [0]}  # values by the one that began the buffer
    begun = {0: 0}
    for number, step in enumerate(deployed.steps):
        value = number + 1
        heirs = (
            begun[given]
            for given in step.inputs
            if isinstance(step.operation, _IN_PLACE)
            and last[given] == number
            and sizes[given] == sizes[value]
        )
        begun[value] = next(heirs, value)
        chains.setdefault(begun[value], []).append(value)
    return [
        _Buffer(tuple(values), sizes[start], start - 1, last[values[-1]])
        for start, values in chains.items()
    ]


def _most_alive(buffers: Iterable[_Buffer]) -> int:
    """The most elements that are needed at once: no plan is smaller."""
    buffers = list(buffers)
    steps = {buffer.first for buffer in buffers} | {buffer.last for buffer in buffers}
    return max(sum(b.size for b in buffers if b.first <= step <= b.last) for step in steps)


_Places = dict[_Buffer, int]


def _end(placed: _Places) -> int:
    return max(at + buffer.size for buffer, at in placed.items())


def _gaps(buffer: _Buffer, placed: _Places, end: float) -> list[tuple[int, float]]:
    """(start, end) of where `buffer` fits, in order."""
    taken = sorted((at, at + b.size) for b, at in placed.items() if b.meets(buffer))
    reached, edges = 0, [(0, 0)]
    for start, stop in taken:
        reached = max(reached, stop)
        edges.append((start, reached))
    starts = [stop for _, stop in edges]
    stops = [start for start, _ in edges[1:]] + [end]
    gaps = zip(starts, stops, strict=True)
    return [(start, stop) for start, stop in gaps if stop - start >= buffer.size]


def _lowest(order: Iterable[_Buffer]) -> _Places:
    """Each in turn where it fits lowest."""
    placed: _Places = {}
    for buffer in order:
        placed[buffer] = _gaps(buffer, placed, math.inf)[0][0]
    return placed


def _from_both_ends(buffers: Iterable[_Buffer], size: int) -> _Places | None:
    """Now at the lower end, now at the upper, which is the best of a chain; None if too long."""
    placed: _Places = {}
    for number, buffer in enumerate(buffers):
        gaps = _gaps(buffer, placed, size)
        if not gaps:
            return None
        placed[buffer] = int(gaps[-1][1]) - buffer.size if number % 2 else gaps[0][0]
    return placed
