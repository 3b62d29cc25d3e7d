"""A trained network at work: logits as NumPy computes them, probabilities that add up."""

import numpy as np
import pytest
from test_evaluate import LINEAR, model

from pennyweight.train import state_file
from pennyweight.train.classifier import Classifier
from pennyweight.train.score import CHUNK

WEIGHTS = model(LINEAR.architecture, seed=3)
CLASSIFIER = Classifier.of_model(LINEAR.architecture, WEIGHTS, (0.4,), (0.3,))


@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 3])
def test_logits_are_those_of_numpy_whatever_the_last_part_is(count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    arrays = state_file.layers(WEIGHTS, "weights")["dense1"]
    flat = (images.reshape(count, 64) / 255 - 0.4) / 0.3
    wanted = flat @ arrays["kernel"] + arrays["bias"]
    found = CLASSIFIER.logits(images)
    assert found.shape == (count, 10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_probabilities_are_the_softmax_and_survive_large_logits() -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    logits = CLASSIFIER.logits(images).astype(np.float64)
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(CLASSIFIER.probabilities(images), wanted, rtol=1e-12)
    steep = Classifier.of_model(LINEAR.architecture, WEIGHTS, (0.4,), (1e-6,))
    found = steep.probabilities(images)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found.argmax(1).tolist() == steep.logits(images).argmax(1).tolist()


def test_damaged_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="The training state is damaged"):
        Classifier.of_model(LINEAR.architecture, WEIGHTS[:-9], (0.4,), (0.3,))
