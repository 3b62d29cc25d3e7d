"""Prepared TFDS folders, written without TensorFlow: real record files, the JSON spelled out."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

Pictures = tuple[np.ndarray, np.ndarray]
FEATURES = "tensorflow_datasets.core.features"


def pictures(count: int, shape: tuple[int, int, int] = (6, 5, 1), classes: int = 3) -> Pictures:
    images = np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, np.arange(count) % classes


def prepare(folder: Path, *, classes: int = 3, form: str = "PNG", **splits: Pictures) -> Path:
    """Writes what `tfds build --file_format=array_record` would, and returns the version folder."""
    folder.mkdir(parents=True)
    name = folder.parent.name
    for split, (images, labels) in splits.items():
        writer = ArrayRecordWriter(f"{folder}/{name}-{split}.array_record-00000-of-00001", "")
        for image, label in zip(images, labels, strict=True):
            writer.write(record(image, label, form))
        writer.close()
    write_json(folder / "dataset_info.json", dataset_info(name, folder.name, splits))
    shape = next(iter(splits.values()))[0].shape[1:]
    write_json(folder / "features.json", features(shape, classes))
    return folder


def record(image: np.ndarray, label: int, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, form)
    example: Any = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    example.features.feature["image"].bytes_list.value.append(file.getvalue())
    example.features.feature["label"].int64_list.value.append(int(label))
    return example.SerializeToString()


def dataset_info(name: str, version: str, splits: dict[str, Pictures]) -> dict[str, Any]:
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    return {
        "fileFormat": "array_record",
        "name": name,
        "version": version,
        "splits": [
            {"name": split, "shardLengths": [str(len(labels))], "filepathTemplate": template}
            for split, (_, labels) in splits.items()
        ],
        "supervisedKeys": {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}},
    }


def features(shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    image = {"dtype": "uint8", "shape": {"dimensions": [str(size) for size in shape]}}
    return {
        "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {
            "features": {
                "image": {"pythonClassName": f"{FEATURES}.image_feature.Image", "image": image},
                "label": {
                    "pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel",
                    "classLabel": {"numClasses": str(classes)},
                },
            }
        },
    }


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    write_json(path, content)
