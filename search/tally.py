"""What a search, a training or a confirmation has come to, counted from its records."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Literal, NamedTuple

from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.genome import choices

Unit = Literal["trials", "epochs", "trainings"]


class Best(NamedTuple):
    """The most accurate complete trial, of equals the smallest, of `within` parameters at most."""

    within: float  # infinite where there is no limit
    accuracy: float
    params: int
    notation: str


class Fresh(NamedTuple):
    """How a trial does that is trained again, from so many seeds so far."""

    trial: int
    part: str  # the pictures it is measured on: validation or test
    accuracy: float  # the mean
    seeds: int


class Tally:
    """Counts what the records say of `total` units, `ended` of which ended in earlier sessions.

    A study that is gone on with is `known`: its trials count, and its limit on parameters and the
    shares of it that a search spends say what sizes the best are kept of.
    """

    def __init__(
        self, total: int, ended: int, unit: Unit = "trials", known: StudyRecords | None = None
    ) -> None:
        self.total, self.ended, self.unit = total, ended, unit
        self._states: Counter[str] = Counter()
        self._accuracy: dict[int, tuple[int, float]] = {}  # by trial: its last rung's epoch and it
        self._in_training = ""  # of the last epoch
        self._costs: dict[int, tuple[int, str]] = {}
        cap = known and known.budget["max_params"]
        shares = choices()["share"] or ()
        self._limits = [cap * float(share) // 1 for share in shares] if cap else [math.inf]
        self._best: dict[float, Best] = {}  # by limit
        self._fresh: dict[tuple[str, int], Fresh] = {}
        self._last_fresh = ""
        for trial in known.trials.values() if known else ():
            self._recall(trial)
        for run in known.fresh_runs if known and unit == "trainings" else ():
            self._again(run.trial, run.seed, run.part, run.accuracy)

    def _recall(self, trial: TrialRecord) -> None:
        """Take in a trial of an earlier session."""
        self._costs[trial.trial] = trial.cost["params"], trial.notation
        if trial.val_accuracy is not None:
            self._accuracy[trial.trial] = trial.epochs, trial.val_accuracy
        if trial.state != "running":
            self._end(trial.trial, trial.state)

    def note(self, kind: str, fields: dict[str, Any]) -> None:
        """Take in one record."""
        if kind == "trial":
            self._costs[fields["trial"]] = fields["cost"]["params"], fields["notation"]
        elif kind == "rung":
            accuracy = fields["val_correct"] / fields["val_total"]
            self._accuracy[fields["trial"]] = fields["epoch"], accuracy
            if self.unit == "epochs":
                self.ended = fields["epoch"]
                told = fields.get("curve", [{}])[-1].get("train_accuracy")
                self._in_training = "" if told is None else f", in training {told:.2%}"
        elif kind == "fresh":
            self.ended += 1
            accuracy = fields["correct"] / fields["total"]
            self._again(fields["trial"], fields["seed"], fields["part"], accuracy)
        elif kind == "end" and self.unit == "trials":
            self.ended += 1
            self._end(fields["trial"], fields["state"])

    def _end(self, number: int, state: str) -> None:
        self._states[state] += 1
        _, accuracy, params, notation = self.told(number)
        if state != "complete" or accuracy is None:
            return
        for limit in self._limits:
            best = self._best.get(limit)
            if params <= limit and (
                best is None or (accuracy, -params) > (best.accuracy, -best.params)
            ):
                self._best[limit] = Best(limit, accuracy, params, notation)

    def _again(self, trial: int, seed: int, part: str, accuracy: float) -> None:
        _, _, mean, seeds = self._fresh.get((part, trial), Fresh(trial, part, 0, 0))
        mean = (mean * seeds + accuracy) / (seeds + 1)
        self._fresh[part, trial] = Fresh(trial, part, mean, seeds + 1)
        self._last_fresh = f"trial {trial}, seed {seed}: {part} accuracy {accuracy:.2%}"

    @property
    def running(self) -> int:
        """How many trials were asked for and have not ended."""
        return len(self._costs) - self._states.total()

    @property
    def front(self) -> list[Best]:
        """The best of each size, the largest first, without those that are best of a smaller one.

        With at most as many parameters none was more accurate, so they are on the Pareto front.
        """
        best = [self._best[limit] for limit in self._limits if limit in self._best]
        smaller = [other.notation for other in best[1:]]
        return [one for i, one in enumerate(best) if one.notation not in smaller[i:]]

    @property
    def fresh(self) -> list[Fresh]:
        """The trials that are trained again: those put to the test first, then the best."""
        return sorted(self._fresh.values(), key=lambda each: (each.part, -each.accuracy))

    @property
    def network(self) -> tuple[int, str] | None:
        """Parameters and notation of the trial that was asked for first."""
        return next(iter(self._costs.values()), None)

    def told(self, trial: int) -> tuple[int, float | None, int, str]:
        """(epochs, accuracy, parameters, notation) of a trial, as far as they are known."""
        epochs, accuracy = self._accuracy.get(trial, (0, None))
        params, notation = self._costs.get(trial, (0, ""))
        return epochs, accuracy, params, notation

    @property
    def states(self) -> str:
        """How many trials ended in which way."""
        return ", ".join(f"{count} {state}" for state, count in sorted(self._states.items()))

    @property
    def summary(self) -> str:
        """What happened so far, in one line."""
        if self.unit == "epochs":
            scored = [f"accuracy {accuracy:.2%}" for _, accuracy in self._accuracy.values()]
            return ", ".join(scored) + self._in_training
        if self.unit == "trainings":
            return self._last_fresh
        parts = [self.states] if self._states else []
        for best in self.front[:1]:
            parts.append(f"best {best.accuracy:.2%} with {best.params:,} parameters")
        return ", ".join(parts)
