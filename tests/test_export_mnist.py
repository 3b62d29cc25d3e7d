"""The best network under 8,000 parameters on MNIST, from its record into every form there is."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pennyweight.results.c_program import find_compiler, run_c
from pennyweight.results.export import Exported, export_bundle
from pennyweight.results.forms import FORMS
from pennyweight.results.loaded import bundle_folder, load_model
from pennyweight.results.page_proof import find_browser
from pennyweight.results.trained import Trained, trained_bundle
from pennyweight.results.verify import verify
from pennyweight.train.door import open_test_set, readings

MODEL = "pretrained:mnist-8k"

pytestmark = [
    pytest.mark.extended,
    pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="MNIST is not prepared here"),
    pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def trained() -> Trained:
    folder = bundle_folder(Path("runs"), MODEL)
    assert folder is not None
    return trained_bundle(folder, command=["test"])


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_bundle(trained, tmp_path_factory.mktemp("mnist") / "bundle", forms=["all"])


def test_every_form_is_proven_on_the_whole_validation_split(
    trained: Trained, exported: Exported
) -> None:
    assert trained.part == "validation"
    assert list(exported.forms) == list(FORMS)
    for name, told in exported.forms.items():
        if name == "html" and find_browser() is None:
            continue
        assert told["pictures"] == 6_000, name
        if FORMS[name].exact:
            assert told["same_class"] == 6_000, name
            assert told["largest_difference"] <= 1e-4, name


def test_eight_bits_lose_a_fifth_of_a_point_at_most(exported: Exported) -> None:
    for name in ("c-int8", "onnx-int8"):
        told = exported.forms[name]
        assert told["accuracy_before"] == exported.forms["python"]["accuracy"] > 0.99
        assert told["accuracy"] >= told["accuracy_before"] - 0.002


def test_the_c_program_takes_what_the_cost_model_says(exported: Exported) -> None:
    for name in ("c", "c-int8"):
        told = exported.forms[name]
        assert told["static_bytes"] == told["cost_activation_bytes"]
        assert told["cost_weight_bytes"] < told["flash_bytes"] < told["cost_weight_bytes"] + 6_000


def test_the_c_program_is_as_accurate_on_the_test_set_as_the_network(
    exported: Exported, tmp_path: Path
) -> None:
    compiler, model = find_compiler(), load_model(tmp_path / "runs", MODEL)
    assert compiler is not None
    test = open_test_set(
        "mnist", purpose="verify", model=model.classifier.identity, ledger=model.readings
    )
    files = {name: (exported.folder / name).read_bytes() for name in ("model.c", "model.h")}
    by_c = run_c(files, test.images, compiler=compiler).argmax(axis=1)
    by_flax = model.classifier.logits(test.images).argmax(axis=1)
    np.testing.assert_array_equal(by_c, by_flax)
    assert (by_c == test.labels).mean() >= 0.994
    assert [reading["purpose"] for reading in readings(model.readings)] == ["verify"]


def test_the_bundle_verifies_itself_elsewhere(exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported.folder, tmp_path / "copy")
    for name, told in verify(folder).forms.items():
        assert "skipped" in told or told["pictures"] == 256, name
