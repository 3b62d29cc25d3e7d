"""What a form of an exported network is: how its files are made, used and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.trained import Trained

EXTRA = "export"  # what pip installs for the forms that need more


class Unavailable(Exception):
    """What a proof needs is not on this machine; the message says what."""


@dataclass(frozen=True)
class Ran:
    """What a form's files gave for n pictures."""

    logits: np.ndarray  # (n, classes)
    details: Mapping[str, Any] = field(default_factory=dict)  # for the manifest


@dataclass(frozen=True, kw_only=True)
class Form:
    """`run` needs the bundle's folder and uint8 pictures, and raises Unavailable or RunError.

    An `exact` form gives the network's logits but for rounding. Another one gives those of the
    quantised network; on average they may lie `apart` by that share of the logits' deviation.
    """

    name: str
    what: str  # for people
    needs: str  # to be run
    use: str  # an example, a few lines of `language`
    files: Callable[[Trained], dict[str, bytes]]
    run: Callable[[Path, np.ndarray], Ran]
    apart: float | None = None  # of the quantised network: see below
    language: str = "python"

    @property
    def exact(self) -> bool:
        return self.apart is None

    @property
    def probed(self) -> str:
        """Which array of a bundle's probe holds what this form must give."""
        return "logits" if self.exact else "quantised"
