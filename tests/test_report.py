"""What a report holds: the study's own numbers, and for what is missing a reason."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import confirmed, copied, searched, trained, tree
from reports import of_every_state, report_of, study, trial

from pennyweight.arch.architecture import Architecture
from pennyweight.results.folder import StudyFolder
from pennyweight.results.leaderboard import rows
from pennyweight.results.report import (
    MOST_MISTAKES,
    MOST_TRIALS,
    Best,
    Missing,
    Report,
    collect,
    fate,
)
from pennyweight.results.studies import load_study
from pennyweight.train.data import load_training_set


def of_study(runs: Path, name: str) -> Report:
    return collect(StudyFolder(runs / name), load_study(runs, name), Missing("nobody asked"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a folder with a confirmed study."""
    return copied(confirmed()[0], tmp_path / "work")


def why(part: object) -> str:
    assert isinstance(part, Missing)
    return part.why


def best(report: Report) -> Best:
    assert isinstance(report.best, Best)
    return report.best


# The best network


def test_it_is_examined_with_the_weights_that_the_leaderboard_scored(folder: Path) -> None:
    """Not with the confirmed ones, which have learned from the validation pictures."""
    found = best(of_study(folder / "runs", "small"))
    assert not isinstance(found.examined, Missing)
    predictions, images = found.examined.predictions, found.examined.images
    assert predictions.correct == found.trial.val_correct
    dataset = load_training_set("digits")
    parts = dataset.split(0)
    assert predictions.indices.tolist() == parts.validation.tolist()
    assert (images == dataset.images[parts.validation]).all()


def test_the_test_set_is_not_read(folder: Path) -> None:
    before = tree(folder)
    report = of_study(folder / "runs", "small")
    assert tree(folder) == before
    assert report.test_readings == 2
    assert len(report.confirmed) == 1


def test_the_best_is_what_was_confirmed_or_else_rank_one(folder: Path) -> None:
    report = of_study(folder / "runs", "small")
    assert best(report).trial.trial == report.confirmed[0].trial
    before = of_study(searched()[0] / "runs", "small")
    assert before.confirmed == []
    assert best(before).trial.trial == before.rows[0].trial


def test_a_training_is_a_study_of_one_trial() -> None:
    report = of_study(trained()[0] / "runs", "one")
    assert [row.state for row in report.rows] == ["complete"]
    assert report.test_readings == 1
    assert report.examined is not None


def test_the_worst_mistakes_come_first_each_with_its_picture() -> None:
    examined = of_study(searched()[0] / "runs", "small").examined
    assert examined is not None
    said = examined.predictions
    worst = examined.worst
    assert len(worst) == min(MOST_MISTAKES, len(said.labels) - said.correct) > 3
    sure = [mistake.confidence for mistake, _ in worst]
    assert sure == sorted(sure, reverse=True)
    pictures = load_training_set("digits")
    for mistake, image in worst:
        assert (image == pictures.images[mistake.picture]).all()
        assert mistake.label == str(pictures.labels[mistake.picture]) != mistake.predicted


# What is missing


def test_lost_weights_are_named_and_the_rest_is_there(folder: Path) -> None:
    shutil.rmtree(folder / "runs" / "small" / "models")
    found = best(of_study(folder / "runs", "small"))
    assert f"The weights of trial {found.trial.trial} are not in " in why(found.examined)
    assert isinstance(found.architecture, Architecture)


def test_damaged_weights_are_named(folder: Path) -> None:
    for path in (folder / "runs" / "small" / "models").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    assert "damaged" in why(best(of_study(folder / "runs", "small")).examined)


def test_data_that_changed_are_named(folder: Path) -> None:
    records = load_study(folder / "runs", "small")
    changed = replace(records, data_fingerprint="0123456789abcdef")
    report = collect(StudyFolder(folder / "runs" / "small"), changed, Missing(""))
    assert "was 0123456789abcdef and is" in why(best(report).examined)


def test_data_that_are_not_here_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    records = load_study(folder / "runs", "small")
    elsewhere = replace(records, settings={**records.settings, "data": "mnist"})
    report = collect(StudyFolder(folder / "runs" / "small"), elsewhere, Missing(""))
    assert why(best(report).examined).startswith("The data set mnist is not prepared in")


def test_a_damaged_ledger_of_test_readings_is_named(folder: Path) -> None:
    (folder / "runs" / "small" / "test-readings.jsonl").write_text("no reading\n")
    assert "is no reading of a test set" in why(of_study(folder / "runs", "small").test_readings)


def test_an_architecture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    strange = replace(trial(0), architecture={"input_shape": [8, 8, 1], "classes": 10})
    assert "layers" in why(best(report_of(study(strange), tmp_path)).architecture)


def test_a_study_that_has_only_begun_says_so(tmp_path: Path) -> None:
    assert why(report_of(study(), tmp_path).best) == "No trial was asked yet."
    waiting = study(trial(0, "running", rungs=0))
    assert why(report_of(waiting, tmp_path).best) == "No trial has finished a rung yet."


# The rest


def test_every_trial_has_its_fate() -> None:
    told = {each.state: fate(each) for each in list(of_every_state().trials.values())[:-1]}
    assert told.pop("complete") == "finished"
    assert told.pop("running") == "still running after rung 1"
    assert all(text == f"{state} at rung 1" for state, text in told.items())
    assert len(told) == 4
    assert fate(trial(0, "pruned", rungs=2)) == "pruned at rung 2"
    assert fate(trial(0, "failed", rungs=0)) == "failed before the first rung"


def test_seconds_are_all_of_the_ledger(tmp_path: Path) -> None:
    records = of_every_state()
    report = report_of(records, tmp_path)
    assert report.seconds["workers"] == records.worker_seconds
    assert report.seconds["coordinator"] == records.coordinator_seconds
    assert set(report.kinds) == set(records.worker_seconds) | set(records.coordinator_seconds)


def test_of_many_trials_the_best_are_shown(tmp_path: Path) -> None:
    records = study(*(trial(number, correct=number % 289) for number in range(MOST_TRIALS + 50)))
    report = report_of(records, tmp_path)
    assert report.rows == rows(records)
    assert report.shown == report.rows[:MOST_TRIALS]
    assert report.val_pictures == 288
    assert np.isfinite(report.shown[0].val_accuracy or np.nan)
