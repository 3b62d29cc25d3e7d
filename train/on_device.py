"""A data set's training and validation pictures on this process's device, put there once."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np

from pennyweight.train.data import Dataset, load_training_set, normalisation
from pennyweight.train.program import CALIBRATION, Pictures
from pennyweight.train.spread import put


class OnDevice(NamedTuple):
    """The three sets of pictures a search may see; the test set is not among them."""

    training: Pictures  # the training split, or with `whole` all that may be trained on
    calibration: Pictures  # the first of a seeded shuffle of the training pictures
    validation: Pictures


@lru_cache(maxsize=2)
def on_device(source: str, split_seed: int, whole: bool = False) -> OnDevice:
    """The pictures of `source`, split by `split_seed`, normalised by those that are trained on."""
    dataset = load_training_set(source)
    parts = dataset.split(split_seed)
    learned = parts.learned(whole=whole)
    mean, std = normalisation(dataset.images[learned])
    shuffled = np.random.default_rng(0).permutation(learned)

    def pictures(chosen: np.ndarray) -> Pictures:
        return _put(dataset, chosen, mean, std)

    return OnDevice(pictures(learned), pictures(shuffled[:CALIBRATION]), pictures(parts.validation))


@lru_cache(maxsize=2)
def in_place(source: str, split_seed: int, whole: bool, lanes: int) -> OnDevice:
    """The same pictures, on every device that trains some of `lanes` lanes."""
    parts = on_device(source, split_seed, whole)
    return OnDevice(*(put(part, lanes, shared=True) for part in parts))


def _put(
    dataset: Dataset, chosen: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> Pictures:
    return Pictures(
        images_nhwc=jax.device_put(dataset.images[chosen]),
        labels_n=jax.device_put(dataset.labels[chosen].astype(np.int32)),
        mean_c=jax.device_put(np.asarray(mean, np.float32)),
        std_c=jax.device_put(np.asarray(std, np.float32)),
    )
