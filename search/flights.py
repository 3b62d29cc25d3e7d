"""Trials on their way, and the groups in which they are trained."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from optuna.trial import Trial

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.frame import frame, skeleton
from pennyweight.train.recipe import Candidate


@dataclass
class Flight:
    """A trial on its way, and how far it came."""

    trial: Trial
    candidate: Candidate
    frame: Architecture | None = None  # that its group is padded to; None where it has no group
    epoch: int = 0  # of the last rung recorded
    score: float = 0.0  # there, as Optuna is told it
    attempt: int = 1  # at the next rung

    @property
    def number(self) -> int:
        return self.trial.number


@dataclass
class Group:
    """Trials of one frame that are trained together, those that lag behind first."""

    training: list[Flight]
    ahead: list[Flight]  # after a crash: they wait until the others have come as far

    @classmethod
    def of(cls, flights: list[Flight]) -> Group:
        """The group of `flights`, at least one, in the order in which they were asked."""
        flights = sorted(flights, key=lambda flight: flight.number)
        lowest = min(flight.epoch for flight in flights)
        training = [flight for flight in flights if flight.epoch == lowest]
        return cls(training, [flight for flight in flights if flight.epoch > lowest])


def framed(flights: list[Flight]) -> list[list[Flight]]:
    """`flights` by skeleton, each set its frame: those of one list share what is compiled."""
    alike: defaultdict[object, list[Flight]] = defaultdict(list)
    for flight in flights:
        alike[skeleton(flight.candidate.architecture)].append(flight)
    for same in alike.values():
        common = frame([flight.candidate.architecture for flight in same])
        for flight in same:
            flight.frame = common
    return list(alike.values())
