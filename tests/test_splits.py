"""Splits are stratified, seeded, complete and the same everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.train.splits import (
    fold,
    fold_size,
    held_out_test,
    others,
    split,
    stratified_sample,
)

LABELS = st.lists(st.integers(0, 11), min_size=5, max_size=300).map(np.array)


@given(labels=LABELS, seed=st.integers(0, 2**63))
def test_a_split_holds_every_picture_once(labels: np.ndarray, seed: int) -> None:
    parts = split(labels, seed)
    assert sorted([*parts.train, *parts.validation]) == list(range(len(labels)))
    assert len(parts.validation) == np.ceil(len(labels) / 5)


@given(labels=LABELS, seed=st.integers(0, 2**63), data=st.data())
def test_every_class_keeps_its_share_to_within_one_picture(
    labels: np.ndarray, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(labels)))
    chosen = labels[stratified_sample(labels, count, seed)]
    assert len(chosen) == count
    for k in np.unique(labels):
        assert abs(np.sum(chosen == k) - np.sum(labels == k) * count / len(labels)) < 1


@pytest.mark.parametrize(
    ("total", "validation"), [(60_000, 6_000), (10_000, 1_000), (9_999, 2_000), (1_437, 288)]
)
def test_validation_is_a_tenth_or_a_fifth_where_that_is_under_a_thousand(
    total: int, validation: int
) -> None:
    assert len(split(np.arange(total) % 10, seed=0).validation) == validation


def test_the_seed_alone_decides_the_split() -> None:
    labels = np.arange(1_000) % 7
    first, again, other = split(labels, 1), split(labels, 1), split(labels, 2)
    np.testing.assert_array_equal(first.validation, again.validation)
    assert np.any(first.validation != other.validation)


def test_the_split_never_changes_with_a_version_of_numpy() -> None:
    """Written down once: whoever changes it changes which pictures every search was judged on."""
    labels = np.arange(1_797) % 10
    drawn = split(labels, seed=3).validation.astype("<i4"), held_out_test(labels).astype("<i4")
    digests = [hashlib.sha256(indices.tobytes()).hexdigest()[:16] for indices in drawn]
    assert digests == ["d2bcfd6fa8fcbf2b", "674c2b39a7b087a8"]


def test_indices_are_ascending_int32() -> None:
    parts = split(np.arange(50) % 3, seed=0)
    for indices in (parts.train, parts.validation, others(parts.train, 50)):
        assert indices.dtype == np.int32
        assert np.all(np.diff(indices) > 0)


@pytest.mark.parametrize("count", [0, 4])
def test_a_sample_of_none_or_of_more_than_there_is_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 3 examples"):
        stratified_sample(np.array([0, 1, 1]), count, seed=0)


def test_folds_hold_every_picture_once_and_every_class_evenly() -> None:
    labels = np.repeat(np.arange(7), [40, 41, 33, 5, 12, 60, 29])
    folds = [fold(labels, number, 10) for number in range(1, 11)]
    assert sorted(np.concatenate(folds)) == list(range(len(labels)))
    sizes = [fold_size(len(labels), number, 10) for number in range(1, 11)]
    assert [len(each) for each in folds] == sizes
    for each in folds:
        assert list(each) == sorted(each)
        for k, total in enumerate(np.bincount(labels)):
            assert abs(np.sum(labels[each] == k) - total / 10) < 1
