"""What others have published for small networks, to be drawn beside what a search found.

Nearly all are the best epoch or run as picked on the test set, so they flatter; ours are means over
fresh seeds of the last epoch.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A published result: parameters, test accuracy as a fraction, and how it was reached."""

    params: int
    accuracy: float
    how: str


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "mnist": (
        Published(697, 0.9903, "best of about 700 runs, up to 2,000 epochs"),
        Published(820, 0.9839, "20 epochs"),
        Published(1_936, 0.9910, "75 epochs"),
        Published(2_180, 0.9915, "75 epochs"),
        Published(4_142, 0.9917, "47 epochs"),
        Published(5_340, 0.9955, "15 epochs"),
        Published(6_174, 0.9948, "15 epochs"),
        Published(7_074, 0.9946, "15 epochs"),
        Published(7_784, 0.9948, "20 epochs"),
        Published(14_372, 0.9957, "20 epochs"),
        Published(33_088, 0.9955, "90 epochs"),
    ),
    "fashion_mnist": (
        Published(14_862, 0.89, ""),
        Published(94_410, 0.9259, "50 epochs"),
        Published(113_000, 0.922, ""),
        Published(272_000, 0.9496, "200 epochs"),
    ),
}
"""By data set, from the smallest on."""


def best_within(data: str, params: int) -> Published | None:
    """The most accurate published network of at most so many parameters.

    >>> best_within("mnist", 1_000).params
    697
    """
    within = [each for each in PUBLISHED.get(data, ()) if each.params <= params]
    return max(within, key=lambda each: each.accuracy, default=None)
