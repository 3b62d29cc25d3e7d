"""How a network learns: data sets and their splits, the recipe, and the compiled training.

`describe` and `load_training_set` read the data, `split` divides the training part, and
`open_test_set` is the only way to the test pictures. A `Candidate` is an architecture, a `Recipe`
and a seed; `train_rung` trains one from epoch to epoch as its `Task` says, and only it imports JAX.
Names load when they are first used (PEP 562). A function that shares its module's name is imported
from that module: `from pennyweight.train.evaluate import evaluate`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.train.data import (
        DataInfo,
        Dataset,
        Split,
        available,
        describe,
        load_training_set,
        normalisation,
        split,
    )
    from pennyweight.train.door import distinct_readings, open_test_set
    from pennyweight.train.recipe import Candidate, Recipe
    from pennyweight.train.rung import Outcome, Point, Task, train_rung, warm_up

__all__ = [
    "Candidate",
    "DataInfo",
    "Dataset",
    "Outcome",
    "Point",
    "Recipe",
    "Split",
    "Task",
    "available",
    "describe",
    "distinct_readings",
    "load_training_set",
    "normalisation",
    "open_test_set",
    "split",
    "train_rung",
    "warm_up",
]

_HOMES = {
    "data": (
        "DataInfo",
        "Dataset",
        "Split",
        "available",
        "describe",
        "load_training_set",
        "normalisation",
        "split",
    ),
    "door": ("distinct_readings", "open_test_set"),
    "recipe": ("Candidate", "Recipe"),
    "rung": ("Outcome", "Point", "Task", "train_rung", "warm_up"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
