"""Classical models beside the networks: what scikit-learn and XGBoost make of the same pictures.

Pixels are scaled to 0-1, as their users do, and seen as rows without any neighbourhood.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

import numpy as np

from pennyweight.arch.errors import UsageError, close_names


class Fitted(Protocol):
    """A fitted model: scikit-learn's form."""

    def predict(self, rows: np.ndarray) -> np.ndarray: ...


class Size(NamedTuple):
    """How much of a model must be kept to predict: trained parameters, or numbers stored."""

    numbers: int
    trained: bool  # every one of them was fitted by an optimiser, as those of a network


@dataclass(frozen=True, kw_only=True, eq=False)
class Classical:
    """A classical model fitted to pictures."""

    name: str
    made_by: str  # library, version, class and its settings
    size: Size
    identity: str  # equal for the same model fitted to the same pictures
    fitted: Fitted

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The class (n,) of each of uint8 pictures (n, h, w, c)."""
        return np.asarray(self.fitted.predict(rows_of(images)))


def rows_of(images: np.ndarray) -> np.ndarray:
    """Pictures as float32 rows (n, h * w * c) of levels from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def fit(name: str, images: np.ndarray, labels: np.ndarray, seed: int) -> Classical:
    """The model called `name` fitted to uint8 pictures (n, h, w, c) and their labels (n,).

    Raises UsageError for an unknown name, and for pictures of one class.
    """
    kind = _KINDS[known_name(name)]
    made, made_by = kind.make(seed)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UsageError(
            "A classical model needs pictures of two classes at least, but these are all of one: "
            "use more --examples."
        )
    # XGBoost takes only labels from 0 up without a gap; a small subset may lack a class.
    places = np.searchsorted(classes, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged: it is measured as it is
        made.fit(rows_of(images), places)
    seen = hashlib.sha256(f"{made_by} {seed}".encode())
    seen.update(np.ascontiguousarray(images).data)
    seen.update(np.ascontiguousarray(labels).data)
    return Classical(
        name=name,
        made_by=made_by,
        size=kind.size(made),
        identity=f"{name} {seen.hexdigest()[:16]}",
        fitted=_Renamed(made, classes),
    )


def known_name(name: str) -> str:
    """`name`; UsageError suggests close ones where there is no such model."""
    if name not in _KINDS:
        raise UsageError(f"There is no classical model {name!r}: {close_names(name, _KINDS)}")
    return name


@dataclass(frozen=True)
class _Renamed:
    """A model whose answers are places in `classes`."""

    model: Any
    classes: np.ndarray

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.classes[np.asarray(self.model.predict(rows), dtype=np.int64)]


def _logistic(seed: int) -> tuple[Any, str]:
    from sklearn.linear_model import LogisticRegression

    return _made(LogisticRegression, max_iter=200, random_state=seed)


def _logistic_size(model: Any) -> Size:
    return Size(model.coef_.size + model.intercept_.size, trained=True)


def _svm(seed: int) -> tuple[Any, str]:
    from sklearn.svm import SVC

    return _made(SVC, kernel="rbf", C=5.0, gamma="scale", cache_size=500, random_state=seed)


def _svm_size(model: Any) -> Size:
    parts = (model.support_vectors_, model.dual_coef_, model.intercept_)
    return Size(sum(part.size for part in parts), trained=False)


def _trees(seed: int) -> tuple[Any, str]:
    """XGBoost's where it is installed, else scikit-learn's."""
    options: Mapping[str, Any] = {"learning_rate": 0.1, "random_state": seed}
    try:
        xgboost = import_module("xgboost")
    except ImportError:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return _made(HistGradientBoostingClassifier, max_iter=200, early_stopping=False, **options)
    return _made(
        xgboost.XGBClassifier, n_estimators=200, max_depth=6, tree_method="hist", **options
    )


def _trees_size(model: Any) -> Size:
    """Two numbers for a question (which pixel, which level), one for a leaf's answer."""
    if hasattr(model, "get_booster"):
        nodes = "\n".join(model.get_booster().get_dump())
        questions, leaves = nodes.count("yes="), nodes.count("leaf=")
    else:
        trees = [tree.nodes["is_leaf"] for rounds in model._predictors for tree in rounds]
        leaves = int(sum(is_leaf.sum() for is_leaf in trees))
        questions = sum(map(len, trees)) - leaves
    return Size(2 * questions + leaves, trained=False)


def _neighbours(seed: int) -> tuple[Any, str]:
    from sklearn.neighbors import KNeighborsClassifier

    del seed  # nothing is random
    return _made(KNeighborsClassifier, n_neighbors=3)


def _neighbours_size(model: Any) -> Size:
    return Size(model._fit_X.size + model._y.size, trained=False)


def _made(kind: Any, **options: Any) -> tuple[Any, str]:
    library = kind.__module__.partition(".")[0]
    package = "scikit-learn" if library == "sklearn" else library
    shown = ", ".join(f"{k}={v!r}" for k, v in options.items() if k not in _UNTOLD)
    return kind(**options), f"{package} {version(package)} {kind.__name__}({shown})"


_UNTOLD = {"random_state", "cache_size"}  # one is told beside it, the other changes no result


@dataclass(frozen=True)
class _Kind:
    """How a model is made from a seed, with what is to be told of it, and its size once fitted."""

    make: Callable[[int], tuple[Any, str]]
    size: Callable[[Any], Size]


_KINDS: Mapping[str, _Kind] = {
    "logistic": _Kind(_logistic, _logistic_size),
    "svm": _Kind(_svm, _svm_size),
    "trees": _Kind(_trees, _trees_size),
    "neighbours": _Kind(_neighbours, _neighbours_size),
}

CLASSICAL = tuple(_KINDS)
"""The names of the classical models."""
