"""What a network says of labelled pictures, against counting by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.results.predictions import Confusion, Mistake, Predictions

NAMES = ("cat", "dog", "owl")


def said(labels: list[int], predicted: list[int], sure: list[float] | None = None) -> Predictions:
    """Probabilities with the rest shared by the other classes."""
    sure = sure or [0.8] * len(labels)
    likely = np.array([[(1 - s) / 2] * 3 for s in sure])
    likely[np.arange(len(labels)), predicted] = sure
    places = 100 + np.arange(len(labels))
    return Predictions(
        labels=np.array(labels), probabilities=likely, class_names=NAMES, indices=places
    )


FOUND = said([0, 0, 1, 1, 1, 2], [0, 1, 1, 2, 2, 2], [0.9, 0.6, 0.7, 0.95, 0.5, 0.8])


def test_the_confusion_matrix_has_labels_in_rows() -> None:
    assert FOUND.confusion.tolist() == [[1, 1, 0], [0, 1, 2], [0, 0, 1]]
    assert (FOUND.correct, FOUND.accuracy) == (3, 0.5)
    assert FOUND.interval[0] < 0.5 < FOUND.interval[1]


def test_precision_and_recall_are_shares_of_columns_and_rows() -> None:
    cat, dog, owl = FOUND.by_class
    assert cat == ("cat", 1.0, 0.5, pytest.approx(2 / 3), 2)
    assert dog == ("dog", 0.5, pytest.approx(1 / 3), pytest.approx(0.4), 3)
    assert owl == ("owl", pytest.approx(1 / 3), 1.0, 0.5, 1)


def test_mistakes_come_with_the_surest_first_and_their_place_in_the_data() -> None:
    assert FOUND.mistakes == [
        Mistake(103, "dog", "owl", 0.95),
        Mistake(101, "cat", "dog", 0.6),
        Mistake(104, "dog", "owl", 0.5),
    ]
    assert FOUND.confused == [Confusion("dog", "owl", 2), Confusion("cat", "dog", 1)]


def test_the_log_loss_is_the_mean_of_minus_the_logarithm() -> None:
    likely = [0.9, 0.2, 0.7, 0.025, 0.25, 0.8]
    assert FOUND.log_loss == pytest.approx(-sum(map(math.log, likely)) / 6)
    never = said([0], [1], [1.0])
    assert never.log_loss == math.inf
    assert never.to_json()["log_loss"] is None


def test_a_class_that_is_never_seen_or_said_scores_nothing() -> None:
    found = said([0, 1], [0, 0])
    assert found.by_class[2] == ("owl", 0, 0, 0, 0)
    assert found.by_class[1] == ("dog", 0, 0, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_every_picture_is_counted_once_everywhere(pairs: list[tuple[int, int]]) -> None:
    found = said(*(list(column) for column in zip(*pairs, strict=True)))
    assert found.confusion.sum() == len(pairs)
    assert sum(row.pictures for row in found.by_class) == len(pairs)
    assert len(found.mistakes) == len(pairs) - found.correct
    assert sum(pair.pictures for pair in found.confused) == len(found.mistakes)
    assert [m.confidence for m in found.mistakes] == sorted(
        (m.confidence for m in found.mistakes), reverse=True
    )
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["correct"] == found.correct
    assert np.trace(document["confusion"]) == found.correct
