"""Values share an arena without touching one another, in as little memory as the cost says."""

import math

from hypothesis import given, settings
from strategies import architectures
from test_folding import deployed_of

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import BYTES, cost
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.notation import parse
from pennyweight.arch.operations import Add, Flatten, Pass
from pennyweight.results.memory_plan import plan_memory


def is_chain(deployed: Deployed) -> bool:
    return all(step.inputs == (number,) for number, step in enumerate(deployed.steps))


def sizes_of(deployed: Deployed) -> list[int]:
    shapes = [deployed.input_shape, *(step.output_shape for step in deployed.steps)]
    return [math.prod(shape) for shape in shapes]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(architectures())
def test_no_value_is_overwritten_while_it_is_needed(network: Architecture) -> None:
    deployed = deployed_of(network)
    plan = plan_memory(deployed)
    owners: list[int | None] = [None] * plan.size
    sizes = sizes_of(deployed)

    def write(value: int) -> None:
        at = plan.offsets[value]
        owners[at : at + sizes[value]] = [value] * sizes[value]

    def whole(value: int) -> bool:
        at = plan.offsets[value]
        return owners[at : at + sizes[value]] == [value] * sizes[value]

    write(0)
    for number, step in enumerate(deployed.steps):
        assert all(map(whole, step.inputs))
        write(number + 1)
        if not isinstance(step.operation, Add | Flatten | Pass):  # these read what they overwrite
            assert all(map(whole, step.inputs))
        assert len(owners) == plan.size
    assert whole(len(deployed.steps))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(architectures(), architectures())
def test_the_arena_of_a_chain_is_what_the_cost_says(
    network: Architecture, other: Architecture
) -> None:
    for each in (network, other):
        deployed = deployed_of(each)
        if is_chain(deployed):
            assert BYTES * plan_memory(deployed).size == cost(each).peak_activation_bytes


def test_residual_connections_take_no_more_than_the_least() -> None:
    network = parse("c8 (c8r c8) m2 ((c12r c8) c8)r m2 c16 (c16 (w)) A d10", (28, 28, 1), 10)
    deployed = deployed_of(network)
    assert BYTES * plan_memory(deployed).size == cost(network).peak_activation_bytes


def test_logits_that_the_caller_holds_need_no_place() -> None:
    deployed = deployed_of(parse("F d10", (1, 1, 4), 10))
    assert plan_memory(deployed).size == 14
    assert plan_memory(deployed, with_logits=False).size == 4
