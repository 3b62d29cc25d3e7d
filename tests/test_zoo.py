"""The zoo's networks are the ones of their sources, layer by layer."""

import re

import pytest

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import ZOO, zoo

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
}
PARAMS = {"budget-1": 190_442, "budget-2": 18_258, "budget-3": 6_270, "budget-4": 7_074}


@pytest.mark.parametrize("name", ZOO)
def test_every_entry_is_an_architecture_and_says_where_it_is_from(name: str) -> None:
    entry = ZOO[name]
    a = zoo(name)
    assert (a.input_shape, a.classes) == (entry.input_shape, entry.classes)
    assert len(entry.about) > 20
    assert Architecture.from_json(a.to_json()) == a


@pytest.mark.parametrize(("name", "params"), PARAMS.items())
def test_parameters_are_exactly_those_of_the_source(name: str, params: int) -> None:
    assert cost(zoo(name)).params == params


@pytest.mark.parametrize(("name", "table"), TABLE.items())
def test_layers_are_those_of_the_source(name: str, table: str) -> None:
    pieces = []
    for item in table.split(", "):
        if item == "1x1→10":  # after the global average, where it is a dense layer
            pieces.append("d10+")
        elif found := re.fullmatch(r"(v|s|1x1→)(\d+)((?: [RB])*)", item):
            kind, width, after = found.groups()
            option = {"v": "v", "s": "", "1x1→": "k1"}[kind]
            pieces.append(f"c{width}{option}+{after.replace(' ', '').lower()}")
        else:
            pieces.append({"maxpool2": "m2", "global average": "A"}[item])
    assert zoo(name) == parse(" ".join(pieces), (28, 28, 1), 10)


@pytest.mark.parametrize(("name", "field"), [("budget-1", 14), ("budget-4", 22)])
def test_receptive_fields_of_networks_that_keep_their_last_map(name: str, field: int) -> None:
    """By hand: 1 + 2 for each 3x3 before the pool, 1 for the pool, 4 for each 3x3 after it."""
    assert cost(zoo(name)).receptive_field == field


def test_an_unknown_name_suggests_close_ones() -> None:
    with pytest.raises(UsageError, match="no network `budget1`: did you mean budget-"):
        zoo("budget1")
