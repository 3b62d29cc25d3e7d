"""network.js computes what NumPy does of every network that there can be."""

import base64

import numpy as np
import pytest
from javascript import needs_node, run
from networks import NETWORKS, random_images
from pages import deployed_of

from pennyweight.arch.deployed import Deployed
from pennyweight.results.deployed_json import deployed_json

pytestmark = needs_node

LOGITS = """
const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
console.log(JSON.stringify(argument.map(({ description, weights, images }) => {
  const logits = network(description, new Float32Array(bytes(weights).buffer));
  return images.map((levels) => [...logits(bytes(levels))]);
})));
"""


def run_all(networks: list[Deployed], images: list[np.ndarray]) -> list[np.ndarray]:
    """The logits of each network of its pictures."""
    argument = []
    for network, pictures in zip(networks, images, strict=True):
        description, weights = deployed_json(network)
        argument.append(
            {
                "description": description,
                "weights": base64.b64encode(weights).decode(),
                "images": [base64.b64encode(picture.tobytes()).decode() for picture in pictures],
            }
        )
    return [np.array(each, np.float32) for each in run(["network.js"], LOGITS, argument)]


@pytest.fixture(scope="module")
def found() -> list[np.ndarray]:
    images = [random_images(network, 3) for network in NETWORKS]
    return run_all([deployed_of(network) for network in NETWORKS], images)


@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=lambda i: NETWORKS[i].notation[:40])
def test_every_kind_of_layer_computes_the_same(found: list[np.ndarray], number: int) -> None:
    network = NETWORKS[number]
    wanted = deployed_of(network).logits(random_images(network, 3))
    assert found[number].shape == wanted.shape
    np.testing.assert_allclose(found[number], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_the_description_leaves_no_number_out() -> None:
    for network in NETWORKS:
        deployed = deployed_of(network)
        description, weights = deployed_json(deployed)
        ends = [each["start"] + np.prod(each["shape"]) for each in description["arrays"].values()]
        assert max(ends, default=0) == deployed.params == len(weights) / 4


def test_probabilities_add_up_to_one_however_large_the_logits() -> None:
    code = "console.log(JSON.stringify(argument.map((logits) => softmax(logits))));"
    found = run(["network.js"], code, [[1, 2, 3], [5000, 4999], [-1e30, 0]])
    np.testing.assert_allclose(found[0], np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum())
    np.testing.assert_allclose(found[1], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
    assert found[2] == [0, 1]


def test_a_picture_of_another_size_is_refused() -> None:
    description, _ = deployed_json(deployed_of(NETWORKS[5]))
    code = """
    try {
      network(argument, new Float32Array())(new Uint8Array(3));
    } catch (error) {
      console.log(JSON.stringify(error.message));
    }
    """
    assert run(["network.js"], code, description) == "The network takes 192 levels, but got 3."
