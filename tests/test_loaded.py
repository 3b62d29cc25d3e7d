"""A model is the same network whether its study or its bundle is named, and damage is found."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import copied, searched
from safetensors.numpy import load_file, save_file

from pennyweight.arch.errors import UsageError
from pennyweight.results.loaded import LoadedModel, load_model
from pennyweight.results.models import export_model, find_model
from pennyweight.train.data import load_training_set
from pennyweight.train.look import look_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study `small` in `runs`, and its best network as the bundle `bundle`."""
    place = copied(searched()[0], tmp_path_factory.mktemp("loaded") / "place")
    export_model(find_model(place / "runs", "small"), place / "bundle", command=["test"])
    return place


@pytest.fixture
def bundle(place: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that may be changed."""
    return copied(place / "bundle", tmp_path / "bundle")


def load(bundle: Path) -> LoadedModel:
    return load_model(bundle.parent / "runs", str(bundle))


def test_a_study_and_its_bundle_are_one_network(place: Path) -> None:
    of_study, of_bundle = load_model(place / "runs", "small"), load(place / "bundle")
    images = load_training_set("digits").images[:50]
    logits = [model.classifier.logits(images) for model in (of_study, of_bundle)]
    np.testing.assert_allclose(*logits, rtol=0, atol=1e-5)
    assert of_study.classifier.identity == of_bundle.classifier.identity
    assert of_study.readings == of_bundle.readings
    for name in ("class_names", "look", "data", "data_fingerprint", "split_seed", "whole"):
        assert getattr(of_study, name) == getattr(of_bundle, name), name


def test_the_look_is_that_of_what_it_learned_from(place: Path) -> None:
    look = look_of(load_training_set("digits").images)
    found = load_model(place / "runs", "small").look
    assert look is not None
    assert found is not None
    assert (found.light, found.centre, found.extent) == (look.light, look.centre, look.extent)


def test_a_study_comes_before_a_folder_of_its_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "small").mkdir(exist_ok=True)
    assert load_model(Path("runs"), "small").name == "small"
    assert load_model(Path("runs"), "bundle").name == "bundle"


def test_weights_that_changed_are_refused(bundle: Path) -> None:
    weights = bundle / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UsageError, match=r"weights.safetensors is not what manifest.json says"):
        load(bundle)


@pytest.mark.parametrize("change", ["missing", "added", "shape", "type"])
def test_weights_of_another_network_are_refused(bundle: Path, change: str) -> None:
    path = bundle / "weights.safetensors"
    arrays = load_file(path)
    first = min(arrays)
    if change == "missing":
        del arrays[first]
    elif change == "added":
        arrays["zzz.kernel"] = np.zeros(3, np.float32)
    elif change == "shape":
        arrays[first] = np.zeros((1, *arrays[first].shape), np.float32)
    else:
        arrays[first] = arrays[first].astype(np.float16)
    save_file(arrays, path)
    manifest = json.loads((bundle / "manifest.json").read_text())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["files"]["weights.safetensors"]["sha256"] = digest
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"The bundle's weights (do not fit|hold zzz.kernel)"):
        load(bundle)


@pytest.mark.parametrize("name", ["manifest.json", "architecture.json", "weights.safetensors"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(UsageError, match=rf"lacks {name} \(No such file"):
        load(bundle)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("format", "pennyweight-bundle/99", "install a newer pennyweight"),
        ("format", "other/1", "is no bundle"),
        ("class_names", None, "The manifest of .* lacks"),
        ("class_names", ["a"], "The manifest of .* lacks"),
        ("normalisation", {"mean": "x", "std": [1]}, "The manifest of .* lacks"),
        ("training", [], "The manifest of .* lacks"),
        ("look", {"light": 3}, "must be light, extent, centre and stroke"),
        ("look", [1], "must be light, extent, centre and stroke"),
        ("files", None, "The manifest of .* lacks"),
        ("files", {}, "is not what manifest.json says"),
        ("normalisation", {"mean": [0.1], "std": [0.0]}, "The manifest of .* lacks"),
        ("versions", [1], "The manifest of .* lacks"),
        ("command", 5, "The manifest of .* lacks"),
        ("forms", [], "The manifest of .* lacks"),
        ("validation", {"accuracy": "x"}, "The manifest of .* lacks"),
    ],
    ids=str,
)
def test_a_manifest_that_is_not_ours_is_refused(
    bundle: Path, field: str, value: Any, said: str
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {field: value}))
    with pytest.raises(UsageError, match=said):
        load(bundle)


def test_a_manifest_that_is_no_json_is_refused(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match=r"manifest.json is no JSON"):
        load(bundle)
