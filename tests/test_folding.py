"""What is deployed computes what the network does, with as many numbers as the cost says."""

import numpy as np
import pytest
from bundles import facts, network_logits
from hypothesis import given, settings
from networks import NETWORKS, random_images, random_weights
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.folding import deploy
from pennyweight.arch.layers import Shape
from pennyweight.arch.notation import parse
from pennyweight.arch.operations import Affine, Pass


def deployed_of(network: Architecture, seed: int = 0) -> Deployed:
    about = facts(network)
    return deploy(network, *random_weights(network, seed), about.mean, about.std)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.notation[:40])
def test_every_kind_of_layer_computes_the_same_deployed(network: Architecture) -> None:
    params, statistics = random_weights(network, 0)
    about = facts(network)
    images = random_images(network, 4)
    deployed = deploy(network, params, statistics, about.mean, about.std)
    wanted = network_logits(network, params, statistics, about, images)
    found = deployed.logits(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@settings(max_examples=150, derandomize=True)
@given(architectures())
def test_it_holds_as_many_numbers_as_the_cost_says(network: Architecture) -> None:
    assert deployed_of(network).params == cost(network).deployed_params


@settings(max_examples=60, derandomize=True, deadline=None)
@given(architectures())
def test_each_step_makes_a_value_of_its_shape(network: Architecture) -> None:
    deployed = deployed_of(network)
    values = deployed.values(random_images(network, 2))
    shapes: list[Shape] = [network.input_shape, *(step.output_shape for step in deployed.steps)]
    assert [value.shape for value in values] == [(2, *shape) for shape in shapes]
    assert all(value.dtype == np.float32 for value in values)
    last = deployed.last_uses()
    for number, step in enumerate(deployed.steps):
        assert all(value <= number <= last[value] for value in step.inputs)


def test_a_batch_norm_goes_into_the_kernel_before_it() -> None:
    (convolution, _, _) = deployed_of(parse("c8bb A d10+", (8, 8, 1), 10)).steps
    (offset,) = convolution.pointwise
    assert isinstance(offset, Affine)
    assert offset.scale is None


def test_weights_that_are_shared_are_one_array() -> None:
    deployed = deployed_of(parse("2[c3+b] A", (8, 8, 3), 3))
    names = list(deployed.arrays())
    assert names == [
        "step1_kernel", "step1_offset", "step1_scale2", "step1_offset2",
        "step2_scale2", "step2_offset2",
    ]  # fmt: skip


def test_a_value_that_others_still_need_stays_as_it_was() -> None:
    steps = deployed_of(parse("c3 (r c3) A", (8, 8, 1), 3)).steps
    assert isinstance(steps[1].operation, Pass)
    assert steps[3].inputs == (1, 3)


def test_no_pictures_have_no_logits() -> None:
    network = parse("A", (8, 8, 3), 3)
    assert deployed_of(network).logits(random_images(network, 0)).shape == (0, 3)
