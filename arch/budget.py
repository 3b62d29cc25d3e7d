"""The budget: upper limits on what a network costs, and the epoch limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pennyweight.arch.cost import Cost
from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import MOST_WEIGHTS


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Inclusive limits; None is no limit. Raises UsageError for one below 1."""

    max_params: int = 8_000  # trainable parameters
    max_epochs: int = 15
    max_macs: int | None = None  # for one picture
    max_activation_bytes: int | None = None  # float32

    def __post_init__(self) -> None:
        for name, limit in asdict(self).items():
            if limit is not None:
                check_count(f"--{name.replace('_', '-')}", limit)
        if self.max_params > MOST_WEIGHTS:  # what is found is read back from records
            raise UsageError(
                f"--max-params must be at most {MOST_WEIGHTS:,}, but got {self.max_params:,}."
            )

    @property
    def of_params_alone(self) -> bool:
        """Whether parameters are the only cost that it limits."""
        return self.max_macs is None and self.max_activation_bytes is None

    def excesses(self, cost: Cost) -> Iterator[tuple[str, int, int]]:
        """(flag, limit, value) of each limit that `cost` is over."""
        for flag, limit, value in (
            ("--max-params", self.max_params, cost.params),
            ("--max-macs", self.max_macs, cost.macs),
            ("--max-activation-bytes", self.max_activation_bytes, cost.peak_activation_bytes),
        ):
            if limit is not None and value > limit:
                yield flag, limit, value

    def fits(self, cost: Cost) -> bool:
        """Whether `cost` is within every limit."""
        return not any(self.excesses(cost))


def check_count(flag: str, value: object) -> None:
    """Raise UsageError unless `value` is a whole number of at least 1."""
    if type(value) is not int:
        raise UsageError(f"{flag} must be a whole number, but got {value!r}.")
    if value < 1:
        raise UsageError(f"{flag} must be at least 1, but got {value}.")
