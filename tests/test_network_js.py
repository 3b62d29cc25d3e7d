"""network.js computes what NumPy does of every network that there can be."""

import base64

import numpy as np
import pytest
from bundles import facts
from javascript import needs_node, run
from networks import NETWORKS, random_images, random_weights

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.folding import deploy
from pennyweight.arch.notation import parse
from pennyweight.results.deployed_json import deployed_json

pytestmark = needs_node

LOGITS = """
const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
console.log(JSON.stringify(argument.map(({ description, weights, images }) => {
  const logits = network(description, new Float32Array(bytes(weights).buffer));
  return images.map((levels) => [...logits(bytes(levels))]);
})));
"""


def deployed_of(network: Architecture) -> Deployed:
    about = facts(network)
    return deploy(network, *random_weights(network, 0), about.mean, about.std)


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
