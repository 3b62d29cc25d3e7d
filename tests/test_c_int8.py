"""The int8 C program of every kind of network computes what its simulation does."""

import numpy as np
import pytest
from c_networks import (
    SANITIZED,
    close,
    compiler,
    deployed_of,
    float_program,
    has_silu,
    int8_program,
    quantised_of,
)
from hypothesis import given, settings
from networks import MADE_UP, NETWORKS, random_images
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.results.c_program import measure_c, run_c


def same_as_simulated(network: Architecture, flags: tuple[str, ...]) -> None:
    images = random_images(network, 5)
    quantised = quantised_of(network)
    program = int8_program(network, quantised)
    found = run_c(program, images, compiler=compiler(), name="model_int8", flags=flags)
    wanted = quantised.logits(images)
    if has_silu(deployed_of(network)):  # expf may round otherwise, and so to another level
        close(found, wanted, within=0.05)
    else:  # to the bit, but for what a compiler makes of floats: another level were far more
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < 1e-4


@pytest.mark.parametrize("network", MADE_UP, ids=lambda network: network.notation[:40])
def test_the_int8_program_computes_what_is_simulated(network: Architecture) -> None:
    same_as_simulated(network, ("-O2",))


@pytest.mark.extended
@pytest.mark.parametrize("flags", [("-Os",), SANITIZED], ids=["small", "sanitized"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.notation[:40])
def test_it_does_under_other_flags_and_where_every_access_is_watched(
    network: Architecture, flags: tuple[str, ...]
) -> None:
    same_as_simulated(network, flags)


def test_both_programs_of_a_network_link_together() -> None:
    network = MADE_UP[0]
    both = float_program(network) | int8_program(network, quantised_of(network))
    images = random_images(network, 2)
    found = run_c(both, images, compiler=compiler())
    assert (found.argmax(1) == deployed_of(network).logits(images).argmax(1)).all()


def test_its_arena_is_a_quarter_of_that_of_floats() -> None:
    network = MADE_UP[0]
    wide = measure_c(float_program(network), compiler=compiler())
    narrow = measure_c(int8_program(network, quantised_of(network)), compiler=compiler())
    assert wide is not None
    assert narrow is not None
    assert 4 * narrow.static_bytes == wide.static_bytes
    assert narrow.flash_bytes < wide.flash_bytes


@pytest.mark.extended
@settings(max_examples=25, derandomize=True, deadline=None)
@given(architectures(most=4))
def test_programs_of_random_networks_compute_what_they_should(network: Architecture) -> None:
    images = random_images(network, 3)
    found = run_c(float_program(network), images, compiler=compiler(), flags=SANITIZED)
    close(found, deployed_of(network).logits(images))
    same_as_simulated(network, SANITIZED)
