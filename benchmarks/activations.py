"""Which activation learns most: ReLU, leaky, learned slopes or smooth, within equal parameters.

    .venv/bin/python benchmarks/activations.py --out benchmarks/records/activations-digits.json

Each stands in plain Flax where the network has its activations: `relu`; `leaky` with slopes of
0.01, of 0.1 or of 0.25, where PReLU starts; `prelu` with a learned slope for each layer, at the
cost of a parameter; `silu`, x times its sigmoid; and `gelu`, x times the part of the normal
distribution below it. How they are trained tells `layer_kinds.py`; of what is as wide, from one
seed all start with the same kernels.

Prints the mean accuracy and log-loss on validation pictures, and by how much each differs in
log-loss from PReLU at its best rate, with the 95% interval over the paired seeds. What was trained
is in --out at once, and the same command goes on. Expect three minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cyclopts import App
from flax import nnx
from layer_kinds import Layers, Out, compare
from plain_flax import flax_layers

app = App(help=__doc__, help_format="plaintext")

ACTIVATIONS: dict[str, Callable[[], Callable[..., Any]]] = {
    "relu": lambda: nnx.relu,
    "leaky 0.01": lambda: partial(nnx.leaky_relu, negative_slope=0.01),
    "leaky 0.1": lambda: partial(nnx.leaky_relu, negative_slope=0.1),
    "leaky 0.25": lambda: partial(nnx.leaky_relu, negative_slope=0.25),
    "prelu": lambda: nnx.PReLU(0.25),
    "silu": lambda: nnx.silu,
    "gelu": lambda: nnx.gelu,
}


@app.default
def main(
    *,
    data: str = "digits",
    base: str = "shared",
    max_params: int = 999,
    epochs: int = 20,
    seeds: int = 12,
    out: Out,
) -> None:
    """Train a first proposal's network with each activation from every seed."""
    kinds: dict[str, Layers] = {
        name: partial(flax_layers, activate=activate) for name, activate in ACTIVATIONS.items()
    }
    same = {"base": base, "max_params": max_params, "epochs": epochs, "seeds": seeds}
    compare("activation", kinds, against="prelu", data=data, out=out, **same)


if __name__ == "__main__":
    app()
