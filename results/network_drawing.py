"""A network drawn as an SVG: a row for each step, from the picture at the top to the classes.

Colours are the page's: a drawing is styled by the classes that its parts have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.layers import Shape
from pennyweight.results.network_steps import Step, steps_of
from pennyweight.results.tables import short

WIDTH, ROW, TOP = 440, 54, 46  # pixels
MOST_STEPS = 100  # what is drawn of a longer network is its start

_MIDDLE = 62  # of the feature maps, across
_TEXT = 112  # where text begins
_LONGEST = 52  # characters of a line


def draw_network(architecture: Architecture) -> str:
    """The `<svg>` element of `architecture`.

    Of each step it shows the feature map that it gives (its face as large as the map, as deep as
    it has channels), its parameters and multiply-accumulates, and their shares as bars.
    """
    steps = steps_of(architecture)
    drawn = steps[:MOST_STEPS]
    height = TOP + ROW * len(drawn) + (24 if len(drawn) < len(steps) else 0) + 4
    parts = [
        f'<svg class="network" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg" aria-label="{escape(_spoken(steps))}">',
        *_map(architecture.input_shape, architecture.input_shape, 22, "map input"),
        _text(_TEXT, 18, "picture", "name"),
        _text(_TEXT, 34, _by(architecture.input_shape), "detail"),
    ]
    most = max(step.params for step in steps) or 1, max(step.macs for step in steps) or 1
    for number, step in enumerate(drawn):
        parts += _row(step, TOP + ROW * number, architecture.input_shape, most)
        parts += _bracket(step, number)
    if len(drawn) < len(steps):
        parts.append(_text(_TEXT, height - 8, f"and {len(steps) - len(drawn):,} more", "detail"))
    return "".join([*parts, "</svg>"])


def _row(step: Step, top: float, whole: Shape, most: tuple[int, int]) -> Iterator[str]:
    detail = ", ".join(part for part in (step.options, *step.glued) if part)
    yield f"<g><title>{escape(_told(step))}</title>"
    yield f'<path class="wire" d="M{_MIDDLE} {top - 8}V{top + 2}"/>'
    yield from _map(step.output_shape, whole, top + 24, "map")
    yield _text(_TEXT, top + 18, f"{step.name} → {_by(step.output_shape)}", "name")
    yield _text(_TEXT, top + 34, _cut(detail), "detail")
    if step.params or step.macs:
        costs = f"{step.params:,} params, {short(step.macs)} MACs"
        yield _text(WIDTH - 4, top + 18, costs, "cost")
    for kind, y, share in (
        ("params", top + 41, step.params / most[0]),
        ("macs", top + 45, step.macs / most[1]),
    ):
        length = share * (WIDTH - 4 - _TEXT)
        yield f'<rect class="{kind}" x="{_TEXT}" y="{y:g}" width="{length:.1f}" height="3"/>'
    yield "</g>"


def _map(shape: Shape, whole: Shape, middle: float, kind: str) -> Iterator[str]:
    """A feature map seen from the front; a vector is as wide as it has values."""
    if len(shape) == 1:
        wide = min(44.0, 6 + 5 * math.log2(shape[0] + 1))
        yield (
            f'<rect class="{kind}" x="{_MIDDLE - wide / 2:.1f}" y="{middle - 4:.1f}" '
            f'width="{wide:.1f}" height="8" rx="2"/>'
        )
        return
    largest = max(whole[0], whole[1], shape[0], shape[1])
    high, wide = (6 + 22 * length / largest for length in shape[:2])
    deep = 1.6 * math.log2(shape[2] + 1)
    left, top = _MIDDLE - (wide + deep) / 2, middle - (high - deep) / 2
    yield (
        f'<path class="{kind} side" d="M{left:.1f} {top:.1f}l{deep:.1f} {-deep:.1f}h{wide:.1f}'
        f'v{high:.1f}l{-deep:.1f} {deep:.1f}z"/>'
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" '
        f'height="{high:.1f}"/>'
    )


def _bracket(step: Step, number: int) -> Iterator[str]:
    """A line at the left along a block, from its first step to where it is joined."""
    if step.begins is not None:
        x = 4 + 6 * step.depth
        top, bottom = TOP + ROW * step.begins + 4, TOP + ROW * number + 28
        yield f'<path class="block" d="M{x + 8} {top}H{x}V{bottom}h8"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _told(step: Step) -> str:
    """All there is to know of a step."""
    detail = ", ".join(part for part in (step.name, step.options, *step.glued) if part)
    return (
        f"{detail}: {_by(step.output_shape)}, {step.params:,} parameters, {step.macs:,} "
        f"multiply-accumulates, sees {step.receptive_field} pixels across"
    )


def _spoken(steps: Sequence[Step]) -> str:
    names = [step.name for step in steps[:MOST_STEPS]]
    return f"The network in {len(steps)} steps: {', '.join(names)}."
