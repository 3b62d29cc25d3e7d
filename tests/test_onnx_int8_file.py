"""The quantised ONNX graph gives about the logits that are simulated, whatever the weights are."""

import numpy as np
import pytest
from bundles import facts
from networks import random_images, random_weights

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.folding import deploy
from pennyweight.arch.network import Tree
from pennyweight.arch.notation import parse
from pennyweight.results.onnx_int8_file import onnx_int8_file
from pennyweight.results.quantise import quantise


def same_everywhere(network: Architecture, params: Tree, statistics: Tree) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    about, images = facts(network), random_images(network, 16)
    deployed = deploy(network, params, statistics, about.mean, about.std)
    quantised = quantise(deployed, images)
    content = onnx_int8_file(quantised, notation="", class_names=about.class_names)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"pictures": images})
    np.testing.assert_allclose(logits, quantised.logits(images), atol=1e-4)
    np.testing.assert_allclose(logits, deployed.logits(images), atol=0.05)


@pytest.mark.parametrize("scale", [0, 1e-7, 1e-36])
def test_channels_that_are_hardly_more_than_their_offsets_keep_them(scale: float) -> None:
    network = parse("c8bp m2 A d10+", (8, 8, 1), 10)
    params, statistics = random_weights(network, 0)
    (norm,) = (arrays for arrays in params.values() if "scale" in arrays)
    norm["scale"] = np.full(8, scale, np.float32)
    norm["bias"] = np.linspace(1.5, 2.2, 8, dtype=np.float32)
    same_everywhere(network, params, statistics)


def test_so_do_channels_of_a_kernel_that_several_rounds_share() -> None:
    network = parse("c4 2[c4+] A d10+", (8, 8, 1), 10)
    params, statistics = random_weights(network, 0)
    (shared,) = (
        arrays for arrays in params.values() if "bias" in arrays and np.ndim(arrays["kernel"]) == 4
    )
    shared["kernel"] *= np.float32(1e-11)
    shared["bias"] = np.linspace(1.5, 2.2, 4, dtype=np.float32)
    same_everywhere(network, params, statistics)
