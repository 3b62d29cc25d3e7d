"""Malformed data: CSV, IDX, NPZ and folders of pictures, corrections, and prepared data sets."""

from __future__ import annotations

import csv
import gzip
import io
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Case, Put, damages, folder, link, pipe
from corpus_bundles import npz_files
from PIL import Image
from prepared_folders import change, prepare
from prepared_folders import pictures as random_pictures

COUNT, SIDE = 40, 4
NETWORK = "c4r A d10+"
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE), dtype=np.uint8)
LABELS = (np.arange(COUNT) % 3).astype(np.uint8)


def cases(_: Path) -> list[Case]:
    return [*_csv(), *_idx(), *_npz(), *_folders(), *_corrections(), *_prepared()]


def csv_file() -> str:
    """A good one."""
    rows = [[label, *image.ravel()] for image, label in zip(IMAGES, LABELS, strict=True)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [["label", *(f"p{i}" for i in range(SIDE**2))], *rows]
    )
    return text.getvalue()


def idx(array: np.ndarray) -> bytes:
    """A good IDX file."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _csv() -> Iterator[Case]:
    good = csv_file()
    header, *rows = good.splitlines()

    def with_row(row: str) -> str:
        return "\n".join([header, *rows[:9], row, *rows[9:]])

    pixels = ["7"] * SIDE**2
    texts: dict[str, str | bytes] = {
        "nothing": "",
        "a header alone": header,
        "a line alone": "\n",
        "no header": "\n".join(rows),
        "no label": good.replace("label", "digit"),
        "two labels": good.replace("label,p0", "label,label"),
        "a ragged row": with_row("1,2,3"),
        "a long row": with_row(",".join(["1", *pixels, "7"])),
        "an empty row within": with_row(",".join([""] * (SIDE**2 + 1))),
        "a huge field": with_row(",".join(["1", "7" * 3_000_000, *pixels[1:]])),
        "a huge label": with_row(",".join(["x" * 3_000_000, *pixels[:-1]])),
        "a huge header": ",".join(f"p{n}" for n in range(500_000)) + "\n" + "\n".join(rows),
        "a field without an end": with_row('1,"' + "7," * 500_000),
        "quotes within": with_row(',"'.join(["1", *pixels])),
        "too bright": with_row(",".join(["1", "256", *pixels[1:]])),
        "darker than black": with_row(",".join(["1", "-1", *pixels[1:]])),
        "half a level": with_row(",".join(["1", "1.5", *pixels[1:]])),
        "no number": with_row(",".join(["1", "nan", *pixels[1:]])),
        "infinite": with_row(",".join(["1", "inf", *pixels[1:]])),
        "hexadecimal": with_row(",".join(["1", "0x10", *pixels[1:]])),
        "underscores": with_row(",".join(["1", "1_0", *pixels[1:]])),
        "a formula": with_row(",".join(["1", "=1+1", *pixels[1:]])),
        "other digits": with_row(",".join(["1", "\u0664", *pixels[1:]])),
        "beyond 64 bits": with_row(",".join(["1", "9" * 400, *pixels[1:]])),
        "semicolons": good.replace(",", ";"),
        "tabs": good.replace(",", "\t"),
        "zeros within": with_row("1,7\0" + ",7" * 15),
        "zeros alone": bytes(5_000),
        "UTF-16": good.encode("utf-16"),
        "no text": bytes(range(256)) * 20,
        "a gzip": gzip.compress(good.encode(), mtime=0),
        "few rows": "\n".join([header, *rows[:9]]),
        "one class": "\n".join([header, *("1" + row[1:] for row in rows)]),
        "no square": "\n".join(line.rpartition(",")[0] for line in [header, *rows]),
        "JSON": '[{"label": 1}]',
        "a page": "<html><body>404</body></html>",
    }
    for name, text in texts.items():
        content = text if isinstance(text, bytes) else text.encode()
        yield _data(f"csv: {name}", "csv:a.csv", {"a.csv": content})
    places: dict[str, Put] = {
        "a folder": folder,
        "a pipe": pipe,
        "no end": link("/dev/zero"),
        "in a circle": link("a.csv"),
        "nowhere": link("b.csv"),
    }
    for name, put in places.items():
        yield _data(f"csv: {name}", "csv:a.csv", {"a.csv": put})
    words = ("predict", "pretrained:digits", "--data", "csv:a.csv", "--submission", "out.csv")
    for name in ("a ragged row", "UTF-16", "nothing"):
        text = texts[name]
        content = text if isinstance(text, bytes) else text.encode()
        yield Case(f"csv to predict: {name}", words, {"a.csv": content})
    yield Case("csv to predict: other pictures", words, {"a.csv": good.encode()})


def _idx() -> Iterator[Case]:
    images, labels = idx(IMAGES), idx(LABELS)
    for name, content in damages(images):
        if name != "turned at 2 eighths" and name != "turned at 5 eighths":  # other pictures
            yield _pair(f"idx: {name}", content, labels)
    for name, content in damages(gzip.compress(images, mtime=0)):
        yield _pair(f"idx: gzip {name}", content, labels, ".gz")

    def lying(*shape: int) -> bytes:
        return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + IMAGES.tobytes()

    many = gzip.compress(bytes(10_000_000), 9, mtime=0)
    wrong: dict[str, tuple[bytes, bytes, str]] = {
        "of 2^31 rows": (lying(2**31, SIDE, SIDE), labels, ""),
        "that wraps round": (lying(2**31, 2**31, 4), labels, ""),
        "of no rows": (lying(0, SIDE, SIDE), labels, ""),
        "of no pixels": (lying(COUNT, 0, 0), labels, ""),
        "of two axes": (lying(COUNT, SIDE**2), labels, ""),
        "of floats": (images[:2] + b"\x0d" + images[3:], labels, ""),
        "swapped": (labels, images, ""),
        "fewer labels": (images, idx(LABELS[:-1]), ""),
        "a bomb": (many * 230, labels, ".gz"),
        "a bomb with a true start": (gzip.compress(lying(2**31, 1, 1)) + many * 230, labels, ".gz"),
        "labels that are a bomb": (images, many * 230, ".gz"),
        "one class": (images, idx(LABELS * 0), ""),
        "few": (idx(IMAGES[:9]), idx(LABELS[:9]), ""),
    }
    for name, (first, second, end) in wrong.items():
        yield _pair(f"idx: {name}", first, second, end)
    names = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    yield _data("idx: no labels", "idx:d", {f"d/{names[0]}": images})
    yield _data("idx: no pictures", "idx:d", {f"d/{names[1]}": labels})
    yield _data("idx: nothing", "idx:d", {"d": folder})
    yield _data("idx: a file", "idx:d", {"d": images})
    yield _data("idx: a pipe", "idx:d", {f"d/{names[0]}": pipe, f"d/{names[1]}": labels})
    yield _data("idx: a device", "idx:d", {f"d/{names[0]}": link("/dev/zero")})
    test = {"d/t10k-images-idx3-ubyte": idx(IMAGES[:, :3]), "d/t10k-labels-idx1-ubyte": labels}
    yield _data("idx: other test pictures", "idx:d", {**_files(images, labels, ""), **test})
    strange = {"d/t10k-images-idx3-ubyte": images, "d/t10k-labels-idx1-ubyte": idx(LABELS + 9)}
    yield _data("idx: other test labels", "idx:d", {**_files(images, labels, ""), **strange})


def _pair(name: str, images: bytes, labels: bytes, end: str = "") -> Case:
    return _data(name, "idx:d", _files(images, labels, end))


def _files(images: bytes, labels: bytes, end: str) -> dict[str, Put]:
    if end and images[:2] != b"\x1f\x8b" and len(images) < 10_000 and images[:1] == b"\0":
        images = gzip.compress(images, mtime=0)
    if end and labels[:1] == b"\0":
        labels = gzip.compress(labels, mtime=0)
    return {f"d/train-images-idx3-ubyte{end}": images, f"d/train-labels-idx1-ubyte{end}": labels}


def _npz() -> Iterator[Case]:
    for name, content in npz_files("x_train", "y_train").items():
        yield _data(f"npz: {name}", "npz:a.npz", {"a.npz": content})
    file = io.BytesIO()
    np.savez_compressed(file, x=IMAGES, y=LABELS)
    for name, content in damages(file.getvalue()):
        yield _data(f"npz: {name}", "npz:a.npz", {"a.npz": content})
    arrays: dict[str, dict[str, Any]] = {
        "fractions": {"x": IMAGES / 255, "y": LABELS},
        "no numbers": {"x": IMAGES * np.nan, "y": LABELS},
        "beyond 255": {"x": IMAGES.astype(int) * 999, "y": LABELS},
        "fewer labels": {"x": IMAGES, "y": LABELS[:-1]},
        "no pictures": {"x": IMAGES[:0], "y": LABELS[:0]},
        "labels of fractions": {"x": IMAGES, "y": LABELS / 2},
        "labels of bytes": {"x": IMAGES, "y": LABELS.astype("S3")},
        "switches": {"x": IMAGES > 99, "y": LABELS},
        "a number": {"x": np.uint8(1), "y": np.uint8(1)},
        "one class": {"x": IMAGES, "y": LABELS * 0},
        "other test labels": {
            "x_train": IMAGES,
            "y_train": LABELS,
            "x_test": IMAGES,
            "y_test": LABELS + 5,
        },
    }
    for name, held in arrays.items():
        file = io.BytesIO()
        np.savez(file, **held)
        yield _data(f"npz: {name}", "npz:a.npz", {"a.npz": file.getvalue()})
    yield _data("npz: a device", "npz:a.npz", {"a.npz": link("/dev/zero")})
    yield _data("npz: a folder", "npz:a.npz", {"a.npz": folder})


def _folders() -> Iterator[Case]:
    good = {f"d/{n % 2}/{n:03d}.png": png(IMAGES[n]) for n in range(COUNT)}
    bad: dict[str, Put] = {
        "no picture": b"no picture",
        "an empty picture": b"",
        "a picture cut off": png(IMAGES[0])[:50],
        "another size": png(IMAGES[0, :3]),
        "a pipe": pipe,
        "a device": link("/dev/zero"),
        "a folder": folder,
        "in a circle": link("zz.png"),
    }
    for name, put in bad.items():
        yield _data(f"folder: {name}", "folder:d", {**good, "d/0/zz.png": put})
    large = flat_png(4_000, 4_000)
    many: dict[str, Put] = {f"d/{n % 2}/{n:03d}.png": large for n in range(600)}
    yield _data("folder: small files of large pictures", "folder:d", many)
    yield _data(
        "folder: a huge picture", "folder:d", {**good, "d/0/zz.png": flat_png(5_000, 5_000)}
    )
    yield _data("folder: nothing", "folder:d", {"d": folder})
    yield _data("folder: no pictures", "folder:d", {"d/0/a.txt": b"x", "d/1/b.txt": b"y"})
    yield _data(
        "folder: one class", "folder:d", {f"d/0/{n}.png": png(IMAGES[n]) for n in range(30)}
    )
    yield _data("folder: few", "folder:d", dict(list(good.items())[:9]))


def png(image: np.ndarray) -> bytes:
    """A good picture."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def flat_png(width: int, height: int) -> bytes:
    """A large picture in a small file."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "png", compress_level=9)
    return file.getvalue()


def _corrections() -> Iterator[Case]:
    texts: dict[str, Put] = {
        "nothing": b"",
        "a header alone": b"index,correction\n",
        "no index": b"number,correction\n1,2\n",
        "no correction": b"index,label\n1,2\n",
        "a negative picture": b"index,correction\n-1,2\n",
        "a picture that is not there": b"index,correction\n99999999,2\n",
        "a picture of words": b"index,correction\nfirst,2\n",
        "a picture beyond numbers": b"index,correction\n" + b"9" * 9_999 + b",2\n",
        "other digits": "index,correction\n\u0664,2\n".encode(),
        "a class that is not there": b"index,correction\n1,eleven\n",
        "two for one": b"index,correction\n1,2\n1,3\n",
        "another label so far": b"index,label,correction\n1,eleven,3\n",
        "of the test set": b"index,split,correction\n1,test,3\n",
        "a huge field": b'index,correction\n1,"' + b"2" * 500_000 + b'"\n',
        "a field without an end": b'index,correction\n1,"2\n',
        "zeros": b"index,correction\n1,\x002\n" + bytes(99),
        "UTF-16": "index,correction\n1,2\n".encode("utf-16"),
        "no text": bytes(range(256)),
        "larger than is read": b"index,correction\n" + b"1,2\n" * 13_000_000,
        "a folder": folder,
        "no end": link("/dev/zero"),
        "nowhere": link("nothing"),
        "a pipe": pipe,
    }
    for name, put in texts.items():
        words = ("train", NETWORK, "--relabel", "fixes.csv")
        yield Case(f"corrections: {name}", words, {"fixes.csv": put})


def _prepared() -> Iterator[Case]:
    """Folders as TensorFlow Datasets prepares them, which the environment names."""

    def toy(top: Path, **edits: Any) -> None:
        place = prepare(top / "toy" / "1.0.0", train=random_pictures(300))
        for name, edit in edits.items():
            path = place / name
            if callable(edit):
                change(path, edit)
            else:
                path.write_bytes(edit)

    def setting(name: str, value: Any) -> Any:
        return lambda about: about.__setitem__(name, value)

    def shape(about: dict[str, Any], sizes: list[Any]) -> None:
        features = about["featuresDict"]["features"]
        features["image"]["image"]["shape"]["dimensions"] = sizes

    def classes(about: dict[str, Any], number: Any) -> None:
        about["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = number

    info: dict[str, Any] = {
        "no JSON": b"{",
        "a list": b"[]",
        "a million lists deep": b"[" * 1_000_000,
        "no text": bytes(range(256)),
        "no splits": setting("splits", []),
        "splits that are a number": setting("splits", 1),
        "splits of nothing": setting("splits", [{}]),
        "2^70 pictures": setting("splits", [{"name": "train", "shardLengths": [str(2**70)]}]),
        "fewer than no pictures": setting("splits", [{"name": "train", "shardLengths": ["-5"]}]),
        "pictures of words": setting("splits", [{"name": "train", "shardLengths": ["many"]}]),
        "a strange split": setting("splits", [{"name": ["train"], "shardLengths": ["1"]}]),
        "another format": setting("fileFormat", "riegeli"),
    }
    for name, edit in info.items():
        yield _tfds(f"prepared: {name}", partial(toy, **{"dataset_info.json": edit}))
    features: dict[str, Any] = {
        "features that are no JSON": b"{",
        "features too deep": b'{"a":' * 500_000,
        "huge pictures": partial(shape, sizes=["100000", "100000", "4"]),
        "pictures of nothing": partial(shape, sizes=["0", "5", "1"]),
        "sides of words": partial(shape, sizes=["a", "b", "c"]),
        "two channels": partial(shape, sizes=["6", "5", "2"]),
        "other pictures": partial(shape, sizes=["7", "5", "1"]),
        "2^40 classes": partial(classes, number=str(2**40)),
        "one class": partial(classes, number="1"),
        "classes of words": partial(classes, number="many"),
    }
    for name, edit in features.items():
        yield _tfds(f"prepared: {name}", partial(toy, **{"features.json": edit}))
    file = "toy-train.array_record-00000-of-00001"
    for name, content in {"no records": b"", "other records": bytes(70_000)}.items():
        yield _tfds(f"prepared: {name}", partial(toy, **{file: content}))
    yield _tfds("prepared: names too many", partial(toy, **{"label.labels.txt": b"a\n" * 99}))
    yield _tfds("prepared: names of no text", partial(toy, **{"label.labels.txt": b"\xff\xfe"}))


def _tfds(name: str, put: Put) -> Case:
    return Case(name, ("data", "show", "toy"), {"tfds": put}, {"TFDS_DATA_DIR": "tfds"})


def _data(name: str, source: str, files: dict[str, Put]) -> Case:
    return Case(name, ("data", "show", source), files)
