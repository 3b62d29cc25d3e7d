"""Digits as hands draw them: strokes from a seed, five variants of each digit.

They were written before any network saw them, and are not changed to please one. x and y run from 0
to 1 over the drawing area, y downwards.
"""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Stroke = list[Point]

SEED = 20
VARIANTS = ("plain", "slanted", "small", "bold", "other form")


@dataclass(frozen=True)
class Drawn:
    """A digit as somebody draws it."""

    digit: int
    variant: str
    strokes: list[Stroke]
    pen: int  # its width, percent of the drawing area's side

    def __str__(self) -> str:
        return f"{self.digit} {self.variant}"


def fifty() -> list[Drawn]:
    """Each variant of each digit."""
    return [drawn(digit, variant) for digit in range(10) for variant in VARIANTS]


def drawn(digit: int, variant: str) -> Drawn:
    """One digit by one hand; the same whenever it is asked for."""
    random_ = random.Random(f"{SEED} {digit} {variant}")
    between = random_.uniform
    # Of the drawing area: the height of the digit, and where its middle is.
    height, middle, slant, wobble, pen = {
        "plain": (0.70, (0.5, 0.5), between(-0.05, 0.1), 0.006, 6),
        "slanted": (0.62, (between(0.42, 0.55), 0.5), between(0.25, 0.4), 0.012, 5),
        "small": (0.32, (between(0.22, 0.35), between(0.65, 0.75)), between(0, 0.15), 0.01, 4),
        "bold": (0.75, (0.5, between(0.45, 0.52)), between(-0.2, -0.05), 0.01, 10),
        "other form": (0.55, (between(0.55, 0.65), between(0.4, 0.5)), between(0, 0.2), 0.015, 3),
    }[variant]
    wide = between(0.55, 0.75)
    forms = _FORMS[digit]
    form = forms[-1] if variant == "other form" else forms[0]
    strokes = []
    for points in form:
        dense = _smooth(points)
        phases = [between(0, math.tau) for _ in range(4)]
        shaken = [
            (
                x
                + wobble * (math.sin(7 * at + phases[0]) + math.sin(17 * at + phases[1])) / height,
                y
                + wobble * (math.sin(8 * at + phases[2]) + math.sin(15 * at + phases[3])) / height,
            )
            for at, (x, y) in zip(_along(dense), dense, strict=True)
        ]
        strokes.append(
            [
                (
                    middle[0] + height * (wide * (x - 0.5) - slant * (y - 0.5)),
                    middle[1] + height * (y - 0.5),
                )
                for x, y in shaken
            ]
        )
    return Drawn(digit, variant, strokes, pen)


def _smooth(points: Sequence[Point], between: int = 8) -> Stroke:
    """A curve through the points (Catmull and Rom); two points are a straight line."""
    ends = [points[0], *points, points[-1]]
    curve = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for step in range(between):
            t = step / between
            x, y = (
                (
                    2 * b[i]
                    + (c[i] - a[i]) * t
                    + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * t**2
                    + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * t**3
                )
                / 2
                for i in (0, 1)
            )
            curve.append((x, y))
    return [*curve, points[-1]]


def _along(points: Sequence[Point]) -> list[float]:
    """How far along the curve each point is."""
    far = [0.0]
    for one, other in itertools.pairwise(points):
        far.append(far[-1] + math.dist(one, other))
    return far


