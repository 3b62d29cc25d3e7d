"""Every form of an export gets every kind of layer right: one conformance suite for all of them."""

import sys
from pathlib import Path

import pytest
from bundles import facts, trained
from networks import LARGE, NETWORKS, random_images, random_weights

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.results.export import export_bundle
from pennyweight.results.forms import FORMS, pick_forms
from pennyweight.results.trained import Trained, trained_bundle
from pennyweight.results.verify import verify

SMALL = parse("c3br m2 A d4+", (8, 8, 1), 4)


def random_network(network: Architecture, pictures: int = 12) -> Trained:
    """Weights that were drawn, in place of trained ones: most of what can go wrong shows so."""
    images = random_images(network, pictures)
    weights = random_weights(network, NETWORKS.index(network) if network in NETWORKS else 0)
    return trained(network, *weights, facts(network), images)


QUICK = NETWORKS[6]  # repeats in repeats, a residual, four activations: the others take a minute


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(network, marks=[] if network is QUICK else pytest.mark.extended)
        for network in [*NETWORKS, *LARGE.values()]
    ],
    ids=lambda network: network.notation[-40:],
)
def test_every_form_computes_what_the_network_does(network: Architecture, tmp_path: Path) -> None:
    exported = export_bundle(random_network(network), tmp_path / "bundle", forms=["all"])
    assert list(exported.forms) == list(FORMS)
    for name, told in exported.forms.items():
        assert told.get("pictures", 12) == 12, name
        assert set(told["files"]) <= set(exported.manifest["files"])


def test_the_form_python_is_always_there_and_all_means_all() -> None:
    assert pick_forms([]) == ("python",)
    assert pick_forms(["all"]) == (*FORMS, "card")
    with pytest.raises(UsageError, match="No form of export is called 'onx': did you mean onnx"):
        pick_forms(["onx"])


def test_a_form_that_needs_a_missing_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # importing it fails, as where it is missing
    with pytest.raises(UsageError, match=r"onnx needs onnx: `pip install 'pennyweight\[export\]'`"):
        export_bundle(random_network(SMALL), tmp_path / "bundle", forms=["onnx"])
    assert not (tmp_path / "bundle").exists()


def test_a_proof_that_needs_a_missing_package_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    exported = export_bundle(random_network(SMALL), tmp_path / "bundle", forms=["onnx"])
    told = "no onnxruntime: pip install 'pennyweight[export]'"
    assert exported.forms["onnx"]["skipped"] == told
    assert verify(tmp_path / "bundle").forms["onnx"] == {"skipped": told}


def test_forms_that_are_no_longer_wanted_go(tmp_path: Path) -> None:
    network, folder = random_network(SMALL), tmp_path / "bundle"
    export_bundle(network, folder, forms=["numpy", "card"])
    assert {"model_numpy.py", "README.md"} <= {path.name for path in folder.iterdir()}
    export_bundle(network, folder, force=True)
    assert not {"model_numpy.py", "README.md"} & {path.name for path in folder.iterdir()}
    verify(folder)


def test_a_bundle_is_exported_again_in_other_forms(tmp_path: Path) -> None:
    export_bundle(random_network(SMALL, pictures=300), tmp_path / "first")
    again = trained_bundle(tmp_path / "first", command=["again"])
    assert (again.part, len(again.checked)) == ("probe", 256), "its data are not here"
    exported = export_bundle(again, tmp_path / "second", forms=["numpy"])
    assert exported.forms["numpy"]["on"] == "probe"
    assert exported.forms["numpy"]["same_class"] == 256
    for name in ("architecture.json", "weights.safetensors", "model.py", "probe.npz"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_no_path_of_this_machine_is_in_any_file(tmp_path: Path) -> None:
    export_bundle(random_network(SMALL), tmp_path / "bundle", forms=["all"])
    for path in (tmp_path / "bundle").iterdir():
        content = path.read_bytes()
        assert str(Path.home()).encode() not in content or str(Path.home()) == "/", path.name
        assert b"site-packages" not in content, path.name
        assert b"stablehlo_file" not in content, path.name


def test_a_form_of_jax_needs_what_jax_serialises_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(UsageError, match="stablehlo needs flatbuffers: `pip install"):
        export_bundle(random_network(SMALL), tmp_path / "bundle", forms=["stablehlo"])
