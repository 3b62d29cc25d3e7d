"""What a network is: the architecture as a frozen value, its cost, and the Flax module made of it.

`parse` reads the one-line notation, `Architecture.from_json` the JSON form, and `ZOO` holds
networks made by hand; `Cost` and `Budget` say what a network costs and may cost; `Network`,
`abstract` and `draw_weights` are the Flax NNX side, and only they import JAX. Names load when they
are first used (PEP 562), so that describing and listing networks stays quick. A function that
shares its module's name is imported from that module: `from pennyweight.arch.cost import cost`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.arch.architecture import Architecture, Placed
    from pennyweight.arch.budget import Budget
    from pennyweight.arch.cost import Cost, layer_table
    from pennyweight.arch.errors import UsageError
    from pennyweight.arch.layers import Call, Layer
    from pennyweight.arch.network import Network, abstract, draw_weights
    from pennyweight.arch.notation import parse
    from pennyweight.arch.zoo import ZOO

__all__ = [
    "ZOO",
    "Architecture",
    "Budget",
    "Call",
    "Cost",
    "Layer",
    "Network",
    "Placed",
    "UsageError",
    "abstract",
    "draw_weights",
    "layer_table",
    "parse",
]

_HOMES = {
    "architecture": ("Architecture", "Placed"),
    "budget": ("Budget",),
    "cost": ("Cost", "layer_table"),
    "errors": ("UsageError",),
    "layers": ("Call", "Layer"),
    "network": ("Network", "abstract", "draw_weights"),
    "notation": ("parse",),
    "zoo": ("ZOO",),
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
