"""The zoo's networks are the ones of their sources, layer by layer."""

import re

import pytest

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost, layer_table
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import ZOO, zoo
from pennyweight.train.recipe import Recipe

# As their maker tabulates them: 3x3 unless said, v unpadded, s padded, R ReLU, B BatchNorm.
TABLE = {
    "budget-1": "v32 R, v64 R, v128 R, 1x1→32 R, v64 R, maxpool2, v128 R, 1x1→10 R, global average",
    "budget-2": (
        "s128 R, 1x1→8 R, s16 R, maxpool2, v16 R, v32 R, maxpool2, 1x1→16 R, v16 R, v32 R, "
        "1x1→10 R, global average"
    ),
    "budget-3": (
        "s128 R B, 1x1→4 R, s8 R B, maxpool2, v8 R B, v16 R B, maxpool2, 1x1→8 R, v8 R B, v16 R B, "
        "1x1→10 R, global average"
    ),
    "budget-4": (
        "v128 R B, 1x1→8 R, v8 R B, maxpool2, v8 R B, v16 R B, 1x1→8 R, v8 R B, v16 R B, "
        "global average, 1x1→10"
    ),
    "notebook-cnn": "s10 R, s10 R, maxpool2, s10 R, s10 R, maxpool2, flatten, dense 10",
    "mlp-32": "flatten, dense 32 R, dense 10",
    "mlp-128": "flatten, dense 128 R, dense 10",
    "mlp-128-128": "flatten, dense 128 R, dense 128 R, dense 10",
}

# Trained parameters of each layer that has any, BatchNorm with the convolution before it.
# By hand: (9 in + bias) out for a 3x3, (in + bias) out for what sees one place, BatchNorm 2 out.
PARAMS = {
    "mlp-32": [2_080, 330],
    "mlp-128": [100_480, 1_290],
    "mlp-128-128": [100_480, 16_512, 1_290],
    "notebook-cnn": [100, 910, 910, 910, 4_910],
    "budget-1": [320, 18_496, 73_856, 4_128, 18_496, 73_856, 1_290],
    "budget-2": [1_280, 1_032, 1_168, 2_320, 4_640, 528, 2_320, 4_640, 330],
    "budget-3": [1_280 + 256, 516, 296 + 16, 584 + 16, 1_168 + 32, 136, 584 + 16, 1_168 + 32, 170],
    "budget-4": [
        1_280 + 256,
        1_032,
        584 + 16,
        584 + 16,
        1_168 + 32,
        136,
        584 + 16,
        1_168 + 32,
        170,
    ],
    "dilated-5340": [90 + 20, 900 + 20, 1_350 + 30, 150 + 20, 900 + 20, 900 + 20, 900 + 20],
    "vgg-436k": [
        320,
        9_248 + 64,
        18_496,
        36_928 + 128,
        73_856,
        147_584 + 256,
        147_584 + 256,
        1_290,
    ],
    "m3": [
        288 + 64,  # the first; then from width to width
        *(9 * (width - 16) * width + 2 * width for width in range(48, 177, 16)),
        112_640 + 20,
    ],
}
PARAMS["vgg-436k-average"] = PARAMS["vgg-436k"]
TOTALS = {
    "mlp-32": 2_410,
    "mlp-128": 101_770,
    "mlp-128-128": 118_282,
    "notebook-cnn": 7_740,
    "budget-1": 190_442,
    "budget-2": 18_258,
    "budget-3": 6_270,
    "budget-4": 7_074,
    "dilated-5340": 5_340,
    "vgg-436k": 436_010,
    "vgg-436k-average": 436_010,
    "m3": 1_124_180,
}


def test_every_entry_is_counted_here() -> None:
    assert set(PARAMS) == set(TOTALS) == set(ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_every_entry_is_an_architecture_and_says_where_it_is_from(name: str) -> None:
    entry = ZOO[name]
    a = zoo(name)
    assert (a.input_shape, a.classes) == (entry.input_shape, entry.classes)
    assert len(entry.source) > 15
    assert re.search(r"\d+% (on|of)|than", entry.reported)
    assert entry.source in entry.about
    assert entry.reported in entry.about
    assert Recipe(**entry.recipe) != Recipe()
    assert entry.epochs >= 5
    assert Architecture.from_json(a.to_json()) == a


@pytest.mark.parametrize(("name", "params"), TOTALS.items())
def test_parameters_are_exactly_those_of_the_source(name: str, params: int) -> None:
    assert cost(zoo(name)).params == params


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_those_of_the_source_in_every_layer(name: str) -> None:
    found: list[int] = []
    for row in layer_table(zoo(name)):
        params = int(row["params"])  # type: ignore[call-overload]
        if str(row["name"]).startswith("batch_norm"):
            found[-1] += params
        elif params:
            found.append(params)
    assert found == PARAMS[name]


@pytest.mark.parametrize(("name", "table"), TABLE.items())
def test_layers_are_those_of_the_source(name: str, table: str) -> None:
    pieces = []
    for item in table.split(", "):
        if item == "1x1→10":  # after the global average, where it is a dense layer
            pieces.append("d10+")
        elif found := re.fullmatch(r"dense (\d+)( R)?", item):
            pieces.append(f"d{found[1]}+" + ("r" if found[2] else ""))
        elif found := re.fullmatch(r"(v|s|1x1→)(\d+)((?: [RB])*)", item):
            kind, width, after = found.groups()
            option = {"v": "v", "s": "", "1x1→": "k1"}[kind]
            pieces.append(f"c{width}{option}+{after.replace(' ', '').lower()}")
        else:
            pieces.append({"maxpool2": "m2", "global average": "A", "flatten": "F"}[item])
    assert zoo(name) == parse(" ".join(pieces), ZOO[name].input_shape, 10)


def test_m3_is_ten_unpadded_convolutions_without_bias() -> None:
    convolutions = [placed for placed in zoo("m3").flat() if placed.layer.kind == "conv"]
    assert [placed.output_shape for placed in convolutions] == [
        (28 - 2 * n, 28 - 2 * n, 16 + 16 * n) for n in range(1, 11)
    ]
    assert {tuple(placed.weights()) for placed in convolutions} == {("kernel",)}
    *_, flatten, dense, norm = zoo("m3").flat()
    assert (flatten.output_shape, dense.layer.kind) == ((11_264,), "dense")
    assert (tuple(dense.weights()), norm.layer.kind) == (("kernel",), "batch_norm")


@pytest.mark.parametrize(("name", "head"), [("vgg-436k", "M"), ("vgg-436k-average", "A")])
def test_the_vgg_has_some_twenty_layers_and_either_pooling(name: str, head: str) -> None:
    without_relu = [p for p in zoo(name).flat() if p.layer.kind != "relu"]
    assert 18 <= len(without_relu) <= 22
    kinds = {p.layer.kind for p in without_relu}
    assert {"batch_norm", "dropout", {"M": "global_max", "A": "global_average"}[head]} <= kinds


@pytest.mark.parametrize(("name", "field"), [("budget-1", 14), ("budget-4", 22)])
def test_receptive_fields_of_networks_that_keep_their_last_map(name: str, field: int) -> None:
    """By hand: 1 + 2 for each 3x3 before the pool, 1 for the pool, 4 for each 3x3 after it."""
    assert cost(zoo(name)).receptive_field == field


def test_an_unknown_name_suggests_close_ones() -> None:
    with pytest.raises(UsageError, match="no network `budget1`: did you mean budget-"):
        zoo("budget1")
