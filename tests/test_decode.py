"""The decoder: whatever the genome and the budget, the network fits, and spends what it may."""

import random
import re
import statistics
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.convolution import Conv, Depthwise
from pennyweight.arch.cost import Cost, cost
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.arch.pointwise import Relu
from pennyweight.arch.views import Views
from pennyweight.arch.zoo import ZOO
from pennyweight.search.decode import decode, smallest, smallest_within
from pennyweight.search.genome import Genome, choices
from pennyweight.search.proposals import HAND_MADE, PLAIN

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3)]
ODD_SHAPES = [(28, 20, 1), (20, 28, 3), (5, 17, 2), (3, 40, 1), (1, 1, 1), (2, 3, 4), (7, 7, 1)]
CAPS = [1_000, 2_000, 4_000, 8_000, 32_000]

GENOMES = st.builds(
    Genome,
    **{
        name: st.floats(0, 1) if options is None else st.sampled_from(options)
        for name, options in choices().items()
    },
)
CLASSES = st.integers(2, 100)


def limits(low: float, high: float) -> st.SearchStrategy[int]:
    """Whole numbers, as likely in each power of ten."""
    return st.floats(low, high).map(lambda exponent: int(10**exponent))


BUDGETS = st.builds(
    Budget,
    max_params=limits(1.5, 5),
    max_macs=st.none() | limits(1.5, 7),
    max_activation_bytes=st.none() | limits(2, 6),
)


def random_genome(draw: random.Random, **fixed: Any) -> Genome:
    genes: dict[str, Any] = {
        name: draw.random() if options is None else draw.choice(options)
        for name, options in choices().items()
    }
    return Genome(**genes | fixed)


def within(architecture: Architecture, budget: Budget) -> bool:
    """Whether every limit holds, written out, so that `Budget.fits` is not its own judge."""
    costs = cost(architecture)
    return (
        costs.params <= budget.max_params
        and (budget.max_macs is None or costs.macs <= budget.max_macs)
        and (
            budget.max_activation_bytes is None
            or costs.peak_activation_bytes <= budget.max_activation_bytes
        )
    )


# It fits.


@settings(max_examples=150)
@given(genome=GENOMES, budget=BUDGETS, shape=st.sampled_from(SHAPES + ODD_SHAPES), classes=CLASSES)
def test_every_decoded_architecture_fits_its_budget(
    genome: Genome, budget: Budget, shape: tuple[int, int, int], classes: int
) -> None:
    try:
        architecture = decode(genome, budget, shape, classes)
    except UsageError as error:
        assert not within(smallest(shape, classes), budget)
        check_message(str(error), budget, shape, classes)
        return
    assert within(architecture, budget)
    assert (architecture.input_shape, architecture.classes) == (shape, classes)
    assert Architecture.from_json(architecture.to_json()) == architecture


def check_message(message: str, budget: Budget, shape: tuple[int, int, int], classes: int) -> None:
    """One line that names a limit which is too low, and the size that would do."""
    found = re.fullmatch(
        r"--(max-[a-z-]+) must be at least (\d+) for (\d+x\d+x\d+) images and (\d+) classes "
        r"\(the smallest network in the space\), but got (\d+)\.",
        message,
    )
    assert found, message
    costs = cost(smallest(shape, classes))
    of = {
        "max-params": costs.params,
        "max-macs": costs.macs,
        "max-activation-bytes": costs.peak_activation_bytes,
    }
    assert int(found[2]) == of[found[1]] > int(found[5])
    assert int(found[5]) == getattr(budget, found[1].replace("-", "_"))
    assert (found[3], int(found[4])) == ("x".join(map(str, shape)), classes)


