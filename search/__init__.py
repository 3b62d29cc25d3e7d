"""How a network is found: the search, from Python as from the command line.

    from pennyweight.search import search

    if __name__ == "__main__":  # in a script: the workers import it again
        found = search("digits", max_params=8_000, trials=30)
        print(found.best.notation, found.best.val_accuracy)
        found.export("best")

In a notebook, where no guard is needed, a cell that ends in `found` shows the leaderboard.

`search` launches a study or goes on with it and returns `Found`, and so does `train`, which trains
one network as a study of one trial (a `Training`); `UsageError` is what both raise for anything
that cannot be. `Settings` and `Genome` are what a study is and what is proposed in it. Names load
when they are first used (PEP 562), so importing this imports neither JAX nor Optuna. A function
that shares its module's name is imported from that module:
`from pennyweight.search.decode import decode`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.arch.errors import UsageError
    from pennyweight.search.genome import Genome
    from pennyweight.search.launch import Found, search
    from pennyweight.search.settings import Settings
    from pennyweight.search.single import Training, train

__all__ = ["Found", "Genome", "Settings", "Training", "UsageError", "search", "train"]

_HOMES = {
    "pennyweight.arch.errors": ("UsageError",),
    "pennyweight.search.genome": ("Genome",),
    "pennyweight.search.launch": ("Found", "search"),
    "pennyweight.search.settings": ("Settings",),
    "pennyweight.search.single": ("Training", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
