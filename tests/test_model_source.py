"""The code of a bundle: it computes what the network does, and reads as if written by hand."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import LOGITS_OF_EACH, Elsewhere, facts, finish, network_logits, trained
from flax import nnx
from hypothesis import given, settings
from networks import NETWORKS, random_images, random_weights
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.layers import KINDS
from pennyweight.arch.notation import parse
from pennyweight.results.bundle import make_manifest
from pennyweight.results.form_python import FLAX
from pennyweight.results.model_source import model_source
from pennyweight.results.proof import TOLERANCE


def test_the_networks_below_have_every_kind_of_layer_and_every_option() -> None:
    seen = {
        (placed.layer.kind, field.name)
        for network in NETWORKS
        for placed in network.flat()
        for field in dataclasses.fields(placed.layer)
        if getattr(placed.layer, field.name) != field.default
    }
    fields = {(name, f.name) for name, kind in KINDS.items() for f in dataclasses.fields(kind)}
    assert seen == fields
    assert {p.layer.kind for network in NETWORKS for p in network.flat()} == set(KINDS)


@pytest.fixture(scope="module")
def logits_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[Architecture, np.ndarray]:
    """What `model.py` makes of random weights and pictures: one process for all the networks."""
    top = tmp_path_factory.mktemp("bundles")
    for i, network in enumerate(NETWORKS):
        (top / f"{i}").mkdir()
        about, images = facts(network), random_images(network, 5)
        files = FLAX.files(trained(network, *random_weights(network, i), about, images))
        files["manifest.json"] = make_manifest(network, about, files=files, forms={})
        for name, content in files.items():
            (top / f"{i}" / name).write_bytes(content)
        np.save(top / f"{i}" / "images.npy", random_images(network, 5))
    folders = [str(i) for i in range(len(NETWORKS))]
    elsewhere = Elsewhere(tmp_path_factory.mktemp("packages"))
    status, _, err = finish(elsewhere.start(top, "-c", LOGITS_OF_EACH, *folders))
    assert status == 0, err
    return {network: np.load(top / f"{i}/logits.npy") for i, network in enumerate(NETWORKS)}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.notation[:40])
def test_model_py_computes_the_logits_of_the_network(
    network: Architecture, logits_elsewhere: dict[Architecture, np.ndarray]
) -> None:
    weights = random_weights(network, NETWORKS.index(network))
    wanted = network_logits(network, *weights, facts(network), random_images(network, 5))
    assert wanted.std(axis=0).max() > 1e-2, "the pictures must make a difference"
    np.testing.assert_allclose(logits_elsewhere[network], wanted, rtol=0, atol=TOLERANCE)


@given(architectures())
@settings(max_examples=40)
def test_model_py_is_formatted_and_has_no_lint(architecture: Architecture) -> None:
    source = model_source(architecture)
    for command in (
        ["format", "--check"],
        ["check", "--select=E,F,W,I,N,B,ARG,C4,PIE,RET,RUF,SIM,UP"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length=100", "-"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{run.stdout}{run.stderr}\n{source}"


@given(architectures())
@settings(max_examples=40)
def test_model_py_names_and_shapes_its_weights_as_the_network_does(
    architecture: Architecture,
) -> None:
    names: dict[str, Any] = {"__name__": "model"}
    exec(model_source(architecture), names)
    state = nnx.state(nnx.eval_shape(lambda: names["Model"](nnx.Rngs(0))))
    of_model = {path: array.shape for path, array in nnx.to_flat_state(state)}
    of_network = {
        (placed.name, name): weight.shape
        for placed in architecture.flat()
        for name, weight in placed.weights().items()
    }
    assert of_model == of_network


@pytest.mark.extended
def test_pyright_finds_nothing_in_model_py(tmp_path: Path) -> None:
    for i, network in enumerate(NETWORKS):
        (tmp_path / f"model{i}.py").write_text(model_source(network))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_pictures_of_more_channels_than_files_have_are_refused() -> None:
    with pytest.raises(UsageError, match="1 to 4 channels, but got 5"):
        model_source(parse("A d3+", (8, 8, 5), 3))
