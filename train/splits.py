"""Stratified, seeded choices of examples: every class keeps its share to within one picture."""

from dataclasses import dataclass

import numpy as np

SMALLEST_TENTH = 1_000  # pictures: where a tenth would be fewer, validation gets a fifth
TEST_SEED = 0  # of data without a test set: the same part for everybody and for ever
TEST_PERCENT = 20  # of such data, where nothing else is asked for


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Indices into the training part, ascending int32; together they are all of it, once each."""

    train: np.ndarray
    validation: np.ndarray

    def learned(self, *, whole: bool) -> np.ndarray:
        """What is trained on: the training split, or with `whole` all."""
        return np.arange(len(self.train) + len(self.validation)) if whole else self.train


def split(labels: np.ndarray, seed: int) -> Split:
    """Divides the training part into what is learned from and what is chosen by.

    Validation gets a tenth, or a fifth where a tenth would be under 1,000 pictures (rounded up).
    The same labels and seed give the same split on every machine and with every NumPy.
    """
    validation = stratified_sample(labels, validation_size(len(labels)), seed)
    return Split(train=others(validation, len(labels)), validation=validation)


def validation_size(total: int) -> int:
    """How many of `total` pictures `split` keeps for validation.

    >>> validation_size(60_000), validation_size(1_437)
    (6000, 288)
    """
    return _rounded_up(total, 10 if total >= 10 * SMALLEST_TENTH else 5)


def held_out_test(labels: np.ndarray, percent: int = TEST_PERCENT) -> np.ndarray:
    """The indices, ascending int32, of the test set of data that come without one."""
    count = held_out_size(len(labels), percent)
    return stratified_sample(labels, count, TEST_SEED) if count else np.zeros(0, np.int32)


def held_out_size(total: int, percent: int = TEST_PERCENT) -> int:
    """How many of `total` pictures `held_out_test` takes: by default a fifth, rounded up.

    >>> held_out_size(1_797), held_out_size(1_797, 10), held_out_size(1_797, 0)
    (360, 180, 0)
    """
    return _rounded_up(total * percent, 100)


def fold(labels: np.ndarray, number: int, folds: int) -> np.ndarray:
    """The indices, ascending int32, of fold `number`, from 1, of so many; each picture is in one.

    Every class is spread over the folds to within one picture, and so are all pictures.
    """
    shuffled = _shuffled(len(labels), TEST_SEED)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[number - 1 :: folds]).astype(np.int32)


def fold_size(total: int, number: int, folds: int) -> int:
    """How many of `total` pictures `fold` takes.

    >>> [fold_size(1_797, number, 10) for number in (1, 7, 8, 10)]
    [180, 180, 179, 179]
    """
    return len(range(number - 1, total, folds))


def stratified_sample(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices, ascending int32, that hold every class's share to within one picture.

    >>> stratified_sample(np.array([0, 0, 0, 0, 1, 1]), 3, seed=0).size
    3
    """
    if not 1 <= count <= len(labels):
        raise ValueError(f"`count` must be from 1 to {len(labels)} examples, but got {count=}.")
    _, class_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wanted, remainders = np.divmod(sizes * count, len(labels))
    # The pictures that rounding down left over go to the largest remainders, one each.
    most_owed = np.argsort(-remainders, kind="stable")[: count - wanted.sum()]
    wanted[most_owed] += 1
    order = _shuffled(len(labels), seed)
    chosen = [order[class_of[order] == k][:n] for k, n in enumerate(wanted)]
    return np.sort(np.concatenate(chosen)).astype(np.int32)


def others(chosen: np.ndarray, total: int) -> np.ndarray:
    """The indices below `total` that are not in `chosen`, ascending int32."""
    rest = np.ones(total, dtype=bool)
    rest[chosen] = False
    return np.flatnonzero(rest).astype(np.int32)


def _shuffled(total: int, seed: int) -> np.ndarray:
    # Not `Generator.permutation`: NumPy keeps only the raw stream the same between versions, and
    # which pictures were ever tested on must not depend on the version.
    return np.argsort(np.random.PCG64(seed).random_raw(total), kind="stable")


def _rounded_up(total: int, divisor: int) -> int:
    return -(-total // divisor)
