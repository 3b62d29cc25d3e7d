"""Which normalisation learns most: of batches, of each picture, or none, within equal parameters.

    .venv/bin/python benchmarks/normalisations.py \\
        --out benchmarks/records/normalisations-digits.json

Each stands in plain Flax where the architecture language has BatchNorm: `instance` with a scale and
an offset for each channel; `instance of two` with one of each for all channels of a layer, so two
parameters; `none` is a bias for each channel. How they are trained
tells `layer_kinds.py`; from one seed all start with the same kernels.

Prints the mean accuracy and log-loss on validation pictures, and by how much each differs in
log-loss from BatchNorm at its best rate, with the 95% interval over the paired seeds. What was
trained is in --out at once, and the same command goes on. Expect three minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from cyclopts import App
from flax import nnx
from layer_kinds import Layers, Out, compare
from plain_flax import flax_layers

app = App(help=__doc__, help_format="plaintext")


class Instance(nnx.Module):
    """Each picture's own mean and variance over its map; `of` scales and offsets, one or c."""

    def __init__(self, of: int) -> None:
        self.scale, self.bias = nnx.Param(jnp.ones(of)), nnx.Param(jnp.zeros(of))

    def __call__(self, x_nhwc: jax.Array) -> jax.Array:
        centred = x_nhwc - x_nhwc.mean((1, 2), keepdims=True)
        variance = jnp.square(centred).mean((1, 2), keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * self.scale[...] + self.bias[...]


class Bias(nnx.Module):
    """What is left where nothing is normalised."""

    def __init__(self, channels: int) -> None:
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x_nhwc: jax.Array) -> jax.Array:
        return x_nhwc + self.bias[...]


NORMALISATIONS: dict[str, Callable[..., Callable[..., Any]]] = {
    # With keys of its own, which nobody needs: so all kernels start alike whatever normalises.
    "batch": lambda channels, rngs: nnx.BatchNorm(channels, momentum=0.9, rngs=nnx.Rngs(0)),
    "instance": lambda channels, rngs: Instance(channels),
    "instance of two": lambda channels, rngs: Instance(1),
    "none": lambda channels, rngs: Bias(channels),
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
    """Train a first proposal's network with each normalisation from every seed."""
    kinds: dict[str, Layers] = {
        name: partial(flax_layers, normalise=normalise)
        for name, normalise in NORMALISATIONS.items()
    }
    same = {"base": base, "max_params": max_params, "epochs": epochs, "seeds": seeds}
    compare("normalisation", kinds, against="batch", data=data, out=out, **same)


if __name__ == "__main__":
    app()
