"""Data in files of one's own: read to the pixel, or refused in one line."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pennyweight.arch.errors import UsageError
from pennyweight.train.data import describe, load_training_set
from pennyweight.train.door import open_test_set
from pennyweight.train.own_files import KINDS
from pennyweight.train.splits import held_out_test

COUNT, SIDE, CLASSES = 60, 4, 3
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (COUNT, SIDE, SIDE), dtype=np.uint8)
LABELS = np.arange(COUNT) % CLASSES
TEST_IMAGES = RANDOM.integers(0, 256, (12, SIDE, SIDE), dtype=np.uint8)
TEST_LABELS = np.arange(12) % CLASSES


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def csv_text(images: np.ndarray, labels: Any) -> str:
    rows = [
        f"{label},{','.join(map(str, image.ravel()))}"
        for image, label in zip(images, labels, strict=True)
    ]
    return "\n".join(["label," + ",".join(f"pixel{i}" for i in range(SIDE**2)), *rows]) + "\n"


def write_csv(place: Path, *, test: bool) -> str:
    (place / "train.csv").write_text(csv_text(IMAGES, LABELS))
    return f"csv:{place / 'train.csv'}"


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(place: Path, *, test: bool) -> str:
    (place / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (place / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS.astype(np.uint8))))
    if test:
        (place / "t10k-images.idx3-ubyte").write_bytes(idx(TEST_IMAGES))
        (place / "t10k-labels-idx1-ubyte").write_bytes(idx(TEST_LABELS.astype(np.uint8)))
    return f"idx:{place}"


def write_npz(place: Path, *, test: bool) -> str:
    arrays: dict[str, Any] = {"x_train": IMAGES, "y_train": LABELS}
    if test:
        arrays |= {"x_test": TEST_IMAGES[..., None], "y_test": TEST_LABELS[:, None]}
    np.savez_compressed(place / "a.npz", **arrays)
    return f"npz:{place / 'a.npz'}"


def write_folder(place: Path, *, test: bool) -> str:
    parts = [("train", IMAGES, LABELS), ("test", TEST_IMAGES, TEST_LABELS)]
    for part, images, labels in parts if test else [("", IMAGES, LABELS)]:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = place / part / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number:03d}.png")
    return f"folder:{place}"


WRITERS: dict[str, Callable[..., str]] = {
    "csv": write_csv,
    "idx": write_idx,
    "npz": write_npz,
    "folder": write_folder,
}


def as_set(images: np.ndarray, labels: np.ndarray) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def test_there_is_a_writer_for_every_kind() -> None:
    assert set(WRITERS) == set(KINDS)


@pytest.mark.parametrize("kind", WRITERS)
def test_without_a_test_part_a_stratified_fifth_is_held_out(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    source = WRITERS[kind](place, test=False)
    info = describe(source)
    assert (info.input_shape, info.class_names) == ((SIDE, SIDE, 1), ("0", "1", "2"))
    assert (info.train_examples, info.test_examples) == (48, 12)
    training = load_training_set(source)
    testing = open_test_set(source, purpose="evaluate", model="m", ledger=tmp_path / "ledger")
    parts = [as_set(part.images, part.labels) for part in (training, testing)]
    assert [len(part) for part in parts] == [48, 12]
    assert parts[0] | parts[1] == as_set(IMAGES, LABELS)
    if kind != "folder":  # whose pictures come by class
        held_out = held_out_test(LABELS)
        np.testing.assert_array_equal(testing.images[..., 0], IMAGES[held_out])


@pytest.mark.parametrize("kind", sorted(set(WRITERS) - {"csv"}))
def test_a_test_part_of_its_own_stays_one(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    source = WRITERS[kind](place, test=True)
    assert (describe(source).train_examples, describe(source).test_examples) == (COUNT, 12)
    training = load_training_set(source)
    testing = open_test_set(source, purpose="evaluate", model="m", ledger=tmp_path / "ledger")
    assert as_set(training.images, training.labels) == as_set(IMAGES, LABELS)
    assert as_set(testing.images, testing.labels) == as_set(TEST_IMAGES, TEST_LABELS)


@pytest.mark.parametrize(("percent", "held"), [(0, 0), (10, 6), (25, 15), (50, 30)])
def test_one_may_say_how_much_is_held_out(percent: int, held: int, tmp_path: Path) -> None:
    source = f"{write_csv(tmp_path, test=False)}:test{percent}"
    info, training = describe(source), load_training_set(source)
    assert (info.name, info.train_examples, info.test_examples) == (source, COUNT - held, held)
    parts = [as_set(training.images, training.labels)]
    if held:
        door = {"purpose": "evaluate", "model": "m", "ledger": tmp_path / "ledger"}
        testing = open_test_set(source, **door)
        assert len(testing.labels) == held
        parts.append(as_set(testing.images, testing.labels))
    assert set.union(*parts) == as_set(IMAGES, LABELS)
    assert sum(map(len, parts)) == COUNT


def test_without_a_test_set_there_is_nothing_to_open(tmp_path: Path) -> None:
    source = f"{write_csv(tmp_path, test=False)}:test0"
    with pytest.raises(UsageError, match=r"test0 has no test set: leave out :test0, and a fifth"):
        open_test_set(source, purpose="evaluate", model="m", ledger=tmp_path / "ledger")
    assert not (tmp_path / "ledger").exists()


def test_what_cannot_be_held_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=":test must be from 0 to 50 percent of the pictures"):
        describe(f"{write_csv(tmp_path, test=False)}:test51")
    with pytest.raises(UsageError, match="has a test part of its own: leave out :test10"):
        describe(f"{write_npz(tmp_path, test=True)}:test10")


def test_files_that_change_are_read_again(tmp_path: Path) -> None:
    source = write_csv(tmp_path, test=False)
    before = load_training_set(source).fingerprint
    path = tmp_path / "train.csv"
    path.write_text(csv_text(255 - IMAGES, LABELS))
    os.utime(path, ns=(1, 1))
    assert load_training_set(source).fingerprint != before


def test_the_cached_description_is_that_of_the_files(tmp_path: Path, cache: Path) -> None:
    source = write_npz(tmp_path, test=True)
    first = describe(source)
    (noted,) = (cache / "described").iterdir()
    assert describe(source) == first
    noted.write_text("{}")  # damaged: found out again
    assert describe(source) == first


def test_classes_of_a_csv_may_be_words_in_any_column_and_quotes(tmp_path: Path) -> None:
    names = ["owl", "cat, big", "dog"]
    header = ",".join([*(f"p{i}" for i in range(4)), "label"])
    rows = [f'{i},{i + 1},{i + 2},{i + 3},"{names[i % 3]}"' for i in range(30)]
    (tmp_path / "words.csv").write_text("\n".join([header, *rows]))
    source = f"csv:{tmp_path / 'words.csv'}"
    assert describe(source).class_names == ("cat, big", "dog", "owl")
    training = load_training_set(source)
    for image, label in zip(training.images, training.labels, strict=True):
        assert training.class_names[label] == names[image[0, 0, 0] % 3]


def test_what_stands_behind_a_number_sign_is_part_of_the_label(tmp_path: Path) -> None:
    rows = [f"{i},{i},{i},{i},{'c#' if i % 2 else 'c'}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,c,d,label", *rows]))
    assert describe(f"csv:{tmp_path / 'a.csv'}").class_names == ("c", "c#")
    rows = [f"#{i % 2},{i},{i},{i},{i}" for i in range(30)]
    (tmp_path / "b.csv").write_text("\n".join(["label,a,b,c,d", *rows]))
    info = describe(f"csv:{tmp_path / 'b.csv'}")
    assert (info.class_names, info.train_examples + info.test_examples) == (("#0", "#1"), 30)


def test_labels_that_only_look_like_numbers_are_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.array(["\u00b2", "10", "9"] * 20))
    assert describe(f"npz:{tmp_path / 'a.npz'}").class_names == ("10", "9", "\u00b2")


def test_a_folder_is_learned_from_as_predict_sees_it(tmp_path: Path) -> None:
    write_folder(tmp_path, test=False)
    ink = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    ink.putpixel((1, 2), (0, 0, 0, 255))
    ink.save(tmp_path / "0" / "zz.png")
    deep = np.full((SIDE, SIDE), 40_000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "1" / "zz.png")
    for left in (".thumbnails", "__MACOSX"):
        (tmp_path / left).mkdir()
        ink.save(tmp_path / left / "a.png")
    source = f"folder:{tmp_path}"
    assert describe(source).class_names == ("0", "1", "2")
    ledger = {"purpose": "evaluate", "model": "m", "ledger": tmp_path / "ledger"}
    parts = (load_training_set(source), open_test_set(source, **ledger))
    images = np.concatenate([part.images for part in parts])
    assert images.shape[1:] == (SIDE, SIDE, 1)
    white = [image for image in images[..., 0] if np.count_nonzero(image == 255) == 15]
    assert any(image[2, 1] == 0 for image in white)
    assert any((image == 40_000 >> 8).all() for image in images)


def test_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=(LABELS + 1) * 5)
    assert describe(f"npz:{tmp_path / 'a.npz'}").class_names == ("5", "10", "15")


def test_colours_in_a_folder_make_all_pictures_coloured(tmp_path: Path) -> None:
    write_folder(tmp_path, test=False)
    red = Image.new("RGB", (SIDE, SIDE), (250, 10, 20))
    red.save(tmp_path / "0" / "zz.png")
    training = load_training_set(f"folder:{tmp_path}")
    assert training.images.shape[1:] == (SIDE, SIDE, 3)
    grey = sum((image[..., 0] == image[..., 2]).all() for image in training.images)
    assert grey >= len(training.labels) - 1


def spoil(text: str, line: int, change: Callable[[list[str]], list[str]]) -> str:
    lines = text.splitlines()
    lines[line] = ",".join(change(lines[line].split(",")))
    return "\n".join(lines)


WHOLE = csv_text(IMAGES, LABELS)
SPOILT_CSV: dict[str, tuple[str | bytes, str]] = {
    "no label": (
        spoil(WHOLE, 0, lambda f: ["digit", *f[1:]]),
        "square picture.*no column `label`: 'digit' is named like no pixel: leave it out, or ren",
    ),
    "a label in capitals": (
        spoil(WHOLE, 0, lambda f: ["Label", *f[1:]]),
        "square picture.*no column `label`: rename 'Label' to `label`",
    ),
    "an index": (
        "\n".join(f"{line},{n or 'id'}" for n, line in enumerate(WHOLE.splitlines())),
        "square picture.* but has 17: 'id' is named like no pixel: leave it out",
    ),
    "semicolons": (WHOLE.replace(",", ";"), "commas between its columns, but has semicolons"),
    "tabs": (WHOLE.replace(",", "\t"), "must have commas between its columns, but has tabs"),
    "no header": (WHOLE.split("\n", 1)[1], "must begin with the columns' names"),
    "two labels": (spoil(WHOLE, 0, lambda f: ["label", "label", *f[2:]]), "one column `label`"),
    "short row": (
        spoil(WHOLE, 9, lambda f: f[:-1]),
        "a field for each of its 17 columns, but line 10 has 16",
    ),
    "long row": (
        spoil(WHOLE, 9, lambda f: [*f, "1"]),
        "a field for each of its 17 columns, but line 10 has 18",
    ),
    "all rows too long": (
        "\n".join(line + ",1" * (n > 0) for n, line in enumerate(WHOLE.splitlines())),
        "a field for each of its 17 columns, but line 2 has 18",
    ),
    "short rows": ("\n".join(line + ",1" for line in WHOLE.splitlines()[1:]), "columns' names"),
    "too bright": (
        spoil(WHOLE, 3, lambda f: [*f[:5], "256", *f[6:]]),
        "levels from 0 to 255, but line 4 has '256' as 'pixel4'",
    ),
    "negative": (
        spoil(WHOLE, 3, lambda f: [*f[:5], "-1", *f[6:]]),
        "line 4 has '-1' as 'pixel4'",
    ),
    "fraction": (
        spoil(WHOLE, 3, lambda f: [*f[:5], "0.5", *f[6:]]),
        "line 4 has '0.5' as 'pixel4': multiply levels from 0 to 1 by 255, and round them",
    ),
    "huge": (spoil(WHOLE, 3, lambda f: [*f[:5], "99999999", *f[6:]]), "line 4 has '99999999' as"),
    "word": (spoil(WHOLE, 3, lambda f: [*f[:5], "x", *f[6:]]), "line 4 has 'x' as 'pixel4'"),
    "after blank lines and a break in a label": (
        spoil(WHOLE, 3, lambda f: ['\n\n"\n0"', *f[1:5], "x", *f[6:]]),
        "line 6 has 'x' as 'pixel4'",
    ),
    "a field without an end": (
        spoil(WHOLE, 3, lambda f: [*f[:5], '"' + "7" * 200_000, *f[6:]]),
        "must be a CSV file, but line 4: field larger than",
    ),
    "unlabelled row": (
        spoil(WHOLE, 3, lambda f: ["", *f[1:]]),
        "a label in every row, but line 4 has none",
    ),
    "not square": (
        "\n".join(",".join(line.split(",")[:-1]) for line in WHOLE.splitlines()),
        "each pixel of a square picture, such as 784 for 28x28, but has 15",
    ),
    "no rows": (WHOLE.splitlines()[0], "a row for each picture, but has none"),
    "empty": ("", "must begin with the columns' names, but it is empty"),
    "a first line that is empty": (f"\n{WHOLE}", "but its first line is empty"),
    "few": ("\n".join(WHOLE.splitlines()[:9]), "at least 20 pictures, but has 8"),
    "ids": ("label,p\n" + "".join(f"{n},0\n" for n in range(10_001)), "more than 10,000 diff"),
    "bytes": (b"label,\xff\xfe", "is no UTF-8 text"),
}


@pytest.mark.parametrize("what", SPOILT_CSV)
def test_a_csv_that_is_not_right_is_refused(what: str, tmp_path: Path) -> None:
    content, rule = SPOILT_CSV[what]
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=rule) as refusal:
        describe(f"csv:{path}")
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        (
            "train-images-idx3-ubyte",
            b"\0\0\x0b\x03" + bytes(40),
            "magic number 00000803, but begins",
        ),
        ("train-images-idx3-ubyte", b"", "begins with nothing"),
        ("train-images-idx3-ubyte", idx(IMAGES)[:-1], "damaged or was cut off"),
        ("train-images-idx3-ubyte", idx(IMAGES)[:7], "damaged or was cut off"),
        ("train-images-idx3-ubyte", idx(IMAGES) + b"1", "damaged or was cut off"),
        ("train-images-idx3-ubyte", idx(IMAGES[:-1]), "has 59 pictures, but .* has 60 labels"),
        (
            "train-labels-idx1-ubyte.gz",
            gzip.compress(idx(LABELS.astype(np.uint8)), mtime=0)[:-9],
            "must be gzipped",
        ),
        ("train-labels-idx1-ubyte.gz", b"no gzip", "must be gzipped"),
    ],
    ids=str,
)
def test_idx_files_that_are_not_right_are_refused(
    name: str, content: bytes, rule: str, tmp_path: Path
) -> None:
    source = write_idx(tmp_path, test=False)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rule):
        describe(source)


@pytest.mark.parametrize("gone", ["images", "labels"])
def test_idx_files_come_in_pairs(gone: str, tmp_path: Path) -> None:
    source = write_idx(tmp_path, test=True)
    next(iter(tmp_path.glob(f"t10k-{gone}*"))).unlink()
    with pytest.raises(UsageError, match=f"needs the file with its {gone} beside it"):
        describe(source)


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"a": IMAGES}, "must hold the arrays x_train and y_train or .* but holds a"),
        (
            {"x": np.zeros((COUNT, 3, 28, 28), np.uint8), "y": LABELS},
            r"with 1, 3 or 4 channels, but holds \(60, 3, 28, 28\): move the channels last",
        ),
        ({"x": IMAGES / 255, "y": LABELS}, "whole levels from 0 to 255, but holds float64"),
        ({"x": IMAGES + np.int64(1), "y": LABELS}, "whole levels .* int64 from 1 to 256"),
        ({"x": IMAGES, "y": LABELS[:-1]}, "and a label for each"),
        ({"x": IMAGES[0], "y": LABELS}, "and a label for each"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "and a label for each"),
        ({"x": IMAGES, "y": LABELS / 2}, "labels as whole numbers or text, not float64"),
        ({"x": np.array([{}], object), "y": LABELS[:1]}, "but it holds Python objects"),
    ],
    ids=str,
)
def test_an_npz_that_is_not_right_is_refused(
    arrays: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
    with pytest.raises(UsageError, match=rule):
        describe(f"npz:{tmp_path / 'a.npz'}")


def test_a_torn_npz_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path, test=False)
    whole = (tmp_path / "a.npz").read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:100] + b"x" * 9 + whole[109:]):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(UsageError, match="must be an NPZ file of plain arrays"):
            describe(f"npz:{tmp_path / 'a.npz'}")


def test_folders_that_are_not_right_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must hold a folder of pictures"):
        describe(f"folder:{tmp_path}")
    source = write_folder(tmp_path, test=False)
    Image.new("L", (9, 5)).save(tmp_path / "1" / "odd.png")
    with pytest.raises(UsageError, match=r"All pictures must be of one size, but .* and .* 9x5"):
        describe(source)
    (tmp_path / "1" / "odd.png").write_text("no picture")
    with pytest.raises(UsageError, match=r"odd.png is no picture"):
        describe(source)


def test_a_class_that_only_the_test_part_has_is_named(tmp_path: Path) -> None:
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match="test pictures of the class '3', which no training"):
        describe(f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize("kind", WRITERS)
def test_a_class_with_too_few_pictures_for_each_part_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    stray = LABELS.copy()
    stray[[7, 9]] = 9
    monkeypatch.setattr("test_own_files.LABELS", stray)
    source = WRITERS[kind](place, test=False)
    where = r" \(the first in line 9\)" if kind == "csv" else ""
    with pytest.raises(UsageError, match=f"at least 3 pictures .* holds 2 of '9'{where}: correct"):
        describe(source)
    assert describe(f"{source}:test0").classes == 4
    stray[9] = 0
    WRITERS[kind](place, test=False)
    (place / "9" / "009.png").unlink(missing_ok=True)
    with pytest.raises(UsageError, match=r"at least 2 pictures .* one to choose by, but holds 1 "):
        describe(f"{source}:test0")


def test_two_pictures_of_a_class_do_where_the_test_part_is_apart(tmp_path: Path) -> None:
    stray = LABELS.copy()
    stray[[7, 9]] = 9
    test = {"x_test": TEST_IMAGES, "y_test": TEST_LABELS}
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=stray, **test)
    assert describe(f"npz:{tmp_path / 'a.npz'}").classes == 4


def test_test_pictures_of_another_shape_are_refused(tmp_path: Path) -> None:
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :3], "y_test": LABELS}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match="test pictures of the training pictures' shape"):
        describe(f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_said(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "file" if kind in ("csv", "npz") else "folder"
    with pytest.raises(UsageError, match=f"^{kind}: takes a {wanted} with .* but nothing follows"):
        describe(f"{kind}:")
    monkeypatch.setenv("HOME", str(tmp_path))
    for place, path in (
        (tmp_path / "nothing", tmp_path / "nothing"),
        ("~/nothing", tmp_path / "nothing"),
        ("~nobody.at.all/nothing", "~nobody.at.all/nothing"),
    ):
        with pytest.raises(UsageError, match=f"^{kind}: takes a {wanted}, .* none at '{path}'"):
            describe(f"{kind}:{place}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_behind_the_colon_may_begin_at_home(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    source = WRITERS[kind](tmp_path, test=False)
    assert describe(source.replace(str(tmp_path.parent), "~")) == describe(source)
