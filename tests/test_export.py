"""Exporting: the bundle is whole and proven, or it is not there.

One bundle is looked at from all sides: least squares on the digits, which is a network without a
hidden layer, trained in milliseconds and right about nine pictures in ten.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from bundles import LOGITS_OF_EACH, Elsewhere, facts, finish, network_logits, trained
from PIL import Image
from safetensors.numpy import load_file

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError
from pennyweight.arch.network import Tree, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.results.bundle import Facts
from pennyweight.results.export import export_bundle
from pennyweight.results.proof import TOLERANCE, ExportError
from pennyweight.train.data import Dataset, load_training_set, normalisation

LINEAR = parse("F d10+", (8, 8, 1), 10)


class Exported(NamedTuple):
    folder: Path
    facts: Facts
    validation: Dataset
    params: Tree


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    digits = load_training_set("digits")
    parts = digits.split(0)
    mean, std = normalisation(digits.images[parts.train])
    validation = dataclasses.replace(
        digits, images=digits.images[parts.validation], labels=digits.labels[parts.validation]
    )
    inputs = (digits.images[parts.train].reshape(-1, 64) / 255 - mean) / std
    inputs = np.hstack([inputs, np.ones((len(inputs), 1))])
    targets = 10 * np.eye(10)[digits.labels[parts.train]]
    solution, *_ = np.linalg.lstsq(inputs, targets, rcond=None)
    params: Tree = {"dense1": {"kernel": solution[:-1], "bias": solution[-1]}}
    about = dataclasses.replace(
        facts(LINEAR), data="digits", mean=mean, std=std, class_names=digits.class_names
    )
    folder = tmp_path_factory.mktemp("exported") / "new" / "bundle"
    network = trained(LINEAR, params, {}, about, validation.images, validation.labels)
    proof = export_bundle(network, folder).forms["python"]
    assert proof["pictures"] == proof["same_class"] == len(validation.images)
    assert proof["largest_difference"] <= TOLERANCE
    return Exported(folder, about, validation, params)


def export(folder: Path, exported: Exported, *, force: bool = False, **changed: Any) -> None:
    """Exports the bundle again, with something changed."""
    images = exported.validation.images[:20]
    network = trained(LINEAR, exported.params, {}, exported.facts, images)
    export_bundle(dataclasses.replace(network, **changed), folder, force=force)


def test_the_bundle_has_five_files_and_leaves_nothing_beside_them(exported: Exported) -> None:
    assert sorted(path.name for path in exported.folder.iterdir()) == [
        "architecture.json",
        "manifest.json",
        "model.py",
        "probe.npz",
        "weights.safetensors",
    ]
    assert list(exported.folder.parent.iterdir()) == [exported.folder]
    assert [path.name for path in exported.folder.parent.parent.iterdir()] == ["new"]


def test_the_files_describe_the_network(exported: Exported) -> None:
    manifest = json.loads((exported.folder / "manifest.json").read_text())
    description = json.loads((exported.folder / "architecture.json").read_text())
    weights = load_file(exported.folder / "weights.safetensors")
    assert Architecture.from_json(description) == LINEAR
    assert manifest["format"] == "pennyweight-bundle/1"
    assert manifest["fingerprint"] == LINEAR.fingerprint
    assert manifest["cost"] == cost(LINEAR).to_json()
    assert sum(array.size for array in weights.values()) == manifest["cost"]["params"]
    assert manifest["class_names"] == list(exported.validation.class_names)
    assert manifest["normalisation"]["mean"] == list(exported.facts.mean)
    for name, file in manifest["files"].items():
        content = (exported.folder / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_bundle_gives_the_same_logits_on_the_whole_validation_split_elsewhere(
    exported: Exported, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    shutil.copytree(exported.folder, tmp_path / "copy")
    np.save(tmp_path / "copy" / "images.npy", exported.validation.images)
    status, _, err = finish(elsewhere.start(tmp_path, "-c", LOGITS_OF_EACH, "copy"))
    assert status == 0, err
    logits = np.load(tmp_path / "copy" / "logits.npy")
    wanted = network_logits(LINEAR, exported.params, {}, exported.facts, exported.validation.images)
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=TOLERANCE)
    assert (logits.argmax(axis=1) == exported.validation.labels).mean() > 0.85


def test_model_py_names_the_class_of_a_picture_of_any_size_and_mode(
    exported: Exported, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    images, labels = exported.validation.images, exported.validation.labels
    logits = network_logits(LINEAR, exported.params, {}, exported.facts, images)
    right = logits.argmax(axis=1) == labels
    surest = np.argmax(np.where(right, logits.max(axis=1), -np.inf))
    picture = Image.fromarray(images[surest, :, :, 0])
    picture.resize((80, 80), Image.Resampling.NEAREST).convert("RGBA").save(tmp_path / "large.png")
    model = str(exported.folder / "model.py")
    status, out, err = finish(elsewhere.start(tmp_path, model, "large.png"))
    assert status == 0, err
    percents, names = zip(*(line.split("%  ") for line in out.splitlines()), strict=True)
    assert names[0] == exported.validation.class_names[labels[surest]]
    assert set(names) == set(exported.validation.class_names)
    assert list(map(float, percents)) == sorted(map(float, percents), reverse=True)
    assert sum(map(float, percents)) == pytest.approx(100, abs=0.1)


def test_model_py_refuses_what_is_no_picture_in_one_line(
    exported: Exported, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    Image.new("L", (80, 80)).save(tmp_path / "damaged.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "damaged.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("not a picture")
    call_each = """
