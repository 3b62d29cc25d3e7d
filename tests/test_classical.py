"""Classical models learn the digits, say how large they are, and repeat."""

import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pennyweight.arch.errors import UsageError
from pennyweight.train.classical import CLASSICAL, Classical, fit, rows_of
from pennyweight.train.data import load_training_set


def fitted(name: str, examples: int = 400) -> tuple[Classical, float]:
    digits = load_training_set("digits")
    parts = digits.split(0)
    learned = parts.train[:examples]
    # One thread: several wait for one another at each split of each tree, long on a busy machine.
    with threadpool_limits(1):
        model = fit(name, digits.images[learned], digits.labels[learned], 0)
    predicted = model.predict(digits.images[parts.validation])
    return model, float((predicted == digits.labels[parts.validation]).mean())


@pytest.mark.parametrize(
    ("name", "least"), [("logistic", 0.9), ("svm", 0.95), ("neighbours", 0.93)]
)
def test_it_learns_the_digits(name: str, least: float) -> None:
    model, accuracy = fitted(name)
    assert accuracy > least
    assert model.made_by.startswith("scikit-learn ")
    assert fitted(name)[0].identity == model.identity


def test_boosted_trees_are_scikit_learns_where_xgboost_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)  # importing it fails, as where it is missing
    model, accuracy = fitted("trees", 200)
    assert accuracy > 0.7
    assert "HistGradientBoostingClassifier" in model.made_by


def test_boosted_trees_are_xgboosts_where_it_is_there() -> None:
    pytest.importorskip("xgboost")
    model, accuracy = fitted("trees", 200)
    assert accuracy > 0.7
    assert model.made_by.startswith("xgboost ")
    assert 1_000 < model.size.numbers < 100_000


def test_sizes_are_parameters_or_numbers_that_are_stored() -> None:
    assert fitted("logistic")[0].size == (64 * 10 + 10, True)
    assert fitted("neighbours")[0].size == (400 * 64 + 400, False)
    vectors, rest = divmod(fitted("svm")[0].size.numbers - 45, 64 + 9)
    assert rest == 0, "9 coefficients a support vector, an offset for each pair of classes"
    assert 100 < vectors <= 400


def test_a_class_that_a_subset_lacks_leaves_the_others_their_names() -> None:
    digits = load_training_set("digits")
    some = np.isin(digits.labels, [2, 7, 9])
    for name in CLASSICAL:
        with threadpool_limits(1):
            model = fit(name, digits.images[some][:90], digits.labels[some][:90], 0)
        found = model.predict(digits.images[some][90:])
        assert set(found) <= {2, 7, 9}
        assert (found == digits.labels[some][90:]).mean() > 0.8


def test_pixels_are_rows_from_0_to_1() -> None:
    images = np.array([0, 51, 255, 102], np.uint8).reshape(1, 2, 2, 1)
    rows = rows_of(images)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0, 0.2, 1, 0.4]], rtol=1e-6)


def test_pictures_of_one_class_are_refused() -> None:
    with pytest.raises(UsageError, match=r"of two classes at least.*use more --examples"):
        fit("svm", np.zeros((3, 2, 2, 1), np.uint8), np.ones(3, np.int32), 0)
