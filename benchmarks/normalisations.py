"""Which normalisation learns most: of batches, of each picture, or none, within equal parameters.

    .venv/bin/python benchmarks/normalisations.py \\
        --out benchmarks/records/normalisations-digits.json

Each stands in plain Flax where the architecture language has BatchNorm: `instance` with a scale and
an offset for each channel; `instance of two` with one of each for all channels of a layer, so two
parameters; `none` is a bias for each channel. Each has the widest network that the cap allows.
AdamW trains all alike, at several peak learning rates, without augmentation and without averaging;
from one seed all start with the same kernels and see the same batches.

Prints the mean accuracy and log-loss on validation pictures, and by how much each differs in
log-loss from BatchNorm at its best rate, with the 95% interval over the paired seeds. What was
trained is in --out at once, and the same command goes on. Expect three minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cyclopts import App, Parameter
from flax import nnx
from growing import keep, known_rows
from paired import finite_or_none, paired_lines
from plain_flax import State, flax_layers, flax_start, flax_step

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.search.decode import decode
from pennyweight.search.proposals import FIRST
from pennyweight.train.data import describe, load_training_set, normalisation

RATES = (0.005, 0.01, 0.02, 0.05)
BATCH = 64

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


Normalise = Callable[..., Callable[..., Any]]
KINDS: dict[str, Normalise] = {
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
    out: Annotated[Path, Parameter(help="The record, which is gone on with.")],
) -> None:
    """Train a first proposal's network with each normalisation from every seed."""
    info, dataset = describe(data), load_training_set(data)
    networks = {
        kind: _widest(base, info.input_shape, info.classes, max_params, normalise)
        for kind, normalise in KINDS.items()
    }
    settings = {"benchmark": "normalisations", "data": data, "epochs": epochs, "batch_size": BATCH}
    settings["networks"] = {
        kind: {"notation": network.notation, "parameters": parameters}
        for kind, (network, parameters) in networks.items()
    }
    rows = known_rows(out, settings)
    done = {(row["normalisation"], row["rate"], row["seed"]) for row in rows}
    split = dataset.split(0)
    mean_c, std_c = (np.asarray(each) for each in normalisation(dataset.images[split.train]))
    training, validation = (
        (((dataset.images[part] / 255 - mean_c) / std_c).astype(np.float32), dataset.labels[part])
        for part in (split.train, split.validation)
    )
    for kind, rate in product(KINDS, RATES):
        missing = [seed for seed in range(seeds) if (kind, rate, seed) not in done]
        if not missing:
            continue
        train = _trainer(networks[kind][0], KINDS[kind], rate, epochs, len(training[1]))
        for seed in missing:
            found = train(seed, training, validation)
            rows = [*rows, {"normalisation": kind, "rate": rate, "seed": seed, **found}]
            keep(out, settings, rows)
    asked = [row for row in rows if row["seed"] < seeds]
    print("\n".join(paired_lines(asked, "normalisation", base="batch")))


def _widest(
    base: str, shape: tuple[int, int, int], classes: int, cap: int, normalise: Normalise
) -> tuple[Architecture, int]:
    """The widest network of the proposal that has `cap` parameters at most, and how many it has."""
    found = None
    for limit in count(cap - cap // 10):
        network = decode(FIRST[base], Budget(max_params=limit), shape, classes)
        if found and network == found[0]:
            continue
        model = nnx.eval_shape(partial(_model, network, normalise, 0))
        parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
        if parameters > cap:
            break
        found = network, parameters
    if not found:
        sys.exit(f"{base} has more than {cap} parameters, however narrow it is: allow more.")
    return found


def _model(network: Architecture, normalise: Normalise, seed: int) -> nnx.Sequential:
    return nnx.Sequential(*flax_layers(network, nnx.Rngs(seed), normalise))


Pictures = tuple[np.ndarray, np.ndarray]


def _trainer(
    network: Architecture, normalise: Normalise, rate: float, epochs: int, examples: int
) -> Callable[[int, Pictures, Pictures], dict[str, Any]]:
    """A function that trains from a seed on so many examples, and measures on other pictures."""
    steps = examples // BATCH
    transform = optax.adamw(optax.cosine_onecycle_schedule(epochs * steps, rate), weight_decay=1e-4)
    graph, _ = flax_start(_model(network, normalise, 0), transform)
    step = jax.jit(partial(flax_step, graph, transform))

    @jax.jit
    def measured(
        state: State, images_nhwc: jax.Array, labels_n: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, state.params, state.statistics, copy=True)
        model.eval()
        logits_nk = model(images_nhwc)
        loss_n = optax.softmax_cross_entropy_with_integer_labels(logits_nk, labels_n)
        return (logits_nk.argmax(1) == labels_n).mean(), loss_n.mean()

    def train(seed: int, training: Pictures, validation: Pictures) -> dict[str, Any]:
        _, state = flax_start(_model(network, normalise, seed), transform)
        random = np.random.default_rng(seed)
        images, labels = training
        losses: list[jax.Array] = []
        for _ in range(epochs):
            losses.clear()
            for chosen in random.permutation(examples)[: steps * BATCH].reshape(steps, BATCH):
                state, loss = step(state, images[chosen], labels[chosen])
                losses.append(loss)
        right, log_loss = jax.device_get(measured(state, *validation))
        return {
            "accuracy": float(right),
            "train_loss": finite_or_none(np.mean(jax.device_get(losses))),
            "log_loss": finite_or_none(log_loss),
        }

    return train


if __name__ == "__main__":
    app()
