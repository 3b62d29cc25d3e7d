"""Eight bits lose little, and what is simulated is what integers compute."""

from pathlib import Path

import numpy as np
import pytest
from c_networks import deployed_of, quantised_of
from hypothesis import given, settings
from networks import MADE_UP, random_images
from strategies import SMALL_SHAPES, architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.deployed import Deployed, Step
from pennyweight.arch.errors import UsageError
from pennyweight.arch.folding import deploy
from pennyweight.arch.notation import parse
from pennyweight.arch.operations import Convolve, Flatten, Multiply
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.quantise import levels_of, quantise
from pennyweight.results.quantised import Levels, sums_of
from pennyweight.train import state_file
from pennyweight.train.data import describe, load_training_set, normalisation
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung


@pytest.mark.parametrize("network", MADE_UP, ids=lambda network: network.notation[:40])
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


def test_weights_take_a_byte_each_and_an_output_eight_more() -> None:
    quantised = quantised_of(parse("c3p A d2+", (8, 8, 1), 2))
    slope = 4
    assert quantised.weight_bytes == (27 + 6) + 8 * (3 + 2) + slope


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


def wide(weights: int, kernel: np.ndarray) -> Deployed:
    """A dense layer of one output on all pixels of a black-and-white picture."""
    shape = (1, weights, 1)
    flatten = Step(operation=Flatten(), inputs=(0,), input_shape=shape, output_shape=(weights,))
    multiply = Step(
        operation=Multiply(kernel=kernel.astype(np.float32).reshape(weights, 1)),
        inputs=(1,),
        input_shape=(weights,),
        output_shape=(1,),
    )
    return Deployed(
        input_shape=shape, classes=1, mean=(0.0,), std=(1.0,), steps=(flatten, multiply)
    )


def test_layers_so_wide_that_int32_might_overflow_are_refused_in_one_line() -> None:
    white = np.full((1, 1, 70_000, 1), 255, np.uint8)
    with pytest.raises(
        UsageError, match=r"step 2 \(multiply 70000 -> 1\).* 2,266,950,000: "
    ) as told:
        quantise(wide(70_000, np.ones(70_000)), white)
    assert "\n" not in str(told.value)
    few = np.where(np.arange(70_000) % 3, 0, 1)
    quantised = quantise(wide(70_000, few), white)
    np.testing.assert_allclose(quantised.logits(white), few.sum(), rtol=1e-5)


def test_no_picture_to_measure_on_is_refused() -> None:
    network = parse("A", (8, 8, 3), 3)
    with pytest.raises(ValueError, match="at least one picture"):
        quantise(deployed_of(network), random_images(network, 0))


@pytest.mark.extended
def test_the_best_network_on_mnist_loses_a_fifth_of_a_point_at_most(mnist: str) -> None:
    bundle = read_bundle(Path(__file__).parents[1] / "results" / "pretrained" / "mnist-8k")
    told = bundle.manifest["normalisation"]
    deployed = deploy(
        bundle.architecture, bundle.params, bundle.statistics, told["mean"], told["std"]
    )
    before, after = correct(deployed, mnist)
    assert before > 0.995 * 6_000
    assert after >= before - 0.002 * 6_000


def test_a_network_on_digits_hardly_loses_anything() -> None:
    info = describe("digits")
    network = parse("c8br c8br m2 c12br A d10+", info.input_shape, info.classes)
    chosen = Candidate(architecture=network, recipe=Recipe(), seed=0)
    task = Task(source="digits", split_seed=0, candidate=chosen, epochs=8, from_epoch=0, to_epoch=8)
    model = train_rung(task).model
    params, statistics = (state_file.layers(model, part) for part in ("weights", "statistics"))
    dataset = load_training_set("digits")
    learned = dataset.images[dataset.split(0).train]
    deployed = deploy(network, params, statistics, *normalisation(learned))
    before, after = correct(deployed, "digits")
    assert before > 0.85 * 288
    assert after >= before - 2


def correct(deployed: Deployed, data: str) -> tuple[int, int]:
    """How many validation pictures are classified well, in float and in integers."""
    dataset = load_training_set(data)
    parts = dataset.split(0)
    images, labels = dataset.images[parts.validation], dataset.labels[parts.validation]
    quantised = quantise(deployed, dataset.images[parts.train])
    right = [(model.logits(images).argmax(1) == labels).sum() for model in (deployed, quantised)]
    return int(right[0]), int(right[1])
