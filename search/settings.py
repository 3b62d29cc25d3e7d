"""What defines a study: the same settings resume it, others are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from pennyweight.arch.budget import Budget, check_count
from pennyweight.arch.errors import UsageError, close_names
from pennyweight.results.pretrained import RESERVED
from pennyweight.search.genome import check_genome, check_ranges
from pennyweight.train.corrections import Corrections
from pennyweight.train.precision import PRECISION, Precision, check_precision

# What a search is where nothing else is asked for.
DATA = "digits"
MAX_PARAMS = Budget.max_params
MAX_EPOCHS = Budget.max_epochs
TRIALS = 30

Sampler = Literal["tpe", "nsga2", "gp", "random"]
ETA = 3  # of successive halving: a rung lets one in three go on
SPACE = 5  # version of the genes, their choices, and how they decode: raised when one changes


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A search, apart from how long and on how many workers it runs."""

    data: str
    budget: Budget
    sampler: Sampler = "tpe"
    seed: int = 0  # of the sampler, the split and the candidates
    group: int = 1  # trials of one structure, which share what is compiled
    precision: Precision = PRECISION
    after: tuple[str, ...] = ()  # other studies and bundles, whose best is asked first:
    first: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # genomes by MODEL
    refine: str | None = None  # another study, around whose best alone this one looks:
    ranges: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # by gene, see `refine.py`

    def __post_init__(self) -> None:
        if self.sampler not in get_args(Sampler):
            raise UsageError(
                f"--sampler cannot be {self.sampler!r}: "
                f"{close_names(self.sampler, get_args(Sampler))}"
            )
        if type(self.seed) is not int or not 0 <= self.seed < 2**31:
            raise UsageError(f"--seed must be from 0 to {2**31 - 1}, but got {self.seed!r}.")

        if self.refine and self.after:
            raise UsageError(
                f"--refine asks the best of {self.refine} first by itself, and looks nowhere else: "
                "leave out --after."
            )
        check_count("--group", self.group)
        for name, genome in self.first.items():
            check_genome(name, genome)
        check_ranges(self.ranges)
        check_precision(self.precision)

    @property
    def name(self) -> str:
        """The study's name where the user gives none."""
        data = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.data)
        others = {
            "epochs": (self.budget.max_epochs, MAX_EPOCHS),
            "macs": (self.budget.max_macs, None),
            "bytes": (self.budget.max_activation_bytes, None),
            "seed": (self.seed, 0),
        }
        unusual = [f"{name}{value}" for name, (value, usual) in others.items() if value != usual]
        unusual += [self.sampler] if self.sampler != "tpe" else []
        unusual += ["refined"] if self.refine else []
        unusual += [self.precision] if self.precision != PRECISION else []
        return "-".join([data, str(self.budget.max_params), *unusual])

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which candidates are compared, the epoch limit last.

        >>> Settings(data="digits", budget=Budget(max_epochs=15)).rungs
        (2, 6, 15)
        """
        limit = self.budget.max_epochs
        epochs = [self.first_rung]
        while epochs[-1] < limit:
            epochs.append(min(limit, ETA * epochs[-1]))
        return tuple(epochs)

    @property
    def first_rung(self) -> int:
        """Epochs before the first comparison: two rungs of pruning, then one in nine is left."""
        return -(-self.budget.max_epochs // ETA**2)

    def to_json(self) -> dict[str, Any]:
        described = asdict(self) | {"space": SPACE}
        if self.precision == PRECISION:  # as in studies from before there was a choice
            del described["precision"]
        if not self.after:
            del described["after"]
        if not self.first:
            del described["first"]
        if not self.refine:
            del described["refine"], described["ranges"]
        return described | relabelling(self.data)

    def gone_on_with(self, recorded: Mapping[str, Any]) -> Settings:
        """These settings for a study that has `recorded` ones: what it was to ask first, stays.

        Unless other studies are named; the same ones may have been gone on with since.
        """
        theirs = tuple(recorded.get("after", ()))
        refined = recorded.get("refine")
        if (self.after and set(self.after) != set(theirs)) or self.refine not in (None, refined):
            return self
        first, ranges = recorded.get("first", {}), recorded.get("ranges", {})
        return replace(self, after=theirs, first=first, refine=refined, ranges=ranges)

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """How these settings differ from `recorded` ones, a clause each."""
        if "sampler" not in recorded:
            return ["it is no search"]
        usual = {"precision": PRECISION, "after": "nothing", "refine": "nothing", "corrections": 0}
        usual |= dict.fromkeys(("corrections_file", "corrections_fingerprint"), "none")
        mine, theirs = (usual | _flat(settings) for settings in (self.to_json(), recorded))
        return [
            f"{name} is {_shown(theirs.get(name))} there and {_shown(mine.get(name))} here"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def relabelling(data: str) -> dict[str, Any]:
    """What a study's settings tell of the corrections of its data; nothing where there are none."""
    corrections = Corrections.of(data)
    return {"relabel": corrections.to_json()} if corrections else {}


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be a study's: a folder's name, and not reserved."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name) or name == RESERVED:
        raise UsageError(
            "--study must be letters, digits, dots, dashes and underscores, at most 100, and not "
            f"`pretrained`, but got {name!r}."
        )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in settings.items():
        if name == "after":
            value = " ".join(sorted(value))
        # These follow from `after` and `refine`, and what they name may have changed since.
        if name not in ("first", "ranges"):
            flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def _shown(value: object) -> str:
    return "unlimited" if value is None else str(value)
