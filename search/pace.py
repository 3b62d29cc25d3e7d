"""How fast something gets done, and how long the rest would take at that."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Of `total` things, `done` of which were done before this began.

    No guess is made before `evidence` of them were done here. Where the first one compiles for the
    others, it starts the count and is no evidence itself. After the `deadline` nothing is begun.
    """

    def __init__(
        self,
        total: int,
        done: int,
        *,
        evidence: int = 3,
        compiles: bool = False,
        deadline: float | None = None,  # on `clock`
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._done, self._evidence, self._clock = total, done, evidence, clock
        self._began = self._counts_from = self._last = clock()
        self._done_before = done
        self._compiles, self._deadline = compiles, deadline

    def note(self, done: int) -> None:
        """So many are done by now."""
        if done == self._done:
            return
        self._done, self._last = done, self._clock()
        if self._compiles:
            self._done_before, self._counts_from, self._compiles = done, self._last, False

    @property
    def elapsed_s(self) -> float:
        """Since this began."""
        return self._clock() - self._began

    @property
    def left_s(self) -> float | None:
        """At the pace so far. None without evidence, and when all is done.

        It is counted down from what the last one gave; when the next one takes longer than usual,
        it is what would be left if that ended now.
        """
        counted, left = self._done - self._done_before, self._total - self._done
        if counted < self._evidence or left <= 0:
            return None
        now = self._clock()
        usual = (self._last - self._counts_from) / counted * left - (now - self._last)
        slower = (now - self._counts_from) / (counted + 1) * max(left - 1, 1)
        guess = max(usual, slower)
        return guess if self._deadline is None else min(guess, max(self._deadline - now, 0.0))


def rounded(seconds: float) -> str:
    """As exact as a guess is: 12 s, 3 min, 2 h 10 min.

    >>> [rounded(seconds) for seconds in (0.4, 59, 100, 3_550, 7_700)]
    ['1 s', '59 s', '2 min', '59 min', '2 h 10 min']
    """
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    tens = round(minutes / 10)
    return f"{tens // 6} h {tens % 6 * 10} min"
