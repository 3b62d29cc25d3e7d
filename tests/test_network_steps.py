"""The steps of a network that a drawing shows: nothing is lost, and blocks are whole."""

import pytest
from hypothesis import given
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.arch.notation import parse
from pennyweight.results.network_steps import steps_of


@given(architectures())
def test_the_costs_of_the_steps_are_those_of_the_network(architecture: Architecture) -> None:
    steps, whole = steps_of(architecture), cost(architecture)
    assert sum(step.params for step in steps) == whole.params
    assert sum(step.macs for step in steps) == whole.macs
    assert steps[-1].receptive_field == whole.receptive_field


@given(architectures())
def test_a_block_holds_the_steps_from_its_first_to_its_own(architecture: Architecture) -> None:
    steps = steps_of(architecture)
    for number, step in enumerate(steps):
        if step.begins is None:
            continue
        inside = steps[step.begins : number]
        assert inside
        assert all(each.depth > step.depth for each in inside)
        assert step.begins == 0 or steps[step.begins - 1].depth <= step.depth or not step.depth
    assert all(step.begins is not None for step in steps if step.name in ("+ input", "2 times"))


@pytest.mark.parametrize(
    ("notation", "names"),
    [
        ("c4br m2 A d10+", ["conv", "max pool", "global average", "dense"]),
        ("c4 (c4b)r A d10+", ["conv", "conv", "+ input", "global average", "dense"]),
        ("c4 2[w c4k1p] F d10", ["conv", "depthwise", "conv", "2 times", "flatten", "dense"]),
        ("b c4 A d10", ["batch norm", "conv", "global average", "dense"]),
    ],
)
def test_steps_are_named_in_the_order_in_which_they_run(notation: str, names: list[str]) -> None:
    assert [step.name for step in steps_of(parse(notation, (8, 8, 1), 10))] == names


def test_a_step_says_what_is_chosen_and_what_is_glued_to_it() -> None:
    step = steps_of(parse("c5k5s2v+bro0.1 A d10", (8, 8, 1), 10))[0]
    assert step.options == "kernel 5, stride 2, valid, bias"
    assert step.glued == ("batch norm", "relu", "dropout 0.1")
    assert step.output_shape == (2, 2, 5)


def test_a_block_that_runs_twice_costs_its_macs_twice_and_its_weights_once() -> None:
    once = steps_of(parse("c4 c4 A d10", (8, 8, 1), 10))[1]
    twice = steps_of(parse("c4 2[c4] A d10", (8, 8, 1), 10))[1]
    assert (twice.params, twice.macs) == (once.params, 2 * once.macs)