@settings(max_examples=40)
@given(genome=GENOMES, shape=st.sampled_from(SHAPES + ODD_SHAPES), classes=CLASSES)
def test_the_smallest_network_is_the_smallest_in_every_cost(
    genome: Genome, shape: tuple[int, int, int], classes: int
) -> None:
    """At its very size every genome decodes, and a hair below no genome does."""
    least = cost(smallest(shape, classes))
    exact = budget_of(least)
    assert cost(decode(genome, exact, shape, classes)) is not None
    for tighter in (
        replace(exact, max_params=least.params - 1),
        replace(exact, max_macs=least.macs - 1),
        replace(exact, max_activation_bytes=least.peak_activation_bytes - 1),
    ):
        with pytest.raises(UsageError):
            decode(genome, tighter, shape, classes)
        with pytest.raises(UsageError):
            smallest_within(tighter, shape, classes)


def budget_of(costs: Cost) -> Budget:
    return Budget(
        max_params=costs.params,
        max_macs=costs.macs,
        max_activation_bytes=costs.peak_activation_bytes,
    )


@pytest.mark.parametrize(
    ("shape", "least"), [((8, 8, 1), 40), ((28, 28, 1), 40), ((32, 32, 3), 58)]
)
def test_the_smallest_networks_are_known(shape: tuple[int, int, int], least: int) -> None:
    """Two 3x3 convolutions of one channel, with bias, and a dense layer: by hand."""
    (_, _, channels), classes = shape, 10
    assert least == (9 * channels + 1) + (9 + 1) + (classes + classes)
    assert cost(smallest(shape, classes)).params == least


@settings(max_examples=40)
@given(genome=GENOMES, shape=st.sampled_from(SHAPES), cap=limits(2.5, 4.5))
def test_a_share_of_the_budget_is_a_share_of_every_limit(
    genome: Genome, shape: tuple[int, int, int], cap: int
) -> None:
    whole = Budget(max_params=cap, max_macs=100 * cap, max_activation_bytes=50_000)
    least = cost(smallest(shape, 10))
    part = Budget(
        max_params=int(cap * genome.share),
        max_macs=int(100 * cap * genome.share),
        max_activation_bytes=int(50_000 * genome.share),
    )
    assume(within(smallest(shape, 10), part) or cap < least.params)
    architecture = decode(genome, whole, shape, 10)
    assert within(architecture, part)
    assert architecture == decode(replace(genome, share=1.0), part, shape, 10)


def test_a_share_too_small_for_any_network_gives_way_to_the_whole_budget() -> None:
    budget = Budget(max_params=100)
    architecture = decode(replace(PLAIN, share=0.125), budget, (8, 8, 1), 10)
    assert 100 * 0.125 < cost(architecture).params <= 100


@given(genome=GENOMES, budget=BUDGETS)
@settings(max_examples=20)
def test_decoding_twice_gives_the_same(genome: Genome, budget: Budget) -> None:
    assume(within(smallest((8, 8, 1), 10), budget))
    first = decode(genome, budget, (8, 8, 1), 10)
    assert decode(Genome(**genome.to_json()), budget, (8, 8, 1), 10) == first  # type: ignore[arg-type]


# It spends what it may.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cap", CAPS)
def test_the_parameters_are_spent_where_they_are_the_limit(
    cap: int, shape: tuple[int, int, int]
) -> None:
    draw = random.Random(cap)
    # Where blocks share weights there is one width, and no other to make up the rest with.
    genomes = [random_genome(draw, share=1.0, sharing="none") for _ in range(25)]
    spent = [cost(decode(g, Budget(max_params=cap), shape, 10)).params / cap for g in genomes]
    assert statistics.median(spent) >= 0.99
    assert min(spent) >= 0.93


@pytest.mark.parametrize("sharing", ["stage", "all"])
@pytest.mark.parametrize("cap", CAPS)
def test_blocks_that_share_weights_are_as_wide_as_fits(cap: int, sharing: str) -> None:
    draw = random.Random(cap)
    for _ in range(10):
        genome = random_genome(draw, share=1.0, sharing=sharing, width1=1.0)
        decoded = decode(genome, Budget(max_params=cap), (28, 28, 1), 10)
        (width,) = {x.width for x in convolutions(decoded.layers) if x.width != 10} or {10}
        more = re.sub(rf"c{width}(?!\d)", f"c{width + 1}", decoded.notation)
        if width != 10:
            assert cost(decoded).params <= cap < cost(parse(more, (28, 28, 1), 10)).params


