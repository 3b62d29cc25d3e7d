"""The PNG copies of a report's plots."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import searched
from PIL import Image
from reports import HOSTILE, of_every_state, report_of, study, trial

from pennyweight.results.folder import StudyFolder
from pennyweight.results.report import Importances, Missing, Report, collect
from pennyweight.results.report_pictures import pictures
from pennyweight.results.studies import load_study


def drawn(report: Report) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for name, content in pictures(report)
    }


@pytest.fixture(scope="module")
def report() -> Report:
    """Of a real study, with everything there is to draw."""
    runs = searched()[0] / "runs"
    told = Importances(shares={"norm": 0.7, "depth1": 0.3}, trials=50, structures=9, epoch=1)
    return collect(StudyFolder(runs / "small"), load_study(runs, "small"), told)


def test_each_plot_has_its_picture(report: Report) -> None:
    found = drawn(report)
    assert set(found) == {
        f"{name}.png"
        for name in (
            "size",
            "curves",
            "trials",
            "importances",
            "seconds",
            "confusion",
            "mistakes",
        )
    }
    for name, picture in found.items():
        assert picture.shape[1] >= 800, name
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20, name


def test_what_would_be_empty_is_not_drawn(tmp_path: Path) -> None:
    assert set(drawn(report_of(study(), tmp_path))) == {"seconds.png"}
    waiting = study(trial(0, "running", rungs=0))
    assert set(drawn(report_of(waiting, tmp_path))) == {"trials.png", "seconds.png"}


def test_other_numbers_give_other_pictures(tmp_path: Path) -> None:
    worse = study(trial(0, correct=150), trial(1, correct=150))
    better = study(trial(0, correct=280), trial(1, correct=281))
    one, other = (drawn(report_of(records, tmp_path)) for records in (worse, better))
    for name in ("size.png", "curves.png"):
        assert one[name].shape != other[name].shape or (one[name] != other[name]).any()
    assert (one["trials.png"] == other["trials.png"]).all()


def test_a_strangers_text_is_drawn_as_it_is(tmp_path: Path) -> None:
    """A `$` would begin a formula, and an unknown one fail."""
    text = HOSTILE + r"$\unknown{"
    assert "seconds.png" in drawn(report_of(of_every_state(text), tmp_path))


def test_pictures_in_colour_and_pictures_that_are_all_right(report: Report) -> None:
    examined = report.examined
    assert examined is not None
    assert not isinstance(report.best, Missing)
    coloured = replace(examined, images=np.repeat(examined.images, 3, axis=3))
    found = drawn(replace(report, best=replace(report.best, examined=coloured)))
    assert found["mistakes.png"].shape[1] >= 1_000
    said = examined.predictions
    certain = replace(said, probabilities=np.eye(len(said.class_names))[said.labels])
    best = replace(report.best, examined=replace(examined, predictions=certain))
    assert "mistakes.png" not in drawn(replace(report, best=best))
