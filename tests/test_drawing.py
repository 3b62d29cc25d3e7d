"""What the drawing page offers, and what a model says of a drawing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import copied, pennyweight, searched, trained
from drawing_pages import encoded, png
from handwriting import drawn
from PIL import Image

from pennyweight.arch.errors import UsageError
from pennyweight.results.drawing import LARGEST_DRAWING, Choice
from pennyweight.results.folder import StudyFolder
from pennyweight.results.leaderboard import rows
from pennyweight.results.preparation import prepare
from pennyweight.results.studies import load_study
from pennyweight.train.look import Look
from pennyweight.train.picture_file import open_picture

THREE = drawn(3, "plain")
LOOK = Look(light=True, extent=0.7, centre="mass", stroke=0.1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished search `small`, the training `one`, and beside them its bundle."""
    folder = copied(searched()[0], tmp_path_factory.mktemp("drawing") / "work")
    copied(trained()[0] / "runs" / "one", folder / "runs" / "one")
    ran = pennyweight("export", "one", "--out", "bundle", cwd=folder)
    assert ran.status == 0, ran.err
    return folder / "runs"


@pytest.fixture(scope="module")
def bundle(runs: Path) -> Path:
    return runs.parent / "bundle"


def test_a_study_offers_its_front_and_the_model_named_from_the_smallest_on(runs: Path) -> None:
    ranked = rows(load_study(runs, "small"))
    front = {row.trial for row in ranked if row.pareto}
    for row in ranked:
        choice = Choice(runs, f"small:{row.trial}")
        assert choice.named == f"small:{row.trial}"
        assert {offer.name for offer in choice.offers} == {
            f"small:{trial}" for trial in front | {row.trial}
        }
        sizes = [offer.params for offer in choice.offers]
        assert sizes == sorted(sizes)
        (named,) = (offer for offer in choice.offers if offer.name == choice.named)
        assert (named.params, named.accuracy) == (row.params, row.val_accuracy)
        assert named.measured_on == "validation"


def test_a_bare_study_names_its_best(runs: Path) -> None:
    best = rows(load_study(runs, "small"))[0]
    assert Choice(runs, "small").named == f"small:{best.trial}"


def test_a_model_whose_weights_are_gone_is_not_offered(runs: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(runs, tmp_path / "runs"))
    study = load_study(mine, "small")
    front, others = [], []
    for row in rows(study):
        (front if row.pareto else others).append(row.trial)
    trial = front[0]
    StudyFolder(mine / "small").model(trial, study.trials[trial].epochs).unlink()
    left = Choice(mine, f"small:{[*front[1:], *others][0]}").offers
    assert f"small:{trial}" not in {offer.name for offer in left}


def test_a_bundle_offers_itself_with_the_accuracy_it_was_exported_with(
    runs: Path, bundle: Path
) -> None:
    choice = Choice(runs, str(bundle))
    (offer,) = choice.offers
    (of_study,) = Choice(runs, "one").offers
    assert offer.name == choice.named == str(bundle)
    assert vars(offer) | {"name": ""} == vars(of_study) | {"name": ""}


def test_a_bundle_says_of_a_drawing_what_its_study_says(runs: Path, bundle: Path) -> None:
    one, other = Choice(runs, "one"), Choice(runs, str(bundle))
    content = png(THREE.strokes)
    answers = [choice.classify(choice.named, content) for choice in (one, other)]
    first, second = (answer.probabilities for answer in answers)
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert sum(first) == pytest.approx(1)


def test_an_answer_shows_what_the_model_saw(runs: Path) -> None:
    choice = Choice(runs, "one")
    content = png(THREE.strokes)
    told = choice.classify(choice.named, content).to_json()
    model = choice.load(choice.named)
    seen = prepare(open_picture(content, "it"), (8, 8, 1), model.look)
    assert told["seen"] == {"shape": (8, 8, 1), "levels": seen.ravel().tolist()}
    wanted = model.classifier.probabilities(seen[None])[0]
    np.testing.assert_allclose(told["probabilities"], wanted, rtol=1e-9)
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_drawing_is_no_error_and_has_no_answer(runs: Path, shade: int) -> None:
    choice = Choice(runs, "one")
    answer = choice.classify(choice.named, encoded(Image.new("RGB", (192, 192), (shade,) * 3)))
    assert (answer.probabilities, answer.seen) == (None, None)


@pytest.mark.parametrize("pen", [2, 4, 12])
def test_the_first_touch_of_the_pen_is_ink(pen: float) -> None:
    """However little of the sheet it covers, what was drawn on a computer is no speck of dust."""
    picture = open_picture(png([[(0.7, 0.2), (0.71, 0.2)]], pen), "it")
    seen = prepare(picture, (28, 28, 1), LOOK)
    assert seen.max() == 255


def test_what_is_not_on_offer_is_refused(runs: Path) -> None:
    with pytest.raises(UsageError, match="There is no model 'one:7' on this page"):
        Choice(runs, "one").classify("one:7", png(THREE.strokes))


def test_a_drawing_of_too_many_pixels_is_refused_before_it_is_decoded(runs: Path) -> None:
    choice = Choice(runs, "one")
    side = int(LARGEST_DRAWING**0.5)
    assert choice.classify(choice.named, png(THREE.strokes, side=side // 2)).probabilities
    with pytest.raises(UsageError, match=rf"has {side + 1}x{side} pixels, and 1,048,576 are"):
        choice.classify(choice.named, encoded(Image.new("1", (side + 1, side))))


def test_weights_that_are_no_numbers_are_refused(runs: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    mine = Path(shutil.copytree(runs / "one", tmp_path / "runs" / "one")).parent
    study = load_study(mine, "one")
    weights = str(StudyFolder(mine / "one").model(0, study.trials[0].epochs))
    arrays = {name: np.array(array) for name, array in load_file(weights).items()}
    for array in arrays.values():
        if array.dtype == np.float32:
            array[...] = np.nan
    save_file(arrays, weights)
    choice = Choice(mine, "one")
    with pytest.raises(UsageError, match="one:0 computes what is no number: choose another"):
        choice.load(choice.named)
