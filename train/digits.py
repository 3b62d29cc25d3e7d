"""scikit-learn's 8x8 digits: the default data, embedded in a dependency."""

import importlib.metadata
from collections.abc import Iterator

import numpy as np

from pennyweight.train.source import Batch, DataInfo, Part
from pennyweight.train.splits import held_out_size, held_out_test, others

EXAMPLES = 1_797
TOP_LEVEL = 16  # the pixels' levels are 0 to 16


class Digits:
    """Reads the digits; their test set is a stratified fifth, 360 pictures, the same for ever."""

    info = DataInfo(
        name="digits",
        input_shape=(8, 8, 1),
        classes=10,
        class_names=tuple("0123456789"),
        train_examples=EXAMPLES - held_out_size(EXAMPLES),
        test_examples=held_out_size(EXAMPLES),
    )

    @property
    def key(self) -> tuple[str, ...]:
        """The pictures come with the library, so its version stands for them."""
        return ("digits", importlib.metadata.version("scikit-learn"))

    def read_part(self, part: Part) -> Iterator[Batch]:
        """One batch with all of `part`, its levels scaled to 0-255."""
        from sklearn.datasets import load_digits  # 0.7 to 2 s, once per machine

        images_nhw, labels = load_digits(return_X_y=True)
        images_nhw = np.rint(images_nhw.reshape(-1, 8, 8) * (255 / TOP_LEVEL))
        test = held_out_test(labels)
        kept = test if part == "test" else others(test, len(labels))
        yield images_nhw[kept, :, :, None].astype(np.uint8), labels[kept].astype(np.int32)