def test_a_width_gene_tells_networks_that_share_weights_apart() -> None:
    genome = Genome(sharing="all", block2="separable")
    found = [decode(replace(genome, width1=w), Budget(), (8, 8, 1), 10) for w in (0.0, 0.5, 1.0)]
    params = [cost(each).params for each in found]
    assert params[0] < params[1] < params[2] <= 8_000
    assert params[0] > 8_000 / 2


def convolutions(layers: tuple[Any, ...]) -> list[Conv]:
    inside = [conv for layer in layers for conv in convolutions(layer.children)]
    return [layer for layer in layers if isinstance(layer, Conv)] + inside


@given(
    genome=GENOMES,
    budget=BUDGETS,
    shape=st.sampled_from([(8, 8, 1), (28, 28, 1)]),
    data=st.data(),
)
@settings(max_examples=40)
def test_no_width_could_be_one_larger(
    genome: Genome, budget: Budget, shape: tuple[int, int, int], data: st.DataObject
) -> None:
    """The budget is spent until a limit stops every layer, though not at the same width."""
    assume(within(smallest(shape, 10), budget))
    layers = decode(replace(genome, share=1.0, sharing="none"), budget, shape, 10).layers
    viewed = isinstance(layers[0], Views)
    layers = layers[0].children if viewed else layers
    convolutions = [n for n, layer in enumerate(layers) if isinstance(layer, Conv)]
    number = data.draw(st.sampled_from(convolutions))
    chosen = layers[number]
    assert isinstance(chosen, Conv)
    wider = replace(chosen, width=chosen.width + 1)
    try:
        layers = (*layers[:number], wider, *layers[number + 1 :])
        architecture = Architecture(shape, 10, (Views(body=layers),) if viewed else layers)
    except UsageError:
        assume(False)  # the last one gives the classes, and one before a residual fits its body
        return
    assert not within(architecture, budget)


def test_widths_keep_near_the_genomes_ratios() -> None:
    """Twice the width gene's value apart is a factor of 2, within rounding and the last few."""
    layers = decode(PLAIN, Budget(max_params=30_000), (28, 28, 1), 10).layers
    widths = [layer.width for layer in layers if isinstance(layer, Conv)]
    wanted = [2 ** (2 * gene - 1) for gene in (0.5, 0.5, 0.8, 0.8, 1.0, 1.0)]
    scale = sum(widths) / sum(wanted)
    for width, relative in zip(widths, wanted, strict=True):
        assert width == pytest.approx(scale * relative, rel=0.1)


@pytest.mark.parametrize(
    "limit",
    [
        {},
        {"max_macs": 200_000},
        {"max_activation_bytes": 20_000},
        {"max_macs": 500_000, "max_activation_bytes": 30_000},
    ],
)
def test_decoding_is_a_matter_of_a_tenth_of_a_second(limit: dict[str, int]) -> None:
    """Most took 0.03 s and none over 0.2 s; before it was bounded, some took 14 s."""
    draw = random.Random(1)
    seconds = []
    for _ in range(12):
        began = time.process_time()
        decode(random_genome(draw), Budget(max_params=1_000_000, **limit), (32, 32, 3), 10)
        seconds.append(time.process_time() - began)
    assert statistics.median(seconds) < 0.5
    assert max(seconds) < 3


# It knows the networks that people made.


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_hand_made_network_comes_out_of_its_own_size_as_it_was_made(name: str) -> None:
    """Kinds, kernels and padding are, layer by layer; a ReLU on the logits is left out."""
    original = ZOO[name].architecture
    size = cost(original).params
    decoded = decode(Genome(**HAND_MADE[name]), Budget(max_params=size), (28, 28, 1), 10)
    assert 0.99 * size <= cost(decoded).params <= size
    layers = list(original.layers)
    if isinstance(layers[-2], Relu):  # before the global average
        del layers[-2]
    assert [without_width(layer) for layer in decoded.layers] == list(map(without_width, layers))


