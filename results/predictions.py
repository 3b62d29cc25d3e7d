"""What a network says of labelled pictures, looked at from all sides.

Shapes: n pictures, k classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from pennyweight.results.leaderboard import wilson_interval


class ClassScore(NamedTuple):
    """How one class fares."""

    name: str
    precision: float  # of the pictures called so, the share that is
    recall: float  # of the pictures that are so, the share called so
    f1: float  # their harmonic mean
    pictures: int


class Confusion(NamedTuple):
    """Pictures of one class that were taken for another."""

    label: str
    predicted: str
    pictures: int


class Mistake(NamedTuple):
    """A picture that was taken for another class."""

    picture: int  # its place in its part of the data
    label: str
    predicted: str
    confidence: float  # the probability of what was predicted


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Probabilities beside the labels."""

    labels: np.ndarray  # integers (n,)
    probabilities: np.ndarray  # (n, k)
    class_names: tuple[str, ...]
    indices: np.ndarray  # integers (n,): each picture's place in its part of the data

    @cached_property
    def predicted(self) -> np.ndarray:
        """The likeliest class (n,); of equals the first."""
        return self.probabilities.argmax(1)

    @property
    def correct(self) -> int:
        """How many pictures are classified rightly."""
        return int((self.predicted == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """As a fraction."""
        return self.correct / len(self.labels)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% score interval of the accuracy."""
        return wilson_interval(self.correct, len(self.labels))

    @property
    def log_loss(self) -> float:
        """The mean over pictures, in nats."""
        likely = self.probabilities[np.arange(len(self.labels)), self.labels]
        with np.errstate(divide="ignore"):
            return float(-np.log(likely).mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (k, k): row the label, column the prediction."""
        from sklearn.metrics import confusion_matrix

        classes = range(len(self.class_names))
        return confusion_matrix(self.labels, self.predicted, labels=classes)

    @cached_property
    def by_class(self) -> list[ClassScore]:
        """A row for each class; a share of nothing is 0."""
        from sklearn.metrics import precision_recall_fscore_support

        scores: Any = precision_recall_fscore_support(
            self.labels,
            self.predicted,
            labels=range(len(self.class_names)),
            zero_division=0,  # type: ignore[arg-type]
        )
        rows = zip(self.class_names, *scores, strict=True)
        return [
            ClassScore(name, float(p), float(r), float(f1), int(n)) for name, p, r, f1, n in rows
        ]

    @cached_property
    def confused(self) -> list[Confusion]:
        """Which class is taken for which, the most frequent first."""
        counts = self.confusion.copy()
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")
        pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
        return [
            Confusion(self.class_names[i], self.class_names[j], int(counts[i, j]))
            for i, j in pairs
            if counts[i, j]
        ]

    @cached_property
    def mistakes(self) -> list[Mistake]:
        """Every picture that is classified wrongly, the most confident first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        confidence = self.probabilities[wrong, self.predicted[wrong]]
        return [
            Mistake(
                int(self.indices[i]),
                self.class_names[self.labels[i]],
                self.class_names[self.predicted[i]],
                float(sure),
            )
            for i, sure in sorted(zip(wrong, confidence, strict=True), key=lambda pair: -pair[1])
        ]

    def worst(self, most: int) -> list[int]:
        """Where the surest mistakes are among these pictures, at most so many."""
        place = {int(index): place for place, index in enumerate(self.indices)}
        return [place[mistake.picture] for mistake in self.mistakes[:most]]

    def to_json(self) -> dict[str, Any]:
        """All of it but the probabilities; a log-loss that is not finite is null."""
        low, high = self.interval
        return {
            "pictures": len(self.labels),
            "correct": self.correct,
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
            "log_loss": self.log_loss if math.isfinite(self.log_loss) else None,
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "classes": [row._asdict() for row in self.by_class],
            "confused": [row._asdict() for row in self.confused],
            "mistakes": [row._asdict() for row in self.mistakes],
        }
