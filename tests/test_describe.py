"""Architectures and data sets as tables."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from prepared_folders import change, pictures, prepare
from rich.console import Console
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import ZOO
from pennyweight.search.describe import (
    Shown,
    describe_architecture,
    describe_named,
    describe_pictures,
    describe_sources,
)
from pennyweight.train.data import load_training_set

PUBLISHED = {
    "mlp-32": 2_410,
    "mlp-128": 101_770,
    "mlp-128-128": 118_282,
    "notebook-cnn": 7_740,
    "budget-1": 190_442,
    "budget-2": 18_258,
    "budget-3": 6_270,
    "budget-4": 7_074,
    "dilated-5340": 5_340,
    "vgg-436k": 436_010,
    "vgg-436k-average": 436_010,
    "m3": 1_124_180,
}


def text(shown: Shown, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(shown)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


@given(architecture=architectures())
def test_the_layers_of_an_architecture_add_up_to_its_cost(architecture: Architecture) -> None:
    document = describe_architecture(architecture).to_json()
    costs = cost(architecture)
    assert sum(layer["params"] for layer in document["layers"]) == document["params"]
    assert sum(layer["macs"] for layer in document["layers"]) == document["macs"]
    assert document["params"] == costs.params
    assert document["layers"][-1]["output_shape"] == [architecture.classes]
    assert json.loads(json.dumps(document)) == document


def test_inspect_has_the_keys_that_programs_count_on() -> None:
    document = describe_architecture(parse("c8br m2 (c8br c8b)r A d10+", (8, 8, 1), 10)).to_json()
    assert set(document) >= {
        *("notation", "fingerprint", "params", "deployed_params", "macs"),
        *("peak_activation_bytes", "receptive_field", "layers"),
    }
    for layer in document["layers"]:
        assert set(layer) >= {"name", "notation", "output_shape", "params", "macs"}


def test_inspect_shows_a_line_for_each_layer_and_the_sums() -> None:
    architecture = parse("c8br m2 (c8br c8b)r A d10+", (8, 8, 1), 10)
    shown = text(describe_architecture(architecture))
    assert shown.startswith("c8br m2 (c8br c8b)r A d10+\n")
    cells = [line.split() for line in shown.splitlines()]
    assert ["conv1", "c8", "8x8x8", "72", "4,608", "3"] in cells
    assert ["residual1", "+", "input", "4x4x8", "0", "0", "12"] in cells
    assert f"fingerprint {architecture.fingerprint}" in shown
    assert "parameters (" in shown


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_shows_the_published_sizes(name: str) -> None:
    networks = {entry["name"]: entry for entry in describe_named().to_json()["zoo"]}
    assert networks[name]["params"] == PUBLISHED[name]
    cells = [line.split() for line in text(describe_named()).splitlines()]
    assert [f"zoo:{name}", f"{PUBLISHED[name]:,}"] in [line[:2] for line in cells]


def test_sources_that_cannot_be_read_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    prepare(tmp_path / "good" / "1.0.0", train=pictures(20), test=pictures(10))
    place = prepare(tmp_path / "tfrecord" / "1.0.0", train=pictures(20))
    change(place / "dataset_info.json", lambda info: info.pop("fileFormat"))
    digits, good, tfrecord = describe_sources().to_json()["data"]
    assert digits == {
        "name": "digits", "input_shape": [8, 8, 1], "classes": 10,
        "train_examples": 1_437, "test_examples": 360,
    }  # fmt: skip
    assert good == {
        "name": "good", "input_shape": [6, 5, 1], "classes": 3,
        "train_examples": 20, "test_examples": 10,
    }  # fmt: skip
    assert "which needs TensorFlow to be read" in tfrecord["problem"]
    shown = text(describe_sources())
    cells = [line.split() for line in shown.splitlines()]
    assert ["digits", "8x8x1", "10", "1,437", "360"] in cells
    assert ["tfrecord", "not", "readable"] in cells
    assert "needs TensorFlow to be read: prepare it as array_record" in " ".join(shown.split())


def test_pictures_are_counted_by_class_and_split() -> None:
    document = describe_pictures("digits").to_json()
    labels = load_training_set("digits").labels
    assert document["input_shape"] == [8, 8, 1]
    assert document["test_examples"] == 360
    assert [row["class"] for row in document["classes"]] == [str(k) for k in range(10)]
    totals = [row["train"] + row["validation"] for row in document["classes"]]
    assert totals == np.bincount(labels).tolist()
    assert sum(row["validation"] for row in document["classes"]) == 288


def test_showing_data_draws_the_first_picture_of_a_few_classes() -> None:
    shown = text(describe_pictures("digits")).splitlines()
    assert shown[0] == "digits: 8x8x1 pictures, 360 more for testing"
    assert "  all     1,149          288" in shown
    # The zero, as a person would draw it: a ring, four lines of two pixels high.
    assert [line[:8] for line in shown[-4:]] == ["  +%+=. ", " :%. ++ ", " -+  *= ", " .*+*-  "]


def test_pictures_too_wide_for_a_terminal_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    wide = pictures(40, (4, 100, 1))
    prepare(tmp_path / "wide" / "1.0.0", train=wide, test=pictures(10, (4, 100, 1)))
    shown = describe_pictures("wide")
    assert shown.below == ""
    assert "wide: 4x100x1 pictures" in text(shown)
