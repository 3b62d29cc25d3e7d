"""What matrix products are computed in: the one choice of precision there is."""

from __future__ import annotations

from typing import Literal, get_args

from pennyweight.arch.errors import UsageError, close_names, shown

Precision = Literal["float32", "bfloat16"]
"""JAX's own names. "bfloat16" rounds what goes into a product; sums and all else are float32."""

PRECISION: Precision = "float32"


def check_precision(precision: str) -> None:
    """Raise UsageError unless `precision` is one."""
    if precision not in get_args(Precision):
        raise UsageError(
            f"--precision cannot be {shown(precision)}: "
            f"{close_names(str(precision), get_args(Precision))}"
        )
