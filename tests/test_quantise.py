"""Eight bits lose little, and what is simulated is what integers compute."""

import numpy as np
import pytest
from c_networks import deployed_of, quantised_of
from hypothesis import given, settings
from networks import NETWORKS, random_images
from strategies import SMALL_SHAPES, architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.deployed import Step
from pennyweight.arch.notation import parse
from pennyweight.arch.operations import Convolve, Multiply
from pennyweight.arch.zoo import ZOO
from pennyweight.results.quantise import levels_of, quantise
from pennyweight.results.quantised import Levels, sums_of

SMALL = NETWORKS[: -len(ZOO)]


@pytest.mark.parametrize("network", SMALL, ids=lambda network: network.notation[:40])
def test_eight_bits_come_near_the_logits(network: Architecture) -> None:
    images = random_images(network, 16)
    wanted = deployed_of(network).logits(images)
    found = quantised_of(network).logits(images)
    assert found.dtype == np.float32
    assert np.sqrt(np.square(found - wanted).mean()) < 0.06 * np.sqrt(np.square(wanted).mean())


@settings(max_examples=40, derandomize=True, deadline=None)
@given(architectures(SMALL_SHAPES))
def test_every_value_but_the_logits_is_levels(network: Architecture) -> None:
    quantised = quantised_of(network)
    *levels, logits = quantised.values(random_images(network, 3))
    assert {value.dtype for value in levels} == {np.dtype(np.int8)}
    assert logits.dtype == np.float32
    assert len(quantised.levels) == len(levels)
    for step in quantised.steps:
        if isinstance(step.operation, Convolve | Multiply):
            assert step.operation.kernel.dtype == np.int8
            assert np.abs(step.operation.kernel.astype(int)).max() <= 127


def test_one_channel_comes_in_as_it_is() -> None:
    quantised = quantised_of(parse("c3 A", (2, 128, 1), 3))
    every = np.arange(256, dtype=np.uint8).reshape(1, 2, 128, 1)
    assert (quantised.picture(every).astype(int) == every.astype(int) - 128).all()


def test_zero_is_a_level_and_the_ends_are_kept() -> None:
    for values in ([-1.0, 0.5], [0.2, 3.0], [-4.0, -1.0], [0.0, 0.0]):
        x = np.asarray(values, np.float32)
        levels = levels_of(x)
        back = (levels.of(x).astype(int) - levels.zero_point) * levels.scale
        assert levels.of(np.zeros(1, np.float32)) == levels.zero_point
        np.testing.assert_allclose(back, x, atol=levels.scale)


def test_a_few_far_values_are_cut_off_where_all_others_gain() -> None:
    x = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    x[0] = 12
    assert levels_of(x).scale < 0.9 * 16 / 255


def test_halves_go_up_and_what_is_outside_is_saturated() -> None:
    of = Levels(2.0, 3).of(np.asarray([-1000, -1, 0, 1, 2.9, 1000], np.float32))
    assert of.tolist() == [-128, 3, 3, 4, 4, 127]


def test_kernels_that_are_shared_stay_one() -> None:
    first, second = quantised_of(parse("2[c3+b] A", (8, 8, 3), 3)).steps[:2]
    assert isinstance(first.operation, Convolve)
    assert isinstance(second.operation, Convolve)
    assert first.operation.kernel is second.operation.kernel


def test_sums_are_exact_where_float32_would_round() -> None:
    random = np.random.default_rng(0)
    kernel = random.integers(-127, 128, (5, 5, 64, 2), dtype=np.int8)
    x = random.integers(-255, 256, (1, 5, 5, 64), dtype=np.int16)
    step = Step(
        operation=Convolve(kernel=kernel), inputs=(0,), input_shape=(5, 5, 64), output_shape=(2,)
    )
    (sums,) = sums_of(step, [x])
    wanted = np.einsum("nijc,ijco->no", x.astype(np.int64), kernel.astype(np.int64))
    assert (sums.reshape(1, 2) == wanted).all()


def test_no_picture_to_measure_on_is_refused() -> None:
    network = parse("A", (8, 8, 3), 3)
    with pytest.raises(ValueError, match="at least one picture"):
        quantise(deployed_of(network), random_images(network, 0))
