"""The model card: every number is the manifest's, and nothing in a name is taken for markup."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from bundles import facts, trained
from networks import random_images, random_weights

from pennyweight.arch.notation import parse
from pennyweight.results.bundle import Facts
from pennyweight.results.confirmed import Confirmed
from pennyweight.results.export import export_bundle
from pennyweight.results.model_card import model_card
from pennyweight.train.look import Look

NETWORK = parse("c3br m2 A d4+", (8, 8, 1), 4)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    weights, images = random_weights(NETWORK, 0), random_images(NETWORK, 12)
    folder = tmp_path_factory.mktemp("card") / "bundle"
    export_bundle(trained(NETWORK, *weights, facts(NETWORK), images), folder, forms=["numpy"])
    return json.loads((folder / "manifest.json").read_text())


def card(manifest: dict[str, Any], about: Facts | None = None) -> str:
    told = manifest if about is None else manifest | about.to_json()
    return model_card(told, NETWORK.input_shape)


def test_it_tells_what_the_network_costs_and_how_it_was_trained(manifest: dict[str, Any]) -> None:
    text = card(manifest)
    for value in manifest["cost"].values():
        assert f"| {value:,} |" in text
    for name, value in manifest["training"]["recipe"].items():
        assert f"| {name} | {value} |" in text
    assert "c3br m2 A d4+" in text
    assert "95.00% of the validation pictures (95% interval 90.00% to 97.00%)" in text
    assert "seed 7" in text


def test_it_tells_of_each_form_how_to_use_it_and_how_it_was_proven(
    manifest: dict[str, Any],
) -> None:
    text = card(manifest)
    for file, about in manifest["files"].items():
        if file != "probe.npz":
            assert f"`{file}`" in text
        assert about["bytes"] > 0
    assert text.count("the same class on 12 of 12, logits within") == 2
    assert "logits = model_numpy.load" in text


def test_a_confirmed_network_tells_its_mean_and_interval(manifest: dict[str, Any]) -> None:
    again = Confirmed(
        trial=3,
        seeds=(7, 8),
        accuracies=(0.97, 0.98),
        mean=0.975,
        low=0.96,
        high=0.99,
        tied_with=(),
    )
    about = dataclasses.replace(
        facts(NETWORK), confirmed=again, whole=True, val_accuracy=None, val_low=None, val_high=None
    )
    text = card(manifest, about)
    assert "97.50% of the test pictures, as the mean over 2 networks" in text
    assert "(95% interval 96.00% to 99.00%)" in text
    assert "validation pictures (95%" not in text


def test_it_tells_what_pictures_must_look_like(manifest: dict[str, Any]) -> None:
    look = Look(light=False, extent=0.7, centre="box", stroke=0.1)
    text = card(manifest, dataclasses.replace(facts(NETWORK), look=look))
    assert "dark ink on light, the longer side 70% of the picture, its box in the middle" in text


def test_names_from_elsewhere_are_no_markup(manifest: dict[str, Any]) -> None:
    names = ["<img src=x>", "](javascript:0)", "`a`\n# b", "|"]
    about = dataclasses.replace(facts(NETWORK), class_names=names, data="*bold*", study="[a](b)")
    text = card(manifest, about)
    assert not re.search(r"<img|\]\(|^# b|\*bold", text, re.MULTILINE)
    assert "&#60;img src=x&#62;" in text


def test_a_bundle_has_it_where_it_is_asked_for(tmp_path: Path) -> None:
    weights, images = random_weights(NETWORK, 0), random_images(NETWORK, 12)
    network = trained(NETWORK, *weights, facts(NETWORK), images)
    exported = export_bundle(network, tmp_path / "bundle", forms=["card"])
    text = (tmp_path / "bundle" / "README.md").read_text()
    assert text == model_card(exported.manifest, NETWORK.input_shape)
