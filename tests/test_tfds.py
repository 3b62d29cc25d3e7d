"""Prepared TFDS folders are read exactly, without TensorFlow; a damaged or odd one is one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_folders import change, pictures, prepare

from pennyweight.arch.errors import UsageError
from pennyweight.train.data import Dataset, available, describe, load_training_set
from pennyweight.train.door import open_test_set


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a test, and a cache of its own."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "tfds"


def load_test_part(name: str, root: Path) -> Dataset:
    return open_test_set(name, purpose="verify", model="none", ledger=root.parent / "ledger")


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (7, 4, 4)])
def test_pictures_come_back_as_they_were_written(shape: tuple[int, int, int], root: Path) -> None:
    train, test = pictures(1_234, shape), pictures(56, shape)
    prepare(root / "shapes" / "1.0.0", train=train, test=test)
    info = describe("shapes")
    assert (info.input_shape, info.train_examples, info.test_examples) == (shape, 1_234, 56)
    for read, written in (
        (load_training_set("shapes"), train),
        (load_test_part("shapes", root), test),
    ):
        np.testing.assert_array_equal(read.images, written[0])
        np.testing.assert_array_equal(read.labels, written[1])
        assert read.class_names == ("0", "1", "2")


def test_jpeg_is_decoded_as_pillow_decodes_it(root: Path) -> None:
    images = np.full((10, 16, 16, 3), (200, 30, 90), dtype=np.uint8)
    prepare(root / "photos" / "1.0.0", form="JPEG", train=(images, np.arange(10) % 3))
    read = load_training_set("photos")
    np.testing.assert_allclose(read.images, images[: len(read.images)], atol=3)


def test_class_names_are_those_of_the_labels_file(root: Path) -> None:
    folder = prepare(root / "named" / "1.0.0", train=pictures(9), test=pictures(3))
    (folder / "label.labels.txt").write_text("cat\ndog\nT-shirt/top\n")
    assert describe("named").class_names == ("cat", "dog", "T-shirt/top")


def test_without_a_test_split_a_fifth_of_train_is_held_out(root: Path) -> None:
    images, labels = pictures(101)
    prepare(root / "undivided" / "1.0.0", train=(images, labels))
    train, test = load_training_set("undivided"), load_test_part("undivided", root)
    info = describe("undivided")
    assert (info.train_examples, info.test_examples) == (80, 21)
    assert (len(train.labels), len(test.labels)) == (80, 21)
    together = [image.tobytes() for part in (train, test) for image in part.images]
    assert sorted(together) == sorted(image.tobytes() for image in images)
    assert np.bincount(test.labels).tolist() == [7, 7, 7]


def test_the_newest_version_is_read(root: Path) -> None:
    for version, count in (("2.0.0", 20), ("10.0.0", 10), ("9.9.9", 9)):
        prepare(root / "aged" / version, train=pictures(count), test=pictures(3))
    (root / "aged" / "11.0.0.incompleteAB12").mkdir()
    assert describe("aged").train_examples == 10


def test_a_configuration_is_named_with_a_slash(root: Path) -> None:
    for name in ("letters", "digits"):
        folder = prepare(root / "emnist" / name / "3.1.0", train=pictures(9), test=pictures(3))
        change(folder / "dataset_info.json", lambda info: info.update(name="emnist"))
        for file in folder.glob(f"{name}-*"):
            file.rename(folder / file.name.replace(name, "emnist"))
        change(folder / "dataset_info.json", lambda info, n=name: info.update(configName=n))
    assert available() == ["digits", "emnist/digits", "emnist/letters"]
    assert len(load_training_set("emnist/letters").labels) == 9
    with pytest.raises(UsageError, match=r"configurations.*emnist/digits or emnist/letters"):
        describe("emnist")


def test_a_changed_folder_is_not_served_from_the_cache(root: Path) -> None:
    prepare(root / "changing" / "1.0.0", train=pictures(50), test=pictures(3))
    before = load_training_set("changing")
    (root / "changing").rename(root / "old")
    images, labels = pictures(50)
    prepare(root / "changing" / "1.0.0", train=(images // 2, labels), test=pictures(3))
    after = load_training_set("changing")
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.images, images // 2)


def edited(file: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return lambda folder: change(folder / file, edit)


def image_edit(**changes: object) -> Callable[[Path], object]:
    return edited(
        "features.json",
        lambda content: content["featuresDict"]["features"]["image"]["image"].update(changes),
    )


UNSUITABLE = {
    "prepared as tfrecord, which needs TensorFlow.*--file_format=array_record": edited(
        "dataset_info.json", lambda info: info.update(fileFormat="tfrecord")
    ),
    "prepared as tfrecord": edited("dataset_info.json", lambda info: info.pop("fileFormat")),
    "no picture for each label": edited(
        "features.json", lambda content: content["featuresDict"]["features"].pop("image")
    ),
    "has 0 classes": edited(
        "features.json", lambda content: content["featuresDict"]["features"].pop("label")
    ),
    "pictures have several sizes": image_edit(shape={"dimensions": ["-1", "-1", "3"]}),
    "pictures are float32": image_edit(dtype="float32"),
    "pictures have 5 channels": image_edit(shape={"dimensions": ["6", "5", "5"]}),
    "has no train split": edited("dataset_info.json", lambda info: info["splits"].pop(0)),
    "damaged .*JSONDecodeError": lambda folder: (folder / "dataset_info.json").write_text("{"),
    "damaged .*AttributeError": lambda folder: (folder / "dataset_info.json").write_text("[[]]"),
    "damaged .*features.json": lambda folder: (folder / "features.json").unlink(),
    "damaged .*0 of 1 train files": lambda folder: next(folder.glob("*-train*")).unlink(),
    "damaged .*2 names for 3 classes": lambda folder: (folder / "label.labels.txt").write_text(
        "cat\ndog\n"
    ),
}


@pytest.mark.parametrize("message", UNSUITABLE)
def test_an_unsuitable_folder_is_refused_in_one_line(message: str, root: Path) -> None:
    folder = prepare(root / "odd" / "1.0.0", train=pictures(9), test=pictures(3))
    describe("odd")
    UNSUITABLE[message](folder)
    with pytest.raises(UsageError, match=message) as refusal:
        describe("odd")
    assert "\n" not in str(refusal.value)


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[20_000:20_100] = bytes(100)
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [halve, overwrite])
def test_damaged_records_are_one_line_and_leave_nothing(
    damage: Callable[[Path], None], root: Path
) -> None:
    folder = prepare(root / "torn" / "1.0.0", train=pictures(900, (28, 28, 1)), test=pictures(3))
    damage(next(folder.glob("*-train*")))
    with pytest.raises(UsageError, match=r"train pictures in .* cannot be read") as refusal:
        load_training_set("torn")
    assert "\n" not in str(refusal.value)
    assert not [path for path in (root.parent / "cache" / "data").iterdir() if path.is_dir()]


def test_a_picture_of_another_size_than_announced_is_refused(root: Path) -> None:
    folder = prepare(root / "lying" / "1.0.0", train=pictures(9), test=pictures(3))
    image_edit(shape={"dimensions": ["5", "6", "1"]})(folder)
    with pytest.raises(UsageError, match="a picture of 6x5 pixels"):
        load_training_set("lying")


def test_labels_that_were_left_out_are_refused(root: Path) -> None:
    images, labels = pictures(9)
    prepare(root / "secret" / "1.0.0", train=(images, labels), test=(images, labels * 0 - 1))
    assert len(load_training_set("secret").labels) == 9
    with pytest.raises(UsageError, match="label of secret is -1"):
        load_test_part("secret", root)


def test_one_class_alone_is_refused(root: Path) -> None:
    images, labels = pictures(9)
    prepare(root / "same" / "1.0.0", train=(images, labels * 0), test=pictures(3))
    with pytest.raises(UsageError, match="all of one class"):
        load_training_set("same")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kmnist", r"not prepared in .*TFDS_DATA_DIR.*tfds build kmnist --file_format=array_rec"),
        ("emnist/letters", "not prepared in .*tfds build emnist/letters"),
        ("mnits", "no data set 'mnits': did you mean mnist"),
        ("MNIST", "no data set 'MNIST': did you mean mnist"),
        ("shaped", "did you mean .*shapes"),
        ("qqqqqqqq", "there is digits, shapes"),
        ("", "there is digits, shapes"),
        ("../tfds/shapes", "no data set '../tfds/shapes'"),
        ("two\nlines", "no data set"),
    ],
)
def test_a_name_that_is_not_here_gets_its_remedy(name: str, message: str, root: Path) -> None:
    prepare(root / "shapes" / "1.0.0", train=pictures(9), test=pictures(3))
    with pytest.raises(UsageError, match=message) as refusal:
        describe(name)
    assert "\n" not in str(refusal.value)


def test_neither_a_network_nor_a_word_of_noise(root: Path) -> None:
    """In a process that forbids itself sockets; the timeout is the bound on an unprepared set."""
    prepare(root / "shapes" / "1.0.0", train=pictures(9), test=pictures(3))
    program = """
import sys

def forbid(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(forbid)
from pennyweight.train.data import describe, load_training_set
for name in ("kmnist", "mnits"):
    try:
        describe(name)
    except ValueError as error:
        print(type(error).__name__)
print(load_training_set("shapes").images.shape)
"""
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (run.stdout, run.stderr) == ("UsageError\nUsageError\n(9, 6, 5, 1)\n", "")
