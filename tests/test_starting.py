"""`train --from MODEL`: what it starts from, what it says and records, and what it refuses."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import NETWORK, Ran, copied, pennyweight, said, searched, trained, tree

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import StudyFolder
from pennyweight.results.loaded import load_model
from pennyweight.results.models import export_model, find_model
from pennyweight.results.origin import find_origin
from pennyweight.results.studies import load_study
from pennyweight.search import Found, train
from pennyweight.search.confirm import Confirmation
from pennyweight.search.recording import task_again
from pennyweight.search.starting import for_few, start_from
from pennyweight.train import state_file
from pennyweight.train.data import load_training_set
from pennyweight.train.recipe import Recipe
from pennyweight.train.rung import train_rung


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training `one` in `runs`, its bundle, and `few.npz`: three digits with other names."""
    place = copied(trained()[0], tmp_path_factory.mktemp("starting") / "place")
    export_model(find_model(place / "runs", "one"), place / "bundle", command=["test"])
    digits = load_training_set("digits")
    chosen = np.flatnonzero(digits.labels < 3)[:200]
    names = np.array(["zero", "one", "two"])[digits.labels[chosen]]
    np.savez(place / "few.npz", x=digits.images[chosen], y=names)
    return place


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that may be changed, as the working folder."""
    here = copied(place, tmp_path / "here")
    monkeypatch.chdir(here)
    return here


FEW = ["train", "--from", "one", "--data", "npz:few.npz", "--study", "fine", "--max-epochs", "2"]


@pytest.fixture(scope="module")
def fine(place: Path) -> Ran:
    """What it prints when `one` goes on to other classes."""
    ran = pennyweight(*FEW, "--test", cwd=place)
    assert ran.status == 0, ran.err
    return ran


@pytest.mark.parametrize("model", ["one", "one:0", "./bundle"])
def test_a_study_and_its_bundle_start_a_training_alike(place: Path, model: str) -> None:
    origin = find_origin(place / "runs", str(place / model) if "/" in model else model)
    assert origin.name.endswith(model.removeprefix("./"))
    assert origin.recipe == Recipe()
    assert (origin.data, origin.split_seed, origin.whole) == ("digits", 0, False)
    assert (origin.epochs, origin.precision, origin.genome) == (2, "float32", {})
    wanted = load_model(place / "runs", "one")
    assert origin.identity == wanted.classifier.identity
    assert origin.class_names == wanted.class_names


def test_the_genome_is_that_of_its_search() -> None:
    runs = searched()[0] / "runs"
    assert dict(find_origin(runs, "small").genome) == dict(find_model(runs, "small").trial.genome)


def test_what_was_kept_is_said_and_recorded(place: Path, fine: Ran) -> None:
    assert "started from the weights of one: all but dense1, its head, made anew" in fine.out
    assert "test accuracy " in fine.out
    study, identity = (
        load_study(place / "runs", "fine"),
        find_origin(place / "runs", "one").identity,
    )
    assert study.start == {"model": "one", "identity": identity, "anew": "dense1"}
    (trial,) = study.trials.values()
    assert trial.notation == NETWORK.replace("10", "3")
    assert dict(trial.recipe) == for_few(Recipe(), 160).to_json()
    start = StudyFolder(place / "runs" / "fine").start.read_bytes()
    kept = state_file.layers(start, "weights")
    mine = find_origin(place / "runs", "one").params
    assert kept.keys() == mine.keys() - {"dense1"}
    np.testing.assert_array_equal(kept["conv1"]["kernel"], mine["conv1"]["kernel"])


def go_on(model: str = "one", **changes: Any) -> Found:
    """As `FEW` does, in the working folder."""
    usual = {"data": "npz:few.npz", "study": "fine", "max_epochs": 2, "progress": False}
    return train(start=model, runs="runs", **usual | changes)


def test_it_serves_as_any_other_network(here: Path, fine: Ran) -> None:
    assert load_model(Path("runs"), "fine").class_names == ("one", "two", "zero")


@pytest.mark.parametrize("lines", [1, 2.5, 4])
def test_one_that_was_killed_goes_on_as_it_began(here: Path, fine: Ran, lines: float) -> None:
    folder = StudyFolder(here / "runs" / "fine")
    wanted, model = load_study(here / "runs", "fine"), folder.model(0, 2).read_bytes()
    whole = folder.records.read_bytes().splitlines(keepends=True)
    torn = whole[int(lines)][:20] if lines != int(lines) else b""
    folder.records.write_bytes(b"".join(whole[: int(lines)]) + torn)
    assert go_on().study.trials[0].curve == wanted.trials[0].curve
    assert folder.model(0, 2).read_bytes() == model


def test_another_start_under_its_name_is_refused(here: Path, fine: Ran) -> None:
    before, identity = tree(here), find_origin(here / "runs", "one").identity
    random = {"arch": NETWORK.replace("10", "3"), "recipe": for_few(Recipe(), 160)}
    with pytest.raises(UsageError) as caught:
        train(data="npz:few.npz", study="fine", max_epochs=2, **random)
    told = f"(start is the weights {identity} there and random weights here)"
    assert told in str(caught.value)
    assert tree(here) == before


def test_the_same_weights_may_have_another_name(here: Path, fine: Ran) -> None:
    """Nothing is trained again."""
    before = tree(here)
    assert go_on("./bundle").name == "fine"
    assert tree(here) == before


def test_confirmed_it_starts_from_the_same_weights(here: Path, fine: Ran) -> None:
    line = said(pennyweight("confirm", "fine", "--record", "r.json", cwd=here))
    assert "fine started from those of one" in line
    confirmation = Confirmation(runs=Path("runs"), model="fine", seeds=1)
    (run,) = confirmation.run(workers=1, device="cpu", progress=False)[0].fresh_runs
    folder = StudyFolder(here / "runs" / "fine")
    study = load_study(here / "runs", "fine")
    task = task_again(study, study.trials[0], run.seed, whole=True, start=folder.start.read_bytes())
    assert train_rung(task).model == folder.fresh_model(0, run.seed).read_bytes()
    folder.start.unlink()
    with pytest.raises(UsageError, match=r"fine started from trained weights, but .* cannot be"):
        dataclasses.replace(confirmation, seeds=2).run(workers=1, device="cpu", progress=False)


def test_from_python_and_on_its_own_data(here: Path) -> None:
    """The same classes: all of it is kept, and it begins where it was."""
    recipe = Recipe(peak_learning_rate=1e-7, averaging=0.0)
    found = train(start="one", recipe=recipe, max_epochs=1, runs=here / "runs", progress=False)
    began = load_study(here / "runs", "one").trials[0]
    assert found.study.start is not None
    assert found.study.start["anew"] is None
    assert found.name.startswith(f"train-{began.fingerprint}-0-from-")
    assert found.best.val_accuracy == pytest.approx(began.val_accuracy, abs=0.02)


@pytest.mark.parametrize(
    ("pictures", "batch"), [(60_000, 64), (320, 64), (319, 32), (100, 16), (40, 8), (20, 8)]
)
def test_few_pictures_come_in_smaller_batches(pictures: int, batch: int) -> None:
    usual = Recipe(peak_learning_rate=0.03, batch_size=64, rotation=3.0)
    assert for_few(usual, pictures) == dataclasses.replace(usual, batch_size=batch)
    assert for_few(Recipe(batch_size=4), pictures).batch_size == 4


@pytest.mark.parametrize(
    ("model", "data", "seed", "said"),
    [
        ("one", "digits:fold3", 0, "which may have test pictures of digits:fold3"),
        ("one", None, 4, "that --seed 4 keeps for validation, .* use --seed 0, or add --whole"),
        ("pretrained:digits", None, 0, "that --seed 0 keeps for validation, .* add --whole"),
        ("pretrained:mnist-500", "digits", 0, "takes 28x28x1 pictures, but digits has 8x8x1"),
        ("pretrained:mnist-600", None, 0, "did you mean mnist-500"),
        ("two", None, 0, "There is no study 'two'"),
        ("one:7", None, 0, "has no trial '7'"),
    ],
)
def test_what_cannot_start_a_training_is_refused(
    place: Path, model: str, data: str | None, seed: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        start_from(place / "runs", model, data=data, seed=seed, whole=False)


def test_what_learned_from_validation_pictures_goes_on_with_all_of_them(place: Path) -> None:
    for model, seed in (("one", 4), ("pretrained:digits", 0)):
        named, start = start_from(place / "runs", model, data=None, seed=seed, whole=True)
        assert named.data == "digits"
        assert start.anew is None