# Each form is a list of strokes, each through points in a box of 1 by 1; a corner is where one
# stroke ends and the next begins, or a point that is there twice. The last form is the other one.
_FORMS: dict[int, list[list[list[Point]]]] = {
    0: [
        [[(0.55, 0), (0.15, 0.2), (0.02, 0.55), (0.25, 0.95), (0.6, 0.98), (0.95, 0.65),
          (0.95, 0.3), (0.7, 0.03), (0.5, 0.01)]],
        [[(0.4, 0.03), (0.05, 0.35), (0.1, 0.8), (0.5, 1), (0.9, 0.75), (0.92, 0.25), (0.6, 0.02),
          (0.3, 0.1)]],
    ],
    1: [
        [[(0.5, 0), (0.49, 0.35), (0.5, 0.7), (0.5, 1)]],
        # with a flag and a foot
        [[(0.2, 0.25), (0.38, 0.13), (0.52, 0)], [(0.52, 0), (0.51, 0.5), (0.5, 1)],
         [(0.15, 1), (0.5, 0.99), (0.85, 1)]],
    ],
    2: [
        [[(0.08, 0.25), (0.3, 0.03), (0.7, 0.04), (0.88, 0.28), (0.6, 0.6), (0.08, 0.97),
          (0.08, 0.97), (0.5, 0.96), (0.95, 0.98)]],
        # with a loop
        [[(0.1, 0.2), (0.4, 0), (0.8, 0.1), (0.8, 0.4), (0.45, 0.8), (0.15, 0.97), (0.08, 0.85),
          (0.25, 0.8), (0.55, 0.95), (0.95, 0.93)]],
    ],
    3: [
        [[(0.1, 0.12), (0.45, 0), (0.82, 0.15), (0.75, 0.38), (0.4, 0.48), (0.4, 0.48),
          (0.8, 0.58), (0.88, 0.82), (0.5, 1), (0.08, 0.88)]],
        # with a flat top
        [[(0.1, 0.02), (0.85, 0.02), (0.85, 0.02), (0.4, 0.4), (0.4, 0.4), (0.82, 0.52),
          (0.88, 0.8), (0.5, 1), (0.1, 0.9)]],
    ],
    4: [
        # open at the top
        [[(0.15, 0), (0.1, 0.3), (0.08, 0.55), (0.08, 0.55), (0.5, 0.55), (0.95, 0.54)],
         [(0.7, 0), (0.7, 0.5), (0.68, 1)]],
        # closed
        [[(0.62, 0), (0.35, 0.3), (0.05, 0.65), (0.05, 0.65), (0.5, 0.66), (0.95, 0.65)],
         [(0.62, 0), (0.63, 0.5), (0.62, 1)]],
    ],
    5: [
        [[(0.25, 0.03), (0.2, 0.25), (0.16, 0.45), (0.16, 0.45), (0.5, 0.38), (0.85, 0.52),
          (0.88, 0.78), (0.5, 1), (0.08, 0.9)], [(0.25, 0.03), (0.55, 0.03), (0.88, 0.02)]],
        # in one stroke
        [[(0.85, 0.02), (0.3, 0.03), (0.3, 0.03), (0.2, 0.45), (0.2, 0.45), (0.6, 0.4),
          (0.88, 0.65), (0.6, 0.97), (0.1, 0.92)]],
    ],
    6: [
        [[(0.7, 0), (0.35, 0.2), (0.1, 0.55), (0.15, 0.88), (0.5, 1), (0.85, 0.85), (0.8, 0.6),
          (0.45, 0.53), (0.13, 0.72)]],
        [[(0.55, 0), (0.2, 0.35), (0.08, 0.7), (0.3, 0.97), (0.7, 0.95), (0.8, 0.72), (0.5, 0.6),
          (0.15, 0.78)]],
    ],
    7: [
        [[(0.08, 0.05), (0.5, 0.03), (0.92, 0.03), (0.92, 0.03), (0.65, 0.45), (0.4, 1)]],
        # with a bar
        [[(0.08, 0.06), (0.5, 0.02), (0.92, 0.03), (0.92, 0.03), (0.6, 0.5), (0.45, 1)],
         [(0.3, 0.5), (0.85, 0.48)]],
    ],
    8: [
        [[(0.75, 0.15), (0.45, 0), (0.15, 0.2), (0.45, 0.45), (0.82, 0.7), (0.75, 0.95),
          (0.4, 1), (0.12, 0.85), (0.25, 0.62), (0.6, 0.42), (0.82, 0.2), (0.72, 0.12)]],
        # of two rings
        [[(0.5, 0), (0.2, 0.12), (0.25, 0.4), (0.55, 0.47), (0.8, 0.3), (0.72, 0.06), (0.5, 0)],
         [(0.5, 0.47), (0.12, 0.65), (0.2, 0.93), (0.55, 1), (0.88, 0.82), (0.8, 0.55),
          (0.5, 0.47)]],
    ],
    9: [
        [[(0.8, 0.2), (0.5, 0.01), (0.15, 0.18), (0.2, 0.45), (0.55, 0.5), (0.8, 0.22),
          (0.8, 0.22), (0.78, 0.6), (0.65, 1)]],
        # with a hook
        [[(0.78, 0.12), (0.4, 0.02), (0.15, 0.25), (0.4, 0.48), (0.75, 0.3), (0.78, 0.12),
          (0.78, 0.12), (0.82, 0.6), (0.65, 0.95), (0.25, 0.95)]],
    ],
}  # fmt: skip
