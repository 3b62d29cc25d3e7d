"""Trained networks found by name, and exported."""

import json
import re
from pathlib import Path

import pytest
from command_line import copied, searched

from pennyweight.arch.errors import UsageError
from pennyweight.results.leaderboard import rows
from pennyweight.results.models import export_model, find_model
from pennyweight.results.records import RecordFile, read_records
from pennyweight.results.studies import load_study
from pennyweight.train.data import load_training_set, normalisation


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished search `small`."""
    return copied(searched()[0] / "runs", tmp_path_factory.mktemp("models") / "runs")


@pytest.fixture
def other(runs: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return copied(runs, tmp_path / "runs")


def test_a_bare_study_is_its_rank_1(runs: Path) -> None:
    model = find_model(runs, "small")
    assert model.trial.trial == rows(load_study(runs, "small"))[0].trial
    assert model.weights.exists()


def test_every_trial_that_finished_a_rung_is_found(runs: Path) -> None:
    study = load_study(runs, "small")
    found = [find_model(runs, f"small:{number}") for number in study.trials]
    assert [model.trial for model in found] == list(study.trials.values())
    assert len({model.weights for model in found}) == len(study.trials)


def test_a_study_that_was_renamed_keeps_its_models(other: Path) -> None:
    (other / "small").rename(other / "renamed")
    assert find_model(other, "renamed").weights.exists()
    assert Path(str(find_model(other, "renamed").weights)).is_relative_to(other / "renamed")


def test_the_name_inside_the_records_leads_nowhere_else(other: Path) -> None:
    """Records may come from a stranger."""
    (first, *rest) = read_records(other / "small" / "records.jsonl")
    (other / "small" / "records.jsonl").unlink()
    with RecordFile.open(other / "small" / "records.jsonl") as records:
        for record in (first | {"study": "../../elsewhere"}, *rest):
            fields = {k: v for k, v in record.items() if k not in ("kind", "version", "crc")}
            records.append(record["kind"], **fields)
    assert Path(str(find_model(other, "small").weights)).is_relative_to(other / "small")


def test_trials_that_do_not_exist_are_named(runs: Path) -> None:
    for number in ("3", "-1", "01", "x", "", "²", "9" * 5_000):
        with pytest.raises(UsageError, match=r"Study small has no trial .* numbered 0 to 2"):
            find_model(runs, f"small:{number}")
    with pytest.raises(UsageError, match=r"There is no study 'smal' .* did you mean small"):
        find_model(runs, "smal:1")


def test_a_trial_without_weights_is_refused(other: Path) -> None:
    find_model(other, "small:1").weights.unlink()
    with pytest.raises(UsageError, match=r"Trial 1 of study small \(complete\) has no weights"):
        find_model(other, "small:1")


def test_a_trial_that_never_finished_a_rung_is_refused(other: Path) -> None:
    record = other / "small" / "records.jsonl"
    whole = record.read_bytes().splitlines(keepends=True)
    kept = [line for line in whole if b'"kind":"rung"' not in line and b'"end"' not in line]
    record.write_bytes(b"".join(kept))
    with pytest.raises(UsageError, match=r"Trial 0 of study small \(running\) has no weights"):
        find_model(other, "small:0")
    with pytest.raises(UsageError, match="No trial of study small has finished a rung yet"):
        find_model(other, "small")


def test_damaged_weights_are_refused(other: Path, tmp_path: Path) -> None:
    model = find_model(other, "small")
    model.weights.write(model.weights.read_bytes()[:-10])
    with pytest.raises(UsageError, match=re.escape(str(model.weights))):
        export_model(model, tmp_path / "out", command=[])
    assert not (tmp_path / "out").exists()


def test_an_export_says_where_it_comes_from(runs: Path, tmp_path: Path) -> None:
    model = find_model(runs, "small")
    exported = export_model(model, tmp_path / "out", command=["pennyweight", "export", "small"])
    assert exported.forms["python"]["pictures"] == 288
    assert exported.forms["python"]["accuracy"] == model.trial.val_accuracy
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    trial = model.trial
    assert manifest["notation"] == trial.notation
    assert manifest["cost"]["params"] == trial.cost["params"]
    assert manifest["training"] == {
        "study": "small", "trial": trial.trial, "recipe": dict(trial.recipe),
        "precision": "float32", "seed": trial.seed, "split_seed": 0, "whole": False, "epochs": 1,
        "ended": "complete", "genome": dict(trial.genome),
    }  # fmt: skip
    assert manifest["validation"]["accuracy"] == trial.val_accuracy
    assert manifest["command"] == ["pennyweight", "export", "small"]
    assert manifest["class_names"] == [str(k) for k in range(10)]
    dataset = load_training_set("digits")
    mean, std = normalisation(dataset.images[dataset.split(0).train])
    assert manifest["normalisation"] == {"mean": list(mean), "std": list(std)}
    assert manifest["data"] == {"name": "digits", "fingerprint": dataset.fingerprint}


def test_an_interrupted_study_exports_what_is_whole(other: Path, tmp_path: Path) -> None:
    path = other / "small" / "records.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in whole if b'"kind":"end"' not in line]
    assert len(kept) < len(whole)
    path.write_bytes(b"".join(kept) + whole[-1][:20])  # killed as it wrote a line
    model = find_model(other, "small")
    assert model.trial.state == "running"
    export_model(model, tmp_path / "out", command=[])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["training"]["ended"] == "running"
    assert manifest["validation"]["accuracy"] == model.trial.val_accuracy


def test_a_damaged_study_says_why_it_cannot_be_exported(other: Path) -> None:
    path = other / "small" / "records.jsonl"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(UsageError, match=r"records\.jsonl:\d+: this line is damaged"):
        find_model(other, "small")
