"""How accuracies are drawn, on pages and in pictures: by their error, on a logarithmic axis.

From 99.0% to 99.5% is as far as from 90% to 95%, where the best networks would be one blob else.
"""

from __future__ import annotations

from collections.abc import Iterable

from pennyweight.results.study_records import State

COLOURS: dict[State, str] = {  # that can be told apart on white and on black
    "complete": "#3b82c4",
    "running": "#b9821b",
    "pruned": "#8a929c",
    "diverged": "#d9534f",
    "failed": "#b0476b",
    "duplicate": "#8f7ac0",
}
SYMBOLS: dict[State, str] = {  # by plotly's names
    "complete": "circle",
    "running": "triangle-up",
    "pruned": "circle-open",
    "diverged": "x",
    "failed": "square-x-open",
    "duplicate": "square-open",
}
FRONT_COLOUR, CONFIRMED_COLOUR, PUBLISHED_COLOUR = "#1f9d6b", "#a347b0", "#c26a1e"
KIND_COLOURS = (  # of seconds: the workers' kinds come first
    *("#3b82c4", "#1f9d6b", "#b9821b", "#8f7ac0", "#b0476b", "#5f7f8c"),
    *("#8a929c", "#4c9fa8", "#c26a1e", "#a347b0", "#7a8f3c", "#d9534f"),
)


def error(accuracy: float, pictures: int) -> float:
    """The error of an accuracy, in percent: at least that of half a picture of so many.

    >>> error(0.98, 100).__round__(2), error(1.0, 100)
    (2.0, 0.5)
    """
    return 100 * max(1 - accuracy, 0.5 / max(pictures, 1))


def accuracy_ticks(errors: Iterable[float]) -> list[float]:
    """The accuracies, in percent, at which an axis is marked that holds such errors.

    >>> accuracy_ticks([90, 0.7]), accuracy_ticks([2.5, 0.4])
    ([10, 50, 80, 90, 95, 98, 99], [98, 98.5, 99, 99.2, 99.4, 99.6])
    """
    least, most = min(errors := list(errors)), max(errors)
    wide = (10, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98)
    narrow = (20, 40, 60, 70, 80, 85, 90, 92, 94, 96, 97, 98, 98.5, 99, 99.2, 99.4, 99.6, 99.7)
    ticks = wide if most > 20 * least else (*narrow, 99.8, 99.85, 99.9, 99.92, 99.94, 99.96, 99.98)
    return [tick for tick in ticks if 0.9 * least <= 100 - tick <= 1.1 * most]


def size_ticks(params: Iterable[int]) -> list[int]:
    """Where an axis of parameters is marked: more often where it is short.

    >>> size_ticks([700, 2_100]), size_ticks([700, 9_000]), size_ticks([700, 33_000])
    ([800, 1000, 1500, 2000], [800, 1000, 2000, 4000, 8000], [1000, 3000, 10000, 30000])
    """
    least, most = min(params := list(params)), max(params)
    ratio = most / max(least, 1)
    steps = (10, 15, 20, 30, 40, 60, 80) if ratio < 4 else (10, 20, 40, 80)
    steps = steps if ratio < 20 else (10, 30)
    ticks = [step * 10**power // 10 for power in range(10) for step in steps]
    near = sorted({tick for tick in ticks if 0.9 * least <= tick <= 1.1 * most})
    return near or sorted({int(least), int(most)})


def size_text(params: int) -> str:
    """What is written at a mark of `size_ticks`: 800, 1.5k."""
    return f"{params / 1_000:g}k" if params >= 1_000 else str(params)
