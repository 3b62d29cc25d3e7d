"""Kinds of layers compared, each in the same network in plain Flax, trained from the same seeds.

Each kind has the widest network of a first proposal that the cap allows. AdamW trains all, at
several peak learning rates, without augmentation and without averaging; from one seed all see the
same batches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import optax
from cyclopts import Parameter
from flax import nnx
from growing import keep, known_rows
from paired import finite_or_none, paired_lines
from plain_flax import State, flax_start, flax_step

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.search.decode import decode
from pennyweight.search.proposals import FIRST
from pennyweight.train.data import describe, load_training_set, normalisation

RATES = (0.005, 0.01, 0.02, 0.05)
BATCH = 64

Layers = Callable[[Architecture, nnx.Rngs], Sequence[Callable[..., Any]]]
Out = Annotated[Path, Parameter(help="The record, which is gone on with.")]


def compare(
    name: str,
    kinds: Mapping[str, Layers],
    *,
    against: str,
    data: str,
    base: str,
    max_params: int,
    epochs: int,
    seeds: int,
    out: Path,
) -> None:
    """Train the network with each of the `kinds` of layers from every seed, and print the table.

    Its first column is `name`; the last tells how each differs from `against` at its best rate.
    """
    info, dataset = describe(data), load_training_set(data)
    networks = {
        kind: _widest(base, info.input_shape, info.classes, max_params, layers)
        for kind, layers in kinds.items()
    }
    settings = {"benchmark": f"{name}s", "data": data, "epochs": epochs, "batch_size": BATCH}
    settings["networks"] = {
        kind: {"notation": network.notation, "parameters": parameters}
        for kind, (network, parameters) in networks.items()
    }
    rows = known_rows(out, settings)
    done = {(row[name], row["rate"], row["seed"]) for row in rows}
    split = dataset.split(0)
    mean_c, std_c = (np.asarray(each) for each in normalisation(dataset.images[split.train]))
    training, validation = (
        (((dataset.images[part] / 255 - mean_c) / std_c).astype(np.float32), dataset.labels[part])
        for part in (split.train, split.validation)
    )
    for kind, rate in product(kinds, RATES):
        missing = [seed for seed in range(seeds) if (kind, rate, seed) not in done]
        if not missing:
            continue
        train = _trainer(networks[kind][0], kinds[kind], rate, epochs, len(training[1]))
        for seed in missing:
            found = train(seed, training, validation)
            rows = [*rows, {name: kind, "rate": rate, "seed": seed, **found}]
            keep(out, settings, rows)
    asked = [row for row in rows if row["seed"] < seeds]
    print("\n".join(paired_lines(asked, name, base=against)))


def _widest(
    base: str, shape: tuple[int, int, int], classes: int, cap: int, layers: Layers
) -> tuple[Architecture, int]:
    """The widest network of the proposal that has `cap` parameters at most, and how many it has."""
    found = None
    for limit in count(cap - cap // 10):
        network = decode(FIRST[base], Budget(max_params=limit), shape, classes)
        if found and network == found[0]:
            continue
        model = nnx.eval_shape(partial(_model, network, layers, 0))
        parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
        if parameters > cap:
            break
        found = network, parameters
    if not found:
        sys.exit(f"{base} has more than {cap} parameters, however narrow it is: allow more.")
    return found


def _model(network: Architecture, layers: Layers, seed: int) -> nnx.Sequential:
    return nnx.Sequential(*layers(network, nnx.Rngs(seed)))


Pictures = tuple[np.ndarray, np.ndarray]


def _trainer(
    network: Architecture, layers: Layers, rate: float, epochs: int, examples: int
) -> Callable[[int, Pictures, Pictures], dict[str, Any]]:
    """A function that trains from a seed on so many examples, and measures on other pictures."""
    steps = examples // BATCH
    transform = optax.adamw(optax.cosine_onecycle_schedule(epochs * steps, rate), weight_decay=1e-4)
    graph, _ = flax_start(_model(network, layers, 0), transform)
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
        _, state = flax_start(_model(network, layers, seed), transform)
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
