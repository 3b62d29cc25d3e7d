"""When a training ends before its epoch limit, and which epoch's weights are its own.

Both are decided by accuracy on validation pictures, after each epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pennyweight.arch.errors import UsageError, close_names, shown

Keep = Literal["last", "best"]


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """By default a training goes on to its limit, and the last epoch's weights are its own."""

    patience: int | None = None  # epochs in a row without a new best that end it
    keep: Keep = "last"  # "best": the most accurate epoch's weights, of equals the first
    target_accuracy: float | None = None  # a share: reached, it ends

    def __post_init__(self) -> None:
        if self.keep not in get_args(Keep):
            known = close_names(str(self.keep), get_args(Keep))
            raise UsageError(f"--keep cannot be {shown(self.keep)}: {known}")
        if self.patience is not None and (type(self.patience) is not int or self.patience < 1):
            raise UsageError(f"--patience must be at least 1, but got {shown(self.patience)}.")
        target = self.target_accuracy
        if target is not None and not 0 < target <= 1:  # NaN included
            raise UsageError(
                f"--target-accuracy must be above 0% and at most 100%, but got {target:.4g} as a "
                "share."
            )

    def __bool__(self) -> bool:
        """Whether validation pictures decide anything."""
        return bool(self.to_json())

    def reason(self, accuracies: Sequence[float]) -> str | None:
        """Why a training ends that had these accuracies, an epoch each; None where it goes on.

        >>> Stopping(patience=2).reason([0.5, 0.9, 0.8, 0.9])
        'no better for 2 epochs than 90.00% after epoch 2'
        """
        if not accuracies:
            return None
        if self.target_accuracy is not None and accuracies[-1] >= self.target_accuracy:
            return f"reached {accuracies[-1]:.2%} of the {self.target_accuracy:.2%} aimed at"
        best = max(range(len(accuracies)), key=lambda place: accuracies[place])
        waited = len(accuracies) - 1 - best
        if self.patience is not None and waited >= self.patience:
            epochs = "an epoch" if waited == 1 else f"{waited} epochs"
            return f"no better for {epochs} than {accuracies[best]:.2%} after epoch {best + 1}"
        return None

    def to_json(self) -> dict[str, Any]:
        """What is unusual about it."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value != getattr(Stopping, name)
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Stopping:
        """What is `told` of it, by name; where that is None or missing, as by default."""
        return cls(**{name: value for name, value in told.items() if value is not None})
