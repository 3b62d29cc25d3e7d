"""How a trained network does on pictures that are at hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.train.data import Dataset


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

    `mean` and `std` are those of the pictures it was trained on.
    """
    import jax
    from flax import nnx

    from pennyweight.arch.network import abstract
    from pennyweight.train import state_file
    from pennyweight.train.program import Pictures, judge

    graph, _, _ = abstract(architecture)
    weights, statistics = (state_file.layers(model, part) for part in ("weights", "statistics"))
    pictures = Pictures(
        images_nhwc=jax.numpy.asarray(dataset.images),
        labels_n=jax.numpy.asarray(dataset.labels, np.int32),
        mean_c=jax.numpy.asarray(mean, np.float32),
        std_c=jax.numpy.asarray(std, np.float32),
    )

    @jax.jit
    def run(weights: object, statistics: object, pictures: Pictures) -> tuple[jax.Array, jax.Array]:
        return judge(nnx.merge(graph, weights, statistics), pictures)

    correct, log_loss = run(weights, statistics, pictures)
    return Evaluation(int(correct), len(dataset.labels), float(log_loss))
