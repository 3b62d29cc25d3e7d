"""An architecture as the steps that a drawing shows, each with what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.cost import params, receptive_fields
from pennyweight.arch.layers import Layer, Shape


@dataclass(frozen=True, kw_only=True)
class Step:
    """A layer with the glued ones after it, such as BatchNorm and ReLU; all its rounds together."""

    name: str  # such as `max pool`; of a block what it is joined by, such as `+ input`
    options: str  # such as `width 17, kernel 5`; empty where there are none
    glued: tuple[str, ...]  # the names and options of the layers after it
    output_shape: Shape
    params: int
    macs: int
    receptive_field: int  # pixels, after its first round
    depth: int  # blocks that it is inside of
    begins: int | None  # of a block: the number of its first step, and this is the last


def steps_of(architecture: Architecture) -> list[Step]:
    """The steps in the order in which they run. A block that runs several times is drawn once."""
    fields = receptive_fields(architecture.flat())
    steps: list[Step] = []
    _walk(steps, [(placed,) for placed in architecture.placed], fields, depth=0)
    return steps


def _walk(
    steps: list[Step], rows: Sequence[tuple[Placed, ...]], fields: Sequence[int], *, depth: int
) -> None:
    """Append the steps of `rows`, each the same layer in all of its rounds."""
    for rounds in rows:
        layer, begins = rounds[0].layer, None
        if layer.children:
            begins = len(steps)
            _walk(steps, list(_inside(rounds)), fields, depth=depth + 1)
        step = _step(rounds, fields, depth, begins)
        if layer.glued and steps and steps[-1].depth == depth:
            steps[-1] = _glued(steps[-1], step)
        else:
            steps.append(step)


def _inside(rounds: tuple[Placed, ...]) -> Iterator[tuple[Placed, ...]]:
    """Each layer of a block in all of its rounds."""
    size = len(rounds[0].layer.children)
    for place in range(size):
        yield tuple(inner for each in rounds for inner in each.children[place::size])


def _step(
    rounds: tuple[Placed, ...], fields: Sequence[int], depth: int, begins: int | None
) -> Step:
    first, layer = rounds[0], rounds[0].layer
    return Step(
        name=layer.joined if layer.children else layer.kind.replace("_", " "),
        options="" if layer.children else _options(layer),
        glued=(),
        output_shape=first.output_shape,
        params=sum(map(params, rounds)),
        macs=sum(each.layer.macs(each.input_shape) for each in rounds),
        receptive_field=fields[first.index],
        depth=depth,
        begins=begins,
    )


def _glued(step: Step, after: Step) -> Step:
    return replace(
        step,
        glued=(*step.glued, f"{after.name} {after.options}".strip()),
        params=step.params + after.params,
        macs=step.macs + after.macs,
    )


def _options(layer: Layer) -> str:
    """What is chosen of a layer: its flags by name, and numbers that are not the usual ones.

    Not the width, which the shape after it says, nor the name of a layer's only number.
    """
    fields = dataclasses.fields(layer)
    chosen = []
    for field in fields:
        value = getattr(layer, field.name)
        if value is True:
            chosen.append(field.name)
        elif value is not False and value != field.default and field.name != "width":
            chosen.append(f"{value:g}" if len(fields) == 1 else f"{field.name} {value:g}")
    return ", ".join(chosen)
