"""scikit-learn's 8x8 digits: the default data, embedded in a dependency."""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.train.source import Batch, DataInfo, Part
from pennyweight.train.splits import fold, fold_size, held_out_size, held_out_test, others

EXAMPLES = 1_797
TOP_LEVEL = 16  # the pixels' levels are 0 to 16
FOLDS = 10


@dataclass(frozen=True)
class Digits:
    """Reads the digits; their test set is a stratified fifth, 360 pictures, the same for ever.

    With a `fold`, from 1 to `FOLDS`, it is that stratified tenth: each picture is in one of them.
    """

    fold: int | None = None

    @classmethod
    def of(cls, source: str) -> "Digits":
        """The reader of `digits` or `digits:fold3`; UsageError for another fold."""
        name, _, number = source.partition(":fold")
        if source == name:
            return cls()
        if number not in {str(known) for known in range(1, FOLDS + 1)}:
            raise UsageError(
                f"The folds of the digits are digits:fold1 to digits:fold{FOLDS}, but got "
                f"{source!r}: choose one, or digits."
            )
        return cls(int(number))

    @property
    def info(self) -> DataInfo:
        """The description."""
        test = held_out_size(EXAMPLES)
        if self.fold is not None:
            test = fold_size(EXAMPLES, self.fold, FOLDS)
        return DataInfo(
            name="digits" if self.fold is None else f"digits:fold{self.fold}",
            input_shape=(8, 8, 1),
            classes=10,
            class_names=tuple("0123456789"),
            train_examples=EXAMPLES - test,
            test_examples=test,
        )

    @property
    def key(self) -> tuple[str, ...]:
        """The pictures come with the library, so its version stands for them."""
        words = ("digits", importlib.metadata.version("scikit-learn"))
        return words if self.fold is None else (*words, f"fold{self.fold}")

    def read_part(self, part: Part) -> Iterator[Batch]:
        """One batch with all of `part`, its levels scaled to 0-255."""
        from sklearn.datasets import load_digits  # 0.7 to 2 s, once per machine

        images_nhw, labels = load_digits(return_X_y=True)
        images_nhw = np.rint(images_nhw.reshape(-1, 8, 8) * (255 / TOP_LEVEL))
        test = held_out_test(labels) if self.fold is None else fold(labels, self.fold, FOLDS)
        kept = test if part == "test" else others(test, len(labels))
        yield images_nhw[kept, :, :, None].astype(np.uint8), labels[kept].astype(np.int32)
