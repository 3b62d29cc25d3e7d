"""Counts, sizes, durations and shapes, as one writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.search.units import MOST, count, count_or_auto, duration, shape, size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8000", 8_000),
        ("8k", 8_000),
        ("8 k", 8_000),
        ("1.5k", 1_500),
        ("0.001k", 1),
        ("2M", 2_000_000),
        ("64KB", 64_000),
        ("64KiB", 65_536),
        ("1MB", 1_000_000),
        ("1MiB", 1_048_576),
        ("0.0009765625MiB", None),  # ten decimals
        ("0.5KiB", 512),
        ("007", 7),
        ("-8k", -8_000),
        ("999999999999999999", 999_999_999_999_999_999),
    ],
)
def test_a_size_is_a_number_with_a_unit(text: str, value: int | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match="must be a whole number"):
            size(text)
    else:
        assert size(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "k", "8K", "8kb", "8 kB", "8x", "8kk", "8.5", "1e3", "8,000", "8_000", "+8"),
        *("--8", "0x10", "٣", "²", "8k ", " 8k", "8\n", "nan", "inf", "1.k", ".5k"),
        *("9" * 19, "9" * 5_000),
    ],
)
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number") as error:
        size(text)
    assert len(str(error.value)) < 200


@given(st.integers(0, 10**18 - 1))
def test_every_count_is_read_exactly(number: int) -> None:
    assert size(str(number)) == count(str(number)) == number
    assert size(f"{number}k") == 1_000 * number


@pytest.mark.parametrize(("text", "value"), [("30", 30), ("0", 0), ("-1", -1), ("-0", 0)])
def test_a_count_is_a_whole_number(text: str, value: int) -> None:
    assert count(text) == value


@pytest.mark.parametrize("text", ["", "8k", "1.0", "1e3", "x", "+1", "٣", "1 ", "9" * 19])
def test_anything_else_is_no_count(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        count(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("0.5h", 1_800), ("1 m", 60), ("-5s", -5)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "1d", "1h30m", "s", "5S", "nans", "5ms", "9" * 400 + "h"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as 90s, 30m or 2h"):
        duration(text)


def test_a_shape_is_height_width_and_channels() -> None:
    assert shape("28x32x3") == (28, 32, 3)


@pytest.mark.parametrize(
    "text", ["", "28", "28x28", "28x28x1x1", "28X28X1", "axbxc", "-8x8x1", "8x8x٣", "999999x1x1"]
)
def test_anything_else_is_no_shape(text: str) -> None:
    with pytest.raises(ValueError, match="must be height x width x channels, such as 28x28x1"):
        shape(text)


def test_workers_are_counted_or_left_to_the_machine() -> None:
    assert count_or_auto("auto") is None
    assert count_or_auto("1") == 1
    assert count_or_auto(str(MOST)) == MOST


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "Auto", "1.5", "²", "1025", "9" * 30])
def test_anything_else_is_no_number_of_workers(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be `auto` or a whole number from 1 to 1024"):
        count_or_auto(text)
