"""Networks that come trained: what their records say, and at hand wherever a MODEL is."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import pennyweight, said, tree
from drawing_pages import png
from handwriting import fifty

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.drawing import Choice
from pennyweight.results.loaded import load_model
from pennyweight.results.pretrained import pretrained_beside, pretrained_folder, pretrained_names
from pennyweight.search.arguments import read_arch
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome
from pennyweight.train.data import load_training_set

ROOT = Path(__file__).resolve().parent.parent
RECORDS = {  # what each was made of
    "digits": "digits-999",
    "mnist-500": "mnist-500",
    "mnist-1k": "mnist-999",
    "mnist-2k": "mnist-1999",
    "mnist-4k": "mnist-3999",
    "mnist-8k": "mnist-7999",
}
NAMES = pretrained_names()
LARGEST = 120_000  # bytes of a bundle: all together are to be no weight in a wheel


def folder(name: str) -> Path:
    found = pretrained_folder(f"pretrained:{name}")
    assert found
    return found


def test_those_that_are_promised_are_there() -> None:
    assert set(NAMES) <= RECORDS.keys()
    assert {"digits", "mnist-500", "mnist-1k", "mnist-2k", "mnist-8k"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_the_network_of_its_record_and_says_what_that_reached(name: str) -> None:
    bundle = read_bundle(folder(name))
    record = json.loads((ROOT / "results" / "records" / f"{RECORDS[name]}.json").read_text())
    assert bundle.architecture == Architecture.from_json(record["architecture"])
    told = bundle.manifest
    assert told["data"] == {"name": record["data"], "fingerprint": record["data_fingerprint"]}
    assert told["training"]["recipe"] == record["recipe"]
    assert (told["training"]["seed"], told["training"]["whole"]) == (record["seed"], True)
    for part in ("mean", "low", "high", "seeds"):
        assert told["confirmed"][part] == record["test"][part]
    assert sum(path.stat().st_size for path in folder(name).iterdir() if path.is_file()) < LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_the_genome_of_each_decodes_to_it(name: str) -> None:
    bundle = read_bundle(folder(name))
    genome = bundle.manifest["training"].get("genome")
    if not genome:
        pytest.skip("made before bundles had a genome")
    record = json.loads((ROOT / "results" / "records" / f"{RECORDS[name]}.json").read_text())
    budget = Budget(**record["search"]["settings"]["budget"])
    architecture = bundle.architecture
    found = decode(Genome(**genome), budget, architecture.input_shape, architecture.classes)
    assert found == architecture


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mnist")])
def test_the_digits_that_hands_draw_are_told_apart(name: str, tmp_path: Path) -> None:
    """None of its pictures had a part in the training."""
    choice = Choice(tmp_path, f"pretrained:{name}")
    right = 0
    for each in fifty():
        answer = choice.classify(choice.named, png(each.strokes, each.pen))
        right += int(np.argmax(answer.probabilities or [0])) == each.digit
    assert right >= (40 if name == "mnist-500" else 44)


def test_the_digits_are_told_apart_as_its_record_says(tmp_path: Path) -> None:
    before = tree(folder("digits"))
    ran = pennyweight("evaluate", "pretrained:digits", "--split", "test", "--json", cwd=tmp_path)
    assert ran.status == 0, ran.err
    assert ran.json["accuracy"] > 0.97
    # The reading is written down where the user's runs are, not into the package.
    assert (tmp_path / "runs" / "test-readings.jsonl").read_text().count("\n") == 1
    assert tree(folder("digits")) == before


def test_each_stands_on_the_page_beside_the_others_of_its_data(tmp_path: Path) -> None:
    choice = Choice(tmp_path, "pretrained:mnist-8k")
    offered = [offer.name for offer in choice.offers]
    assert offered == [f"pretrained:{n}" for n in NAMES if n.startswith("mnist")]
    assert choice.named == "pretrained:mnist-8k"
    sizes = [offer.params for offer in choice.offers]
    assert sizes == sorted(sizes)
    assert {offer.measured_on for offer in choice.offers} == {"test"}
    assert [
        offer.name for offer in Choice(tmp_path, "pretrained:digits").offers
    ] == pretrained_beside("pretrained:digits")


def test_as_an_architecture_it_has_its_recipe_and_its_data() -> None:
    named = read_arch("pretrained:digits")
    bundle = read_bundle(folder("digits"))
    assert named.architecture == bundle.architecture
    assert named.recipe is not None
    assert named.recipe.to_json() == bundle.manifest["training"]["recipe"]
    assert (named.data, named.epochs) == ("digits", bundle.manifest["training"]["epochs"])
    assert (named.seed, named.whole) == (None, False)  # trained anew, not repeated


def test_a_study_of_that_name_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "runs" / "pretrained").mkdir(parents=True)
    (tmp_path / "runs" / "pretrained" / "records.jsonl").touch()
    assert load_model(tmp_path / "runs", "pretrained:digits").data == "digits"


def test_it_knows_its_own_digits(tmp_path: Path) -> None:
    digits = load_training_set("digits")
    found = load_model(tmp_path, "pretrained:digits").classifier.logits(digits.images).argmax(1)
    assert (found == digits.labels).mean() > 0.99


def test_an_unknown_name_is_told_close_ones(tmp_path: Path) -> None:
    for command in (["predict", "pretrained:mnist8k", "a.png"], ["inspect", "pretrained:mnist8k"]):
        assert "did you mean mnist-8k" in said(pennyweight(*command, cwd=tmp_path))
    with pytest.raises(UsageError, match=r"no pretrained network '': there is .*mnist-500"):
        pretrained_folder("pretrained")
    assert pretrained_folder("digits") is None


def test_inspect_lists_them_with_what_they_reached(tmp_path: Path) -> None:
    ran = pennyweight("inspect", "--json", cwd=tmp_path)
    listed = {entry["name"]: entry for entry in ran.json["pretrained"]}
    assert listed.keys() == set(NAMES)
    for name, entry in listed.items():
        manifest = read_bundle(folder(name)).manifest
        assert entry["params"] == manifest["cost"]["params"]
        assert entry["test_accuracy"]["mean"] == manifest["confirmed"]["mean"]
    assert "pretrained:mnist-8k" in pennyweight("inspect", cwd=tmp_path).out
