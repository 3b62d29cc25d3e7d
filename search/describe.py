"""Architectures and data sets as tables: what `inspect` and `data` show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost, layer_table
from pennyweight.arch.zoo import ZOO
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.pretrained import PREFIX, pretrained_folder, pretrained_names
from pennyweight.search.progress import decoding
from pennyweight.train.data import available, describe, load_training_set

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHADES = " .:-=+*#%@"


@dataclass(frozen=True)
class Shown:
    """A table with lines above it, for a terminal, a notebook or as JSON."""

    document: dict[str, Any]
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    below: str = ""

    def to_json(self) -> dict[str, Any]:
        return self.document

    def __rich_console__(self, *_: object) -> Iterator[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        yield Text(self.title, "bold")  # not the table's, which would wrap it to the table's width
        table = Table(box=box.SIMPLE_HEAD)
        for number, column in enumerate(self.columns):
            text = any(isinstance(row[number], str) and row[number] for row in self.rows)
            table.add_column(column, justify="left" if text else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(f"{v:,}" if isinstance(v, int) else str(v)) for v in row))
        yield table
        if self.below:
            yield Text(self.below)


def describe_architecture(architecture: Architecture) -> Shown:
    """The layers of `architecture` and what it costs."""
    costs = cost(architecture)
    layers = layer_table(architecture)
    document = {
        "notation": architecture.notation,
        "fingerprint": architecture.fingerprint,
        "input_shape": list(architecture.input_shape),
        "classes": architecture.classes,
        **costs.to_json(),
        "layers": layers,
    }
    rows = [
        (
            layer["name"],
            layer["notation"],
            "x".join(map(str, layer["output_shape"])),  # type: ignore[call-overload]
            layer["params"],
            layer["macs"],
            layer["receptive_field"],
        )
        for layer in layers
    ]
    below = (
        f"{costs.params:,} parameters ({costs.deployed_params:,} deployed), {costs.macs:,} MACs, "
        f"{costs.peak_activation_bytes:,} bytes of activations at once, receptive field "
        f"{costs.receptive_field}\nfingerprint {architecture.fingerprint}"
    )
    columns = ("layer", "notation", "output", "params", "MACs", "field")
    return Shown(document, architecture.notation, columns, tuple(rows), below)


def describe_named() -> Shown:
    """The networks that have a name: those of the zoo, and those that come trained."""
    entries = {name: (entry, cost(entry.architecture)) for name, entry in ZOO.items()}
    trained = [_pretrained(name) for name in pretrained_names()]
    document = {
        "zoo": [
            {
                "name": name,
                "notation": e.architecture.notation,
                "source": e.source,
                "reported": e.reported,
                "about": e.about,
                "recipe": dict(e.recipe),
                "epochs": e.epochs,
                "left_out": e.left_out,
                **c.to_json(),
            }
            for name, (e, c) in entries.items()
        ],
        "pretrained": trained,
    }
    rows: list[tuple[object, ...]]
    rows = [(f"zoo:{n}", c.params, c.macs, e.about) for n, (e, c) in entries.items()]
    rows += [(f"{PREFIX}{e['name']}", e["params"], e["macs"], e["about"]) for e in trained]
    columns = ("name", "params", "MACs", "about")
    return Shown(document, "Networks by name", columns, tuple(rows))


def _pretrained(name: str) -> dict[str, Any]:
    bundle = read_bundle(pretrained_folder(f"{PREFIX}{name}") or Path())
    tested, data = bundle.manifest["confirmed"], bundle.manifest["data"]["name"]
    mean, low, high = (f"{100 * tested[part]:.2f}" for part in ("mean", "low", "high"))
    return {
        "name": name,
        "notation": bundle.architecture.notation,
        "about": f"trained on {data}; {mean}% [{low}, {high}] on test",
        "data": data,
        "test_accuracy": {part: tested[part] for part in ("mean", "low", "high")},
        **cost(bundle.architecture).to_json(),
    }


def describe_sources() -> Shown:
    """The data sets that are here; one that cannot be read says why."""
    entries: list[dict[str, Any]] = []
    for name in available():
        try:
            info = describe(name)
        except ValueError as error:
            entries.append({"name": name, "problem": str(error)})
            continue
        entries.append(
            {
                "name": name,
                "input_shape": list(info.input_shape),
                "classes": info.classes,
                "train_examples": info.train_examples,
                "test_examples": info.test_examples,
            }
        )
    rows = [
        (e["name"], "not readable", "", "", "")
        if "problem" in e
        else (
            e["name"],
            "x".join(map(str, e["input_shape"])),
            e["classes"],
            e["train_examples"],
            e["test_examples"],
        )
        for e in entries
    ]
    columns = ("data", "pictures", "classes", "train", "test")
    below = "\n".join(entry["problem"] for entry in entries if "problem" in entry)
    return Shown({"data": entries}, "Data sets", columns, tuple(rows), below)


def describe_pictures(name: str) -> Shown:
    """Pictures of `name` by class and split, with the first of a few classes drawn.

    Test pictures are counted, not looked at: reading them is written down, and this is no reading.
    """
    info = describe(name)
    with decoding(name) as decoded:
        dataset = load_training_set(name, progress=decoded)
    parts = dataset.split(0)
    counts = [
        np.bincount(dataset.labels[part], minlength=info.classes).tolist()
        for part in (parts.train, parts.validation)
    ]
    classes = [
        {"class": label, "train": train, "validation": validation}
        for label, train, validation in zip(info.class_names, *counts, strict=True)
    ]
    document = {
        "name": name,
        "input_shape": list(info.input_shape),
        "test_examples": info.test_examples,
        "classes": classes,
    }
    total = ("all", len(parts.train), len(parts.validation))
    rows = [*((c["class"], c["train"], c["validation"]) for c in classes), total]
    size = "x".join(map(str, info.input_shape))
    title = f"{name}: {size} pictures, {info.test_examples:,} more for testing"
    return Shown(document, title, ("class", "train", "validation"), tuple(rows), _drawn(dataset))


def _drawn(dataset: Any, width: int = 76) -> str:
    """The first pictures of a few classes side by side, in characters two pixels high."""
    _, h, w, _ = dataset.images.shape
    if w + 2 > width:
        return ""
    firsts = [int(np.argmax(dataset.labels == k)) for k in range(len(dataset.class_names))]
    lines = [""] * -(-h // 2)
    for index in firsts[: width // (w + 2)]:
        grey = dataset.images[index].mean(2)
        for row in range(len(lines)):
            levels = grey[2 * row : 2 * row + 2].mean(0) * (len(_SHADES) - 1) / 255
            lines[row] += "".join(_SHADES[round(level)] for level in levels) + "  "
    return "\n".join(lines)
