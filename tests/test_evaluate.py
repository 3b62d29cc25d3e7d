"""A trained network on pictures: counts and log-loss, against plain NumPy."""

import numpy as np
import pytest
from training import STILL, candidate

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.network import draw_weights
from pennyweight.train import state_file
from pennyweight.train.data import Dataset, load_training_set, normalisation
from pennyweight.train.evaluate import Evaluation, evaluate
from pennyweight.train.rung import Outcome, Task, train_rung
from pennyweight.train.score import CHUNK

LINEAR = candidate("F d10+", **STILL)  # logits are one matrix product, which NumPy does as well


def model(architecture: Architecture, seed: int) -> bytes:
    params, statistics = draw_weights(architecture, seed)
    return state_file.pack({"weights": params, "statistics": statistics})


def dataset(images: np.ndarray, labels: np.ndarray) -> Dataset:
    return Dataset(
        source="made-up",
        images=images,
        labels=labels.astype(np.int32),
        class_names=tuple("0123456789"),
        fingerprint="0" * 16,
        strata=labels,
    )


def random_pictures(count: int) -> Dataset:
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return dataset(images, random.integers(0, 10, count))


def by_numpy(weights: bytes, pictures: Dataset, mean: float, std: float) -> Evaluation:
    ((layer, arrays),) = state_file.layers(weights, "weights").items()
    assert layer == "dense1"
    kernel, bias = (np.asarray(arrays[name], np.float64) for name in ("kernel", "bias"))
    flat = (pictures.images.reshape(len(pictures.labels), -1) / 255 - mean) / std
    logits = flat @ kernel + bias
    likely = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -likely[np.arange(len(logits)), pictures.labels].mean()
    return Evaluation(int((logits.argmax(1) == pictures.labels).sum()), len(logits), float(loss))


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
def test_every_picture_counts_once_whatever_the_last_part_is(count: int) -> None:
    pictures, weights = random_pictures(count), model(LINEAR.architecture, seed=1)
    found = evaluate(LINEAR.architecture, weights, pictures, (0.4,), (0.3,))
    wanted = by_numpy(weights, pictures, 0.4, 0.3)
    assert found[:2] == wanted[:2]
    assert found.log_loss == pytest.approx(wanted.log_loss, rel=1e-4)
    assert found.accuracy == wanted.correct / count


@pytest.fixture(scope="module")
def trained() -> Outcome:
    """One epoch of a network with BatchNorm, whose averaged statistics matter."""
    task = Task(
        source="digits",
        split_seed=0,
        candidate=candidate("m2 c4rb A d10+"),
        epochs=1,
        from_epoch=0,
        to_epoch=1,
    )
    return train_rung(task)


def test_the_validation_split_gives_what_training_said(trained: Outcome) -> None:
    training = load_training_set("digits")
    parts = training.split(0)
    validation = dataset(training.images[parts.validation], training.labels[parts.validation])
    mean, std = normalisation(training.images[parts.train])
    architecture = candidate("m2 c4rb A d10+").architecture
    found = evaluate(architecture, trained.model, validation, mean, std)
    assert (found.correct, found.total) == (trained.curve[-1].val_correct, trained.val_total)
    assert found.log_loss == pytest.approx(trained.curve[-1].val_log_loss, rel=1e-4)
