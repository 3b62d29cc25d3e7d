"""How a trained network does on pictures that are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pennyweight.arch.architecture import Architecture
from pennyweight.train.data import Dataset, load_training_set, normalisation
from pennyweight.train.door import Ledger, Purpose, open_test_set
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
    import jax.numpy as jnp

    from pennyweight.train.classifier import Classifier
    from pennyweight.train.score import tally

    classifier = Classifier.of_model(architecture, model, mean, std)
    logits = jnp.asarray(classifier.logits(dataset.images))
    labels = jnp.asarray(dataset.labels, jnp.int32)
    correct, loss = tally(logits, labels, jnp.full(labels.shape, True))
    return Evaluation(int(correct), len(dataset.labels), float(loss) / len(dataset.labels))


def measure_on_test(
    task: Task, model: bytes, *ledgers: Path | Ledger, purpose: Purpose
) -> Evaluation:
    """The network of `task` with the weights `model` on the test set.

    The one reading is written into each of `ledgers`, at least one, before any picture is read.
    Raises as `open_test_set` does.
    """
    from pennyweight.train.classifier import Classifier

    dataset = load_training_set(task.source)
    learned = dataset.split(task.split_seed).learned(whole=task.whole)
    normalised = normalisation(dataset.images[learned])
    classifier = Classifier.of_model(task.candidate.architecture, model, *normalised)
    opened = [
        open_test_set(task.source, purpose=purpose, model=classifier.identity, ledger=ledger)
        for ledger in ledgers
    ]
    return evaluate(task.candidate.architecture, model, opened[0], *normalised)
