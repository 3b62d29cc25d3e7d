"""What starting from a trained network is worth on few labelled pictures of something else.

    TFDS_DATA_DIR=... .venv/bin/python benchmarks/transfer.py --out benchmarks/records/transfer.json

`pretrained:mnist-8k` learns two other things: the 8x8 digits (of other hands, drawn at 28x28 in the
frame that MNIST's digits have), whose classes it knows, and Fashion-MNIST, for which its head is
made anew. Of each it gets a few labelled pictures a class, others for each seed, and goes over them
for --epochs: from its weights, as `pennyweight train --from` does, and from random ones by the same
recipe, as long and four times as long. What comes of each is measured on all test pictures, as is,
before, what it says of the digits. Intervals are Student's, over seeds; the gain is against the
longer training, by pairs.

--choose compares learning rates instead, on pictures of the training part: the default of `--from`
was chosen so. expect ten minutes on two cores.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from machine import origin
from PIL import Image

from pennyweight.results.examine import examine
from pennyweight.results.intervals import interval_of
from pennyweight.results.loaded import load_model
from pennyweight.results.origin import find_origin
from pennyweight.search import train
from pennyweight.search.single import measure_trained
from pennyweight.search.starting import for_few
from pennyweight.train.data import Dataset, load_training_set
from pennyweight.train.door import open_test_set

MODEL = "pretrained:mnist-8k"
SOURCES = ("digits", "fashion_mnist")
LARGE = 20  # pixels a side of a digit in MNIST's frame of 28

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    labels: tuple[int, ...] = (10, 50),
    seeds: int = 5,
    epochs: int = 15,
    choose: bool = False,
    runs: Path = Path("runs/transfer"),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Train from trained and from random weights, and say what each is worth."""
    runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for source in SOURCES:
        for count in labels:
            for row in _rows(source, count, range(seeds), epochs, choose, runs):
                rows.append(row)
                print(_told(row), flush=True)
    if out:
        record = {"format": "pennyweight-transfer/1", "model": MODEL, "epochs": epochs}
        out.write_text(json.dumps(record | {"rows": rows} | origin(), indent=1) + "\n")


def _rows(
    source: str, count: int, seeds: range, epochs: int, choose: bool, runs: Path
) -> Iterator[dict[str, Any]]:
    """What each way to train reached with `count` labels a class."""
    files = [_few(source, count, seed, choose, runs) for seed in seeds]
    about = {"data": source, "labels": count}
    if source == "digits" and not choose:
        loaded = load_model(runs, MODEL)
        found = [examine(loaded, data=file, part="test")[0].accuracy for file in files]
        yield about | {"way": "as it is", "accuracies": found, **vars(interval_of(found))}
    known: dict[str, list[float]] = {}
    for way, options in _ways(count * 10, epochs, choose, runs).items():
        pairs = zip(files, seeds, strict=True)
        known[way] = [_accuracy(file, way, seed, options, runs) for file, seed in pairs]
        yield about | {"way": way, "accuracies": known[way], **vars(interval_of(known[way]))}
    if not choose:
        trained, random = known["its weights"], known["random weights, four times as long"]
        gains = [a - b for a, b in zip(trained, random, strict=True)]
        yield about | {"way": "gain", "accuracies": gains, **vars(interval_of(gains))}


def _ways(pictures: int, epochs: int, choose: bool, runs: Path) -> dict[str, dict[str, Any]]:
    """Ways to train, by what they are called: arguments of `train`."""
    model = find_origin(runs, MODEL)
    usual = for_few(model.recipe, pictures)
    if choose:
        rate = usual.peak_learning_rate
        recipes = {n: dataclasses.replace(usual, peak_learning_rate=rate / n) for n in (1, 3, 10)}
        return {
            f"rate / {slower}": {"start": MODEL, "recipe": recipe, "max_epochs": epochs}
            for slower, recipe in recipes.items()
        }
    random = {"arch": model.architecture, "recipe": usual}
    return {
        "random weights": random | {"max_epochs": epochs},
        "random weights, four times as long": random | {"max_epochs": 4 * epochs},
        "its weights": {"start": MODEL, "max_epochs": epochs},
    }


def _accuracy(file: str, way: str, seed: int, options: dict[str, Any], runs: Path) -> float:
    name = re.sub("[^a-z0-9_]+", "-", f"{Path(file).stem}-{way}")
    study = train(
        data=file,
        **options,
        seed=seed,
        whole=True,  # few as they are, all are learned from
        study=name,
        runs=runs,
        progress=False,
    ).name
    return measure_trained(runs, study).accuracy


def _few(source: str, count: int, seed: int, choose: bool, runs: Path) -> str:
    """An NPZ file with `count` pictures a class, and what is to measure what comes of them."""
    path = runs / f"{source}-{count}-{seed}{'-choose' if choose else ''}.npz"
    if not path.exists():
        whole = load_training_set(source)
        order = np.random.default_rng(seed).permutation(len(whole.labels))
        kinds = range(len(whole.class_names))
        few = np.concatenate([order[whole.labels[order] == kind][:count] for kind in kinds])
        rest = np.setdiff1d(order, few)[:2_000]
        test = (whole, rest) if choose else (_tested(source, runs), slice(None))
        (images, names), (tested, right) = _drawn(whole, few), _drawn(*test)
        np.savez_compressed(path, x_train=images, y_train=names, x_test=tested, y_test=right)
    return f"npz:{path}"


def _tested(source: str, runs: Path) -> Dataset:
    ledger = runs / "test-readings.jsonl"
    return open_test_set(source, purpose="evaluate", model="benchmarks/transfer.py", ledger=ledger)


def _drawn(dataset: Dataset, chosen: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 28x28, and the names of their classes."""
    names = np.array(dataset.class_names)[dataset.labels[chosen]]
    images = dataset.images[chosen]
    if images.shape[1] == 28:
        return images, names
    size, edge = (LARGE, LARGE), (28 - LARGE) // 2
    large = [
        np.asarray(Image.fromarray(image[..., 0]).resize(size, Image.Resampling.BICUBIC))
        for image in images
    ]
    return np.pad(np.stack(large), ((0, 0), (edge, edge), (edge, edge)))[..., None], names


def _told(row: dict[str, Any]) -> str:
    mean, low, high = (f"{row[part]:.2%}" for part in ("mean", "low", "high"))
    return f"{row['data']}, {row['labels']} a class, {row['way']}: {mean} ({low} to {high})"


if __name__ == "__main__":
    app()
