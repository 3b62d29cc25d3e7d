"""What starting from a trained network is worth on few labelled pictures of something else.

    TFDS_DATA_DIR=... .venv/bin/python benchmarks/transfer.py --out benchmarks/records/transfer.json

`pretrained:mnist-8k` learns two other things: the 8x8 digits (of other hands, drawn at 28x28 in the
frame that MNIST's digits have), whose classes it knows, and Fashion-MNIST, for which its head is
made anew. Of each it gets a few labelled pictures a class, others for each seed, and goes over them
for --epochs: from its weights, as `pennyweight train --from` does, and from random ones, by the
same recipe at its full rate. What comes of both is measured on all test pictures, as is, before,
what it says of the digits. Intervals are Student's, over seeds; the gain's over pairs.

--choose compares learning rates and batch sizes instead, on pictures of the training part: the
defaults of `--from` were chosen so. Expect ten minutes on two cores.
"""

from __future__ import annotations

import dataclasses
import json
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
from pennyweight.train.data import Dataset, load_training_set
from pennyweight.train.door import open_test_set
from pennyweight.train.recipe import Recipe

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
    usual = find_origin(runs, MODEL)
    ways: dict[str, dict[str, Any]] = {
        "random weights": {"arch": usual.architecture, "recipe": usual.recipe}
    }
    ways |= _choices(usual.recipe) if choose else {"its weights": {"start": MODEL}}
    known: dict[str, list[float]] = {}
    for way, options in ways.items():
        known[way] = [
            _accuracy(f, way, s, epochs, options, runs) for f, s in zip(files, seeds, strict=True)
        ]
        yield about | {"way": way, "accuracies": known[way], **vars(interval_of(known[way]))}
    if not choose:
        gains = [a - b for a, b in zip(known["its weights"], known["random weights"], strict=True)]
        yield about | {"way": "gain", "accuracies": gains, **vars(interval_of(gains))}


def _choices(usual: Recipe) -> dict[str, dict[str, Any]]:
    """Ways to go on from the model's weights."""
    recipes = {
        f"rate / {slower}, batch {batch}": dataclasses.replace(
            usual, peak_learning_rate=usual.peak_learning_rate / slower, batch_size=batch
        )
        for slower, batch in ((1, 64), (3, 64), (10, 64), (3, 16))
    }
    return {way: {"start": MODEL, "recipe": recipe} for way, recipe in recipes.items()}


def _accuracy(
    file: str, way: str, seed: int, epochs: int, options: dict[str, Any], runs: Path
) -> float:
    name = f"{Path(file).stem}-{way}-{epochs}".replace(" ", "-").replace("/", "by").replace(",", "")
    study = train(
        data=file,
        **options,
        max_epochs=epochs,
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
