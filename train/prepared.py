"""A prepared TFDS folder: described from its JSON alone, read without TensorFlow."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST, LARGEST_JSON, read_plain
from pennyweight.train.array_record import MODES, RecordReader
from pennyweight.train.source import Batch, DataInfo, Part
from pennyweight.train.splits import held_out_size, held_out_test, others


@dataclass(frozen=True, kw_only=True)
class PreparedSet:
    """The reader of one prepared folder."""

    folder: Path  # the version folder
    info: DataInfo
    image_key: str
    label_key: str
    has_test: bool  # without one, a stratified fifth of train is the test set

    @property
    def key(self) -> tuple[str, ...]:
        """Name, version, and a hash of the files' names, sizes and times of change."""
        stats = [(path.name, path.stat()) for path in sorted(self.folder.iterdir())]
        files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        identity = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
        return (self.info.name, self.folder.name, identity)

    def read_part(self, part: Part) -> Iterator[Batch]:
        """Decodes the pictures; damaged records are a `UsageError`."""
        reader = RecordReader(
            folder=self.folder,
            split=part if self.has_test else "train",
            image_key=self.image_key,
            label_key=self.label_key,
            input_shape=self.info.input_shape,
        )
        if self.has_test:
            return reader.batches()
        labels = reader.labels()
        test = held_out_test(labels)
        return reader.batches(test if part == "test" else others(test, len(labels)))


def describe_folder(name: str, folder: Path) -> PreparedSet:
    """Describes a version folder from its JSON, in milliseconds, decoding nothing.

    Raises `UsageError` where it is damaged, of a format that needs TensorFlow, or anything else
    than uint8 pictures of one size with one label each.
    """
    try:
        return _described(name, folder)
    except UsageError:
        raise
    # What a damaged or foreign JSON file can do to the look-ups below.
    except (OSError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise _damaged(name, folder, reason) from error


def how_to_prepare(name: str) -> str:
    """The remedy for data that are not prepared, or not as they must be."""
    return f"with `pip install tensorflow` and `tfds build {name} --file_format=array_record`"


def _described(name: str, folder: Path) -> PreparedSet:
    about = _json(folder / "dataset_info.json")
    _check_format(name, folder, about)
    counts = {s["name"]: sum(map(int, s["shardLengths"])) for s in about["splits"]}
    if not counts.get("train"):
        raise _unsuitable(name, "it has no train split")
    _check_shards(name, folder, about)
    features = _json(folder / "features.json")["featuresDict"]["features"]
    image_key, label_key = _supervised_keys(about)
    class_names = _class_names(name, folder, label_key, features.get(label_key, {}))
    has_test = bool(counts.get("test"))
    test_examples = counts["test"] if has_test else held_out_size(counts["train"])
    info = DataInfo(
        name=name,
        input_shape=_input_shape(name, features.get(image_key, {})),
        classes=len(class_names),
        class_names=class_names,
        train_examples=counts["train"] - (0 if has_test else test_examples),
        test_examples=test_examples,
    )
    return PreparedSet(
        folder=folder, info=info, image_key=image_key, label_key=label_key, has_test=has_test
    )


def _json(path: Path) -> Any:
    return json.loads(read_plain(path, LARGEST_JSON).decode())


def _check_format(name: str, folder: Path, about: dict[str, Any]) -> None:
    written = about.get("fileFormat", "tfrecord")  # the default of the days before there were two
    if "array_record" not in (written, *about.get("alternativeFileFormats", ())):
        raise UsageError(
            f"The data set {name} in {folder} is prepared as {written}, which needs TensorFlow to "
            f"be read: prepare it as array_record, {how_to_prepare(name)}."
        )


def _check_shards(name: str, folder: Path, about: dict[str, Any]) -> None:
    """Whether the pictures are there at all; whether they are whole is seen when they are read."""
    for split in about["splits"]:
        found = len(list(folder.glob(f"*-{split['name']}.array_record*")))
        if split["name"] in ("train", "test") and found < len(split["shardLengths"]):
            reason = f"{found} of {len(split['shardLengths'])} {split['name']} files are there"
            raise _damaged(name, folder, reason)


def _supervised_keys(about: dict[str, Any]) -> tuple[str, str]:
    """The names of the two features: what goes in and what is to be told."""
    items = about.get("supervisedKeys", {}).get("tuple", {}).get("items", [])
    keys = [item.get("featureKey", "") for item in items]
    return (keys[0], keys[1]) if len(keys) == 2 else ("image", "label")


def _input_shape(name: str, feature: dict[str, Any]) -> tuple[int, int, int]:
    if "image" not in feature:
        raise _unsuitable(name, "it has no picture for each label")
    dtype = feature["image"].get("dtype", "uint8")
    if dtype != "uint8":
        raise _unsuitable(name, f"its pictures are {dtype}, not uint8")
    sizes = [int(size) for size in feature["image"]["shape"]["dimensions"]]
    if len(sizes) != 3 or min(sizes) < 1:
        raise _unsuitable(name, "its pictures have several sizes")
    height, width, channels = sizes
    if channels not in MODES:
        raise _unsuitable(name, f"its pictures have {channels} channels, not 1, 3 or 4")
    return height, width, channels


def _class_names(
    name: str, folder: Path, label_key: str, feature: dict[str, Any]
) -> tuple[str, ...]:
    classes = int(feature.get("classLabel", {}).get("numClasses", 0))
    if classes < 2:
        raise _unsuitable(name, f"it has {classes} classes, and telling apart takes two")
    if classes > LARGEST:
        raise _unsuitable(name, f"it has {classes} classes, and {LARGEST} are the most")
    try:
        content = read_plain(folder / f"{label_key}.labels.txt", LARGEST_JSON)
        lines = content.decode().splitlines()
    except FileNotFoundError:  # classes that are only numbered, as those of mnist
        return tuple(map(str, range(classes)))
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != classes:
        reason = f"{len(names)} names for {classes} classes"
        raise _damaged(name, folder, reason)
    return names


def _unsuitable(name: str, reason: str) -> UsageError:
    return UsageError(f"The data set {name} is not image classification in one size: {reason}.")


def _damaged(name: str, folder: Path, reason: str) -> UsageError:
    return UsageError(f"The data set {name} in {folder} is damaged ({reason}): prepare it again.")
