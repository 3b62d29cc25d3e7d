"""How a trained network does on pictures that are at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.train.data import Dataset, load_training_set, normalisation, split
from pennyweight.train.door import Purpose, open_test_set
from pennyweight.train.rung import Task


class Evaluation(NamedTuple):
    """Counts over all pictures, and the mean log-loss in nats."""

    correct: int
    total: int
    log_loss: float

    @property
    def accuracy(self) -> float:
        """As a fraction."""
        return self.correct / self.total


def evaluate(
    architecture: Architecture,
    model: bytes,
    dataset: Dataset,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Evaluation:
    """The network with the weights `model`, as a rung left them, on every picture of `dataset`.

    `mean` and `std` are those of the pictures it was trained on. It is computed in float32, as an
    exported network is.
    """
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from pennyweight.arch.network import abstract
    from pennyweight.train import state_file
    from pennyweight.train.program import CHUNK, tally

    graph, _, _ = abstract(architecture)
    weights, statistics = (state_file.layers(model, part) for part in ("weights", "statistics"))
    mean_c, std_c = (np.asarray(value, np.float32).reshape(1, 1, 1, -1) for value in (mean, std))

    @jax.jit
    def run(images_nhwc: jax.Array, labels_n: jax.Array) -> tuple[jax.Array, jax.Array]:
        network = nnx.merge(graph, weights, statistics)
        with jax.default_matmul_precision("float32"):  # GPUs and TPUs would round to fewer bits
            logits = network((images_nhwc.astype(jnp.float32) / 255 - mean_c) / std_c)
        return tally(logits, labels_n, jnp.full(labels_n.shape, True))

    correct, loss = 0, 0.0
    for start in range(0, len(dataset.labels), CHUNK):  # the last, partial chunk compiles once more
        chunk = slice(start, start + CHUNK)
        counted, summed = run(dataset.images[chunk], np.asarray(dataset.labels[chunk], np.int32))
        correct, loss = correct + int(counted), loss + float(summed)
    return Evaluation(correct, len(dataset.labels), loss / len(dataset.labels))


def measure_on_test(task: Task, model: bytes, *, purpose: Purpose, ledger: Path) -> Evaluation:
    """The network of `task` with the weights `model` on the test set.

    The reading is written into `ledger` before any picture is read. Raises as `open_test_set` does.
    """
    dataset = load_training_set(task.source)
    learned = split(dataset.labels, task.split_seed).learned(whole=task.whole)
    architecture = task.candidate.architecture
    identity = f"{architecture.fingerprint} {hashlib.sha256(model).hexdigest()[:16]}"
    pictures = open_test_set(task.source, purpose=purpose, model=identity, ledger=ledger)
    return evaluate(architecture, model, pictures, *normalisation(dataset.images[learned]))
