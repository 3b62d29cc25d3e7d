"""A loaded model on a part of the data: through the test set's door, where it is the test set."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.results.loaded import LoadedModel
from pennyweight.results.predictions import Predictions
from pennyweight.train.data import DataInfo, describe, load_training_set, split
from pennyweight.train.door import open_test_set

Part = Literal["validation", "train", "test"]


def examine(
    model: LoadedModel, *, data: str | None = None, part: Part = "validation"
) -> tuple[Predictions, np.ndarray]:
    """What `model` says of a part of `data`, and the pictures (n, h, w, c).

    Of its own data, where nothing else is named, the parts are as in its training. Reading the test
    set is written down. Raises UsageError for data of another shape or other classes.
    """
    source = model.data if data is None else data
    _check(model, describe(source))
    if part == "test":
        pictures = open_test_set(
            source, purpose="evaluate", model=model.identity, ledger=model.readings
        )
        indices = np.arange(len(pictures.labels))
    else:
        pictures = load_training_set(source)
        if data is None and pictures.fingerprint != model.data_fingerprint:
            raise UsageError(
                f"The data {source} are not those that {model.name} learned from (fingerprint "
                f"{model.data_fingerprint}, and here {pictures.fingerprint}): name --data to use "
                "them nevertheless."
            )
        parts = split(pictures.labels, model.split_seed)
        indices = parts.validation if part == "validation" else parts.train
    images = pictures.images[indices]
    predictions = Predictions(
        labels=np.asarray(pictures.labels[indices]),
        probabilities=model.classifier.probabilities(images),
        class_names=model.class_names,
        indices=indices,
    )
    return predictions, images


def _check(model: LoadedModel, info: DataInfo) -> None:
    takes = (model.classifier.architecture.input_shape, len(model.class_names))
    has = (info.input_shape, info.classes)
    if takes != has:
        shapes = ["x".join(map(str, shape)) for shape, _ in (takes, has)]
        raise UsageError(
            f"{model.name} takes {shapes[0]} pictures in {takes[1]} classes, but {info.name} "
            f"has {shapes[1]} in {has[1]}: use other data."
        )
