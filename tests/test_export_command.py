"""`pennyweight export` on the command line: forms, and a bundle that verifies itself."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import pennyweight
from test_verify import resealed


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    forms = "numpy,onnx,onnx-int8,c,c-int8,card"
    ran = pennyweight("export", "pretrained:digits", "--format", forms, "--out", "b", cwd=folder)
    assert ran.status == 0, ran.err
    lines = [line.split()[0] for line in ran.out.splitlines() if line.strip()]
    assert lines[3:9] == ["python", *forms.split(",")[:-1]]
    return folder / "b"


def test_each_form_says_how_it_was_proven(bundle: Path) -> None:
    told = json.loads((bundle / "manifest.json").read_text())["forms"]
    assert list(told) == ["python", "numpy", "onnx", "onnx-int8", "c", "c-int8"]
    for name, form in told.items():
        assert form["on"] == "validation"
        assert form.get("pictures", 288) == 288, name
    assert told["onnx-int8"]["accuracy"] >= told["onnx-int8"]["accuracy_before"] - 0.01


def test_a_whole_bundle_is_verified_wherever_it_lies(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "elsewhere")
    ran = pennyweight("export", "--verify", "elsewhere", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("elsewhere: 14 files, all as they were exported")
    told = pennyweight("export", "--verify", "elsewhere", "--json", cwd=tmp_path).json
    assert told["forms"]["numpy"]["same_class"] == 256


def test_what_was_changed_is_named_with_status_2(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    content = (copy / "model.h").read_bytes()
    (copy / "model.h").write_bytes(content.replace(b"28", b"27").replace(b"8", b"9", 1))
    (copy / "extra.txt").write_text("x")
    for spoiled in ("(model.h was changed, extra.txt is not part of it)", "(model.h was changed)"):
        ran = pennyweight("export", "--verify", "copy", cwd=tmp_path)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.count("\n") == 1
        assert spoiled in ran.err
        (copy / "extra.txt").unlink(missing_ok=True)


def test_a_form_that_computes_something_else_gives_status_1(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    text = (copy / "model_numpy.py").read_text()
    resealed(copy, "model_numpy.py", text.replace("MEAN, STD =", "STD, MEAN =").encode())
    ran = pennyweight("export", "--verify", "copy", cwd=tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert "The exported form numpy must give the network's logits" in ran.err


def test_a_bundle_as_model_needs_a_place_to_go(tmp_path: Path) -> None:
    ran = pennyweight("export", "pretrained:digits", cwd=tmp_path)
    assert ran.status == 2
    assert (
        ran.err == "pennyweight: --out must name the new bundle's folder, as MODEL is a bundle.\n"
    )
    assert not list(tmp_path.iterdir())
