"""The embedded digits and the real MNIST: counts, scale, normalisation; what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pennyweight.arch.errors import UsageError
from pennyweight.train.data import available, describe, load_training_set, normalisation
from pennyweight.train.door import open_test_set


def test_the_digits_are_described_without_being_decoded() -> None:
    info = describe("digits")
    assert (info.input_shape, info.classes) == ((8, 8, 1), 10)
    assert (info.train_examples, info.test_examples) == (1_437, 360)
    assert info.class_names == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def test_the_two_parts_of_the_digits_are_scikit_learns_1797_pictures(tmp_path: Path) -> None:
    train = load_training_set("digits")
    test = open_test_set("digits", purpose="verify", model="none", ledger=tmp_path / "ledger")
    assert (train.images.shape, test.images.shape) == ((1_437, 8, 8, 1), (360, 8, 8, 1))
    images, labels = load_digits(return_X_y=True)
    ours = [
        (label, (image / 255 * 16).round().astype(int).tobytes())
        for part in (train, test)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    theirs = zip(labels, (image.astype(int).tobytes() for image in images), strict=True)
    assert sorted(ours) == sorted(theirs)
    assert np.abs(np.bincount(test.labels) - np.bincount(labels) / 5).max() < 1


def test_a_fold_of_the_digits_is_a_tenth_and_the_rest_is_to_learn_from(tmp_path: Path) -> None:
    info, ledger = describe("digits:fold3"), tmp_path / "ledger"
    train = load_training_set("digits:fold3")
    test = open_test_set("digits:fold3", purpose="verify", model="none", ledger=ledger)
    assert (info.train_examples, info.test_examples) == (len(train.labels), len(test.labels))
    assert (info.name, len(train.labels), len(test.labels)) == ("digits:fold3", 1_617, 180)
    other = open_test_set("digits:fold4", purpose="verify", model="none", ledger=ledger)
    assert not {each.tobytes() for each in test.images} & {each.tobytes() for each in other.images}


@pytest.mark.parametrize("source", ["digits:fold0", "digits:fold11", "digits:fold", "digits:foldx"])
def test_there_are_ten_folds(source: str) -> None:
    with pytest.raises(UsageError, match="digits:fold1 to digits:fold10"):
        describe(source)


def test_the_digits_use_the_whole_scale_in_uint8_and_never_change() -> None:
    train = load_training_set("digits")
    assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int32)
    assert (train.images.min(), train.images.max()) == (0, 255)
    assert train.fingerprint == "131568502c3abe6a"


def test_loaded_arrays_cannot_be_written_to_by_accident() -> None:
    train = load_training_set("digits")
    with pytest.raises(ValueError, match="read-only"):
        train.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        train.labels[0] = 0


def test_progress_ends_at_the_number_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path))
    told: list[tuple[int, int]] = []
    load_training_set("digits", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (1_437, 1_437)


def test_mnist_is_the_published_one(mnist: str) -> None:
    info = describe(mnist)
    train = load_training_set(mnist)
    assert (info.train_examples, info.test_examples) == (60_000, 10_000)
    assert train.images.shape == (60_000, 28, 28, 1)
    published = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == published
    mean, deviation = normalisation(train.images)
    assert (mean[0], deviation[0]) == pytest.approx((0.1307, 0.3081), abs=5e-5)
    assert len(train.split(0).validation) == 6_000


def test_mnist_is_decoded_once(mnist: str) -> None:
    first = load_training_set(mnist)
    told: list[int] = []
    again = load_training_set(mnist, progress=lambda done, total: told.append(done))
    assert told == []
    assert again.fingerprint == first.fingerprint


def test_fashion_mnist_is_described_with_its_class_names(fashion_mnist: str) -> None:
    info = describe(fashion_mnist)
    assert (info.train_examples, info.test_examples) == (60_000, 10_000)
    assert info.class_names[0] == "T-shirt/top"
    assert info.class_names[-1] == "Ankle boot"


def test_a_description_takes_no_tensorflow_datasets_and_milliseconds(mnist: str) -> None:
    program = (
        "import sys, time; from pennyweight.train.data import describe; start = time.perf_counter()"
        f"; describe({mnist!r}); print(time.perf_counter() - start, *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    seconds, *modules = run.stdout.split()
    assert float(seconds) < 0.5  # 1 ms on an idle machine
    assert "tensorflow_datasets" not in modules
    assert run.stderr == ""


def test_the_digits_are_always_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "missing"))
    assert available() == ["digits"]


def test_normalisation_is_the_mean_and_deviation_of_each_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2_345, 4, 5, 3), dtype=np.uint8)
    mean, deviation = normalisation(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(deviation, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12)


def test_a_channel_without_contrast_is_only_shifted() -> None:
    assert normalisation(np.full((3, 2, 2, 1), 255, dtype=np.uint8)) == ((1.0,), (1.0,))
