"""A recipe holds what can be trained with, says what is wrong with the rest, and keeps as JSON."""

import dataclasses
import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training import STILL

from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.train.recipe import Candidate, Optimiser, Recipe, Schedule

NUMBERS = {
    "peak_learning_rate": (1e-7, 10),
    "weight_decay": (0, 10),
    "l1": (0, 10),
    "l2": (0, 10),
    "label_smoothing": (0, 0.9),
    "averaging": (0, 1_000),
    "rotation": (0, 180),
    "shear": (0, 60),
    "scale": (0, 0.9),
    "shift": (0, 1),
}
RECIPES = st.builds(
    Recipe,
    optimiser=st.sampled_from(get_args(Optimiser)),
    schedule=st.sampled_from(get_args(Schedule)),
    batch_size=st.integers(1, 65_536),
    accumulation=st.integers(1, 1_024),
    **{name: st.floats(*ends) for name, ends in NUMBERS.items()},
)


@given(RECIPES)
def test_every_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json(), allow_nan=False))) == recipe


def test_a_recipe_tells_of_rare_fields_only_where_it_uses_them() -> None:
    """So the recipes of earlier records are written today as they were."""
    rare = {"l1": 0.01, "l2": 0.1, "accumulation": 2}
    assert not rare.keys() & Recipe().to_json().keys()
    assert rare.items() <= Recipe(**rare).to_json().items()


def test_fields_that_are_left_out_keep_their_defaults() -> None:
    assert Recipe.from_json({}) == Recipe()
    assert Recipe.from_json({"shear": 3}) == dataclasses.replace(Recipe(), shear=3)


def test_equal_recipes_are_interchangeable() -> None:
    assert len({Recipe(), Recipe(batch_size=64), Recipe(batch_size=32)}) == 2
    architecture = parse("A d2", (3, 3, 1), 2)
    candidates = {Candidate(architecture=architecture, recipe=Recipe(), seed=s) for s in (1, 1, 2)}
    assert len(candidates) == 2


@pytest.mark.parametrize("name", STILL)
def test_a_recipe_augments_when_any_strength_is_above_zero(name: str) -> None:
    assert not Recipe(**STILL).augments
    assert Recipe(**{**STILL, name: 0.01}).augments


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, 1e9, math.nan, math.inf, True, None, "0.1", [0.1]])
def test_a_number_out_of_range_is_refused_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^`{name}` of a recipe must be from [^\n]*$"):
        Recipe(**{name: value})


@pytest.mark.parametrize("value", [0, -64, 65_537, 64.5, 64.0, True, "64", None])
@pytest.mark.parametrize("name", ["batch_size", "accumulation"])
def test_a_count_is_a_whole_number(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^`{name}`[^\n]*$"):
        Recipe(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("optimiser", "adam", "did you mean adamw?"),
        ("optimiser", None, "there is adamw, sgd, muon."),
        ("schedule", "onecycle", "did you mean one_cycle?"),
        ("schedule", ["step"], "did you mean step?"),
    ],
)
def test_an_unknown_choice_is_refused_with_a_remedy(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(UsageError) as refused:
        Recipe(**{name: value})
    assert str(refused.value) == f"`{name}` cannot be {value!r}: {remedy}"


def test_a_field_that_does_not_exist_is_refused_with_close_names() -> None:
    with pytest.raises(UsageError, match=r"no `averagin`: did you mean averaging\?"):
        Recipe.from_json({"averagin": 1})


@pytest.mark.parametrize("value", [None, [], "adamw", 1, {1, 2}, [[[0] * 1000] * 1000]])
def test_a_recipe_is_a_json_object(value: Any) -> None:
    with pytest.raises(UsageError) as refused:
        Recipe.from_json(value)
    assert str(refused.value).startswith("A recipe is a JSON object, but got ")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [10**5_000, "x" * 10_000], ids=["number", "text"])
def test_a_message_about_a_huge_value_stays_short(value: Any) -> None:
    with pytest.raises(UsageError) as refused:
        Recipe(shift=value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("seed", [-1, 2**32, 0.0, True, None])
def test_a_seed_is_a_whole_number_of_32_bits(seed: Any) -> None:
    architecture = parse("A d2", (3, 3, 1), 2)
    assert Candidate(architecture=architecture, recipe=Recipe(), seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(UsageError, match=r"^`seed` must be a whole number from 0 to 4294967295"):
        Candidate(architecture=architecture, recipe=Recipe(), seed=seed)
