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
    others: list[Flight]  # they wait until those have come as far
    alone: bool  # whether some that lag behind wait, for one of them was the end of a worker

    @classmethod
    def of(cls, flights: list[Flight], *, alone: bool = False) -> Group:
        """The group of `flights`, at least one, in the order in which they were asked.

        Where they train `alone`, one after the other, they come back in the order in which they
        would have together: on that depends which of them go on.
        """
        flights = sorted(flights, key=lambda flight: flight.number)
        lowest = min(flight.epoch for flight in flights)
        behind = [flight for flight in flights if flight.epoch == lowest]
        training = behind[:1] if alone else behind
        others = [flight for flight in flights if flight not in training]
        return cls(training, others, alone and len(behind) > 1)


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