def without_width(layer: Any) -> Any:
    is_classifier = isinstance(layer, Conv) and layer.width == 10
    return replace(layer, width=1) if isinstance(layer, Conv) and not is_classifier else layer


def test_budget_4_comes_out_exactly() -> None:
    original = ZOO["budget-4"].architecture
    budget = Budget(max_params=cost(original).params)
    assert decode(Genome(**HAND_MADE["budget-4"]), budget, (28, 28, 1), 10) == original


def test_the_plain_network_comes_out_at_its_size() -> None:
    decoded = decode(PLAIN, Budget(max_params=7_154), (28, 28, 1), 10)
    kinds = re.sub(r"\d+", "", decoded.notation)
    assert kinds == "cbr cbr m cbr cbr m cbr cbr A d+"
    widths = [layer.width for layer in decoded.layers if isinstance(layer, Conv)]
    for width, wanted in zip(widths, [8, 8, 12, 12, 16, 16], strict=True):
        assert abs(width - wanted) <= 1


# Every gene shows.


@pytest.mark.parametrize(
    ("genes", "shows"),
    [
        ({"block2": "separable"}, lambda a: any(isinstance(x, Depthwise) for x in a.layers)),
        ({"block3": "residual"}, lambda a: "(" in a.notation),
        ({"block1": "dilated"}, lambda a: "x2" in a.notation),
        ({"stem_kernel": 5}, lambda a: "k5" in a.notation.split()[0]),
        ({"squeeze2": True}, lambda a: "k1+r" in a.notation),
        ({"pool1": "average"}, lambda a: "a2" in a.notation),
        ({"pool3": "max"}, lambda a: a.notation.count("m2") == 3),
        ({"sharing": "stage"}, lambda a: a.notation.count("2[") == 2),
        ({"sharing": "all"}, lambda a: re.search(r"3\[2\[c\d+br\] m2\] A", a.notation)),
        ({"sharing": "all", "depth1": 0}, lambda a: re.search(r"br m2 2\[2\[", a.notation)),
        ({"sharing": "all", "pool2": "none"}, lambda a: "6[c" in a.notation),
        ({"activation": "prelu"}, lambda a: "bp" in a.notation and "br" not in a.notation),
        ({"head": "window"}, lambda a: " wk7vr F" in a.notation),
        ({"pool1": "none", "pool2": "none"}, lambda a: "m2" not in a.notation),
        ({"padding": "valid"}, lambda a: re.findall(r"c\d+v", a.notation)),
        ({"norm": "after"}, lambda a: "+rb" in a.notation),
        ({"norm": "none"}, lambda a: "b" not in a.notation),
        ({"head": "max"}, lambda a: " M " in a.notation),
        ({"head": "flatten"}, lambda a: " F " in a.notation),
        ({"classifier": "conv"}, lambda a: a.notation.endswith("c10k1+ A")),
        ({"dropout": 0.5}, lambda a: "o0.05" in a.notation),
        ({"depth1": 0}, lambda a: a.notation.count("c") == 5),
        ({"depth3": 0}, lambda a: a.notation.count("c") == 4),
        ({"depth2": 3}, lambda a: a.notation.count("c") == 7),
    ],
)
def test_a_gene_shows_in_the_network(genes: dict[str, Any], shows: Any) -> None:
    plain = decode(PLAIN, Budget(), (28, 28, 1), 10)
    assert not shows(plain)
    assert shows(decode(replace(PLAIN, **genes), Budget(), (28, 28, 1), 10))


@pytest.mark.parametrize("gene", ["stem_width", "width1", "width2", "width3", "growth"])
def test_a_width_gene_moves_widths(gene: str) -> None:
    def widths(value: float) -> list[int]:
        layers = decode(replace(PLAIN, **{gene: value}), Budget(), (28, 28, 1), 10).layers
        return [layer.width for layer in layers if isinstance(layer, Conv)]

    assert widths(0.1) != widths(0.9)
