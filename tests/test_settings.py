"""The settings: what defines a study, its rungs, and how two studies differ."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.search.settings import ETA, SPACE, Settings, check_name

DIGITS = Settings(data="digits", budget=Budget())


@given(st.integers(1, 2_000))
def test_rungs_rise_by_three_and_end_at_the_epoch_limit(limit: int) -> None:
    rungs = Settings(data="digits", budget=Budget(max_epochs=limit)).rungs
    assert rungs[-1] == limit
    assert 1 <= len(rungs) <= 3
    for earlier, later in itertools.pairwise(rungs):
        assert earlier < later == min(limit, ETA * earlier)
    assert rungs[0] * ETA**2 >= limit > (rungs[0] - 1) * ETA**2


@pytest.mark.parametrize(
    ("limit", "rungs"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 3)), (9, (1, 3, 9)), (15, (2, 6, 15)), (90, (10, 30, 90))],
)
def test_rungs_of_usual_limits(limit: int, rungs: tuple[int, ...]) -> None:
    assert Settings(data="digits", budget=Budget(max_epochs=limit)).rungs == rungs


def test_settings_that_were_written_and_read_do_not_differ() -> None:
    settings = replace(DIGITS, budget=Budget(max_macs=10**6), sampler="nsga2", seed=3)
    assert settings.differences(json.loads(json.dumps(settings.to_json()))) == []
    assert settings.to_json()["space"] == SPACE


def test_each_difference_is_a_clause_with_both_values() -> None:
    there = replace(DIGITS, data="mnist", budget=Budget(max_params=500, max_macs=9), seed=1)
    assert DIGITS.differences(there.to_json()) == [
        "data is mnist there and digits here",
        "max_macs is 9 there and unlimited here",
        "max_params is 500 there and 8000 here",
        "seed is 1 there and 0 here",
    ]
    assert DIGITS.differences({}) != []


def test_a_study_of_another_version_of_the_space_differs() -> None:
    recorded = DIGITS.to_json() | {"space": SPACE + 1}
    assert DIGITS.differences(recorded) == [f"space is {SPACE + 1} there and {SPACE} here"]


@pytest.mark.parametrize("name", ["a", "digits-8000", "A.b_c-9", "_x", "9" * 100])
def test_names_of_folders_are_names_of_studies(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "a/b", "../a", "a b", "a\n", "é", "a:1", "pretrained", "a" * 101],
)
def test_a_name_that_could_be_another_folder_a_flag_or_a_model_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--study must be") as caught:
        check_name(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", ["digits", "mnist", "csv:/tmp/a b.csv", "folder:../x", "huggingface:mnist"]
)
def test_the_default_name_is_a_name_and_tells_data_and_size(data: str) -> None:
    name = Settings(data=data, budget=Budget(max_params=123)).name
    check_name(name)
    assert name.endswith("-123")


def test_a_study_from_before_there_was_a_precision_counts_as_float32() -> None:
    assert DIGITS.to_json().keys() == {"data", "budget", "sampler", "seed", "group", "space"}
    assert DIGITS.name == "digits-8000"
    narrow = replace(DIGITS, precision="bfloat16")
    assert narrow.name == "digits-8000-bfloat16"
    assert narrow.differences(narrow.to_json()) == []
    differs = ["precision is float32 there and bfloat16 here"]
    assert narrow.differences(DIGITS.to_json()) == differs
    assert DIGITS.differences(narrow.to_json()) == ["precision is bfloat16 there and float32 here"]


def test_an_unknown_precision_suggests_the_known_ones() -> None:
    with pytest.raises(UsageError, match="--precision cannot be 'bf16': did you mean bfloat16"):
        replace(DIGITS, precision="bf16")


def test_an_unknown_sampler_suggests_the_known_ones() -> None:
    with pytest.raises(UsageError, match="--sampler cannot be 'tpee': did you mean tpe"):
        replace(DIGITS, sampler="tpee")


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match=f"--seed must be from 0 to 2147483647, but got {seed}"):
        replace(DIGITS, seed=seed)


@pytest.mark.parametrize("seed", [1.5, "1", True, None])
def test_a_seed_that_is_no_whole_number_is_refused(seed: object) -> None:
    with pytest.raises(UsageError, match="--seed must be"):
        replace(DIGITS, seed=seed)
