"""A loaded model on a part of the data: through the test set's door, where it is the test set."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pennyweight.arch.errors import UsageError, shown
from pennyweight.results.loaded import LoadedModel
from pennyweight.results.predictions import Predictions
from pennyweight.train.corrections import plain_source
from pennyweight.train.data import DataInfo, check_unseen, describe, load_training_set, overlap
from pennyweight.train.door import open_test_set

Part = Literal["validation", "train", "test", "all"]


def examine(
    model: LoadedModel, *, data: str | None = None, part: Part = "validation"
) -> tuple[Predictions, np.ndarray]:
    """What `model` says of a part of `data`, and the pictures (n, h, w, c).

    Of its own data, where nothing else is named, the parts are as in its training; "all" is
    training and validation pictures. Reading the test set is written down. Raises UsageError for
    data of another shape or other classes, and where its own data have changed.
    """
    source = model.data if data is None else data
    numbers = _numbers(model, describe(source))
    if part == "test":
        check_unseen(model.name, model.data, source, "use another split, or its own data")
    pictures = load_training_set(source)
    if data is None and pictures.fingerprint != model.data_fingerprint:
        raise UsageError(
            f"The data {source} are not those that {model.name} learned from (fingerprint "
            f"{model.data_fingerprint}, and here {pictures.fingerprint}): name --data to use them "
            "nevertheless."
        )
    parts = pictures.split(model.split_seed)
    indices = {"validation": parts.validation, "train": parts.train}.get(part)
    if part == "test":
        pictures = open_test_set(
            source, purpose="evaluate", model=model.classifier.identity, ledger=model.readings
        )
    if indices is None:
        indices = np.arange(len(pictures.labels))
    images = pictures.images[indices]
    predictions = Predictions(
        labels=numbers[pictures.labels[indices]],
        probabilities=model.classifier.probabilities(images),
        class_names=model.class_names,
        indices=indices,
    )
    return predictions, images


def learned_from(model: LoadedModel, data: str | None, part: Part) -> bool:
    """Whether pictures of this part may be among those that the model learned from."""
    if data is not None and overlap(model.data, data):
        return True
    if part == "test" or (part == "validation" and not model.whole):
        return False
    if data is None or plain_source(data) == plain_source(model.data):
        return True  # with whatever labels
    return load_training_set(data).fingerprint == model.data_fingerprint


def part_of(source: str, part: Part) -> str:
    """What the pictures of a part are, in words."""
    if part == "all":
        some = "all but the test pictures" if describe(source).test_examples else "all pictures"
    else:
        some = f"the {'training' if part == 'train' else part} pictures"
    return f"{some} of {source}"


def _numbers(model: LoadedModel, info: DataInfo) -> np.ndarray:
    """For each class of the data, which of the model's it is; UsageError where there is none."""
    takes, has = model.classifier.architecture.input_shape, info.input_shape
    if takes != has:
        wanted, found = ("x".join(map(str, shape)) for shape in (takes, has))
        raise UsageError(
            f"{model.name} takes {wanted} pictures, but {info.name} has {found}: use other data."
        )
    place = {name: number for number, name in enumerate(model.class_names)}
    for name in info.class_names:
        if name not in place:
            raise UsageError(
                f"{model.name} tells apart {', '.join(model.class_names)}, but {info.name} has "
                f"pictures of {shown(name)}: use other data."
            )
    return np.array([place[name] for name in info.class_names])
