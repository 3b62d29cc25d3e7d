"""What the tests of C programs share: networks with a float and an int8 program of each."""

from functools import cache

import numpy as np
import pytest
from bundles import facts
from networks import random_images, random_weights

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.folding import deploy
from pennyweight.arch.operations import Activate
from pennyweight.results.c_int8 import c_int8_files
from pennyweight.results.c_program import Compiler, find_compiler
from pennyweight.results.c_source import c_files
from pennyweight.results.quantise import quantise
from pennyweight.results.quantised import Quantised

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@cache
def compiler() -> Compiler:
    """The compiler, without which a test is skipped."""
    found = find_compiler()
    if found is None:
        pytest.skip("no C compiler")
    return found


def deployed_of(network: Architecture) -> Deployed:
    about = facts(network)
    return deploy(network, *random_weights(network, 0), about.mean, about.std)


def quantised_of(network: Architecture) -> Quantised:
    return quantise(deployed_of(network), random_images(network, 16))


def float_program(network: Architecture) -> dict[str, bytes]:
    names = facts(network).class_names
    return c_files(deployed_of(network), notation=network.notation, class_names=names)


def int8_program(network: Architecture, quantised: Quantised) -> dict[str, bytes]:
    names = facts(network).class_names
    return c_int8_files(quantised, notation=network.notation, class_names=names)


def has_silu(deployed: Deployed) -> bool:
    functions = [function for step in deployed.steps for function in step.pointwise]
    return any(isinstance(each, Activate) and each.function == "silu" for each in functions)


def close(found: np.ndarray, wanted: np.ndarray, within: float = 1e-4) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=within, atol=within * np.abs(wanted).max())