import sys, model
for words in ["missing.png"], ["."], ["damaged.png"], ["text.png"], [], ["two.png", "names.png"]:
    sys.argv = ["model.py", *words]
    print(model.main())
"""
    shutil.copy(exported.folder / "model.py", tmp_path)
    status, out, err = finish(elsewhere.start(tmp_path, "-c", call_each))
    assert (status, out) == (0, "2\n" * 6), err
    lines = err.splitlines()
    for name, line in zip(["missing.png", ".", "damaged.png", "text.png"], lines, strict=False):
        assert line.startswith(f"{name} must be a readable picture, but: ")
    assert lines[4:] == ["usage: python model.py picture.png"] * 2


def test_the_function_takes_any_number_of_uint8_pictures_and_nothing_else(
    exported: Exported,
) -> None:
    names: dict[str, Any] = {"__name__": "model"}
    exec((exported.folder / "model.py").read_text(), names)
    logits = names["load"](exported.folder)
    images = np.resize(exported.validation.images, (600, 8, 8, 1))
    assert logits(images[:0]).shape == (0, 10)
    parts = np.concatenate([logits(images[:1]), logits(images[1:300]), logits(images[300:])])
    np.testing.assert_allclose(logits(images), parts, rtol=0, atol=1e-5)
    for wrong in (images / 255, images[:, :7], images[0]):
        with pytest.raises(ValueError, match=r"must be uint8 \(n, 8, 8, 1\), but got"):
            logits(wrong)


def test_a_place_that_holds_something_else_is_refused(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.py").write_text("mine")
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "manifest.json").write_text('["mine"]')
    before = contents(tmp_path)
    for place, force, why in (
        ("file", True, "file is a file: name another"),
        ("file/below", True, "cannot be written: Not a directory"),
        ("folder", False, "holds something else"),
        ("folder", True, "holds something else"),
        ("manifest", True, "holds something else"),
        ("n" * 300, True, "cannot be written: File name too long"),
    ):
        with pytest.raises(UsageError, match=why):
            export(tmp_path / place, exported, force=force)
        assert contents(tmp_path) == before
    with pytest.raises(
        UsageError, match="holds a bundle: name another, or replace it with --force"
    ):
        export(exported.folder, exported)


def test_force_replaces_the_files_of_a_bundle_and_keeps_others(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(exported.folder, folder)
    (folder / "notes.txt").write_text("mine")
    monkeypatch.chdir(folder)
    other = parse("A d10+", (8, 8, 1), 10)
    params, _ = draw_weights(other, 0)
    export(Path(), exported, architecture=other, params=params, force=True)
    manifest = json.loads(Path("manifest.json").read_text())
    assert manifest["notation"] == "A d10+"
    for name, file in manifest["files"].items():
        assert hashlib.sha256(Path(name).read_bytes()).hexdigest() == file["sha256"]
    assert set(os.listdir()) == {*manifest["files"], "manifest.json", "notes.txt"}
    assert Path("notes.txt").read_text() == "mine"


def test_a_full_disk_leaves_nothing(exported: Exported, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # bytes in a file
    try:
        with pytest.raises(UsageError, match=r"cannot be written: File too large\. Make room"):
            export(tmp_path / "new" / "bundle", exported)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == {}


def test_a_network_of_nan_is_not_exported_and_leaves_what_was_there(
    exported: Exported, tmp_path: Path
) -> None:
    shutil.copytree(exported.folder, tmp_path / "bundle")
    before = contents(tmp_path)
    kernel = exported.params["dense1"]["kernel"].copy()
    kernel[3, 4] = np.nan
    params = {"dense1": {**exported.params["dense1"], "kernel": kernel}}
    with pytest.raises(ExportError, match=r"logits to 0\.0001, but one of picture .* by nan"):
        export(tmp_path / "bundle", exported, params=params, force=True)
    assert contents(tmp_path) == before


def test_weights_that_do_not_fit_are_not_exported(exported: Exported, tmp_path: Path) -> None:
    params = {"dense1": {**exported.params["dense1"], "kernel": np.zeros((63, 10))}}
    with pytest.raises(ValueError, match=r"dense1.kernel must be of shape \(64, 10\), but are"):
        export(tmp_path / "new" / "bundle", exported, params=params)
    assert contents(tmp_path) == {}


def test_facts_about_another_network_are_a_mistake(exported: Exported, tmp_path: Path) -> None:
    for name, values in (("class_names", ["yes", "no"]), ("mean", [0.5] * 3), ("std", [])):
        wrong = dataclasses.replace(exported.facts, **{name: values})
        with pytest.raises(ValueError, match=f"`{name}` must have .* values, but has"):
            export(tmp_path / "bundle", exported, facts=wrong)


def contents(folder: Path) -> dict[Path, bytes | None]:
    """Everything below `folder`, and what the files hold."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
