"""`baselines`: models made elsewhere, on the same split, on the same leaderboard."""

import csv
import io
import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import copied, pennyweight, said, searched, start, tree

from pennyweight.arch.errors import UsageError
from pennyweight.arch.zoo import ZOO
from pennyweight.results.baselines import baselines as rows_of
from pennyweight.results.studies import load_study
from pennyweight.search import train
from pennyweight.search.baseline_models import chosen
from pennyweight.search.baseline_runs import patiently
from pennyweight.search.baselines import baselines
from pennyweight.train.classical import CLASSICAL
from pennyweight.train.data import load_training_set
from pennyweight.train.door import readings

QUICK = ("svm", "neighbours")


def test_they_are_measured_on_the_validation_split_of_a_search(tmp_path: Path) -> None:
    study = baselines("digits", models=QUICK, runs=tmp_path, progress=False)
    parts = load_training_set("digits").split(0)
    assert [run.model for run in study.baselines] == list(QUICK)
    assert {run.part for run in study.baselines} == {"validation"}
    assert {run.total for run in study.baselines} == {len(parts.validation)}
    assert {run.examples for run in study.baselines} == {len(parts.train)}
    assert all(run.correct / run.total > 0.95 for run in study.baselines)
    assert not (tmp_path / "baselines-digits" / "test-readings.jsonl").exists()


def test_what_is_recorded_is_not_measured_again(tmp_path: Path) -> None:
    baselines("digits", models=QUICK[0], runs=tmp_path, progress=False)
    path = tmp_path / "baselines-digits" / "records.jsonl"
    before = path.read_bytes()
    baselines("digits", models=QUICK[:1], runs=tmp_path, progress=False)
    assert path.read_bytes() == before
    baselines("digits", models=QUICK, runs=tmp_path, progress=False)
    after = path.read_bytes()
    assert after.startswith(before)
    assert after.count(b'"kind":"baseline"') == 2


def test_a_quick_pass_learns_from_a_stratified_part(tmp_path: Path) -> None:
    flags = {"models": QUICK, "runs": tmp_path, "progress": False}
    few = baselines("digits", examples=100, **flags)
    assert {run.examples for run in few.baselines} == {100}
    both = baselines("digits", **flags)
    assert [run.examples for run in both.baselines] == [100, 100, 1_149, 1_149]
    found = {(row.model, row.examples): row.val_accuracy for row in rows_of(both)}
    for model in QUICK:
        assert (found[model, 1_149] or 0) > (found[model, 100] or 0)


def test_the_test_set_is_read_through_the_door_and_told(tmp_path: Path) -> None:
    study = baselines("digits", models=("svm",), test=True, runs=tmp_path, progress=False)
    (row,) = rows_of(study)
    assert row.test_accuracy is not None
    assert row.test_accuracy > 0.95
    ledger = readings(tmp_path / "baselines-digits" / "test-readings.jsonl")
    assert [(each["purpose"], each["test_examples"]) for each in ledger] == [("baseline", 360)]


def test_a_network_is_trained_as_a_study_of_its_own_and_told_of_in_both(tmp_path: Path) -> None:
    flags = {"models": ("zoo:mlp-32",), "max_epochs": 2, "runs": tmp_path, "progress": False}
    study = baselines("digits", test=True, **flags)
    (row,) = rows_of(study)
    assert (row.params, row.stored, row.epochs) == (2_410, False, 2)
    own = load_study(tmp_path, str(row.study))
    assert own.trials[0].val_accuracy == row.val_accuracy
    for name in ("baselines-digits", str(row.study)):
        ledger = readings(tmp_path / name / "test-readings.jsonl")
        assert [each["purpose"] for each in ledger] == ["baseline"], name


def test_a_network_of_other_pictures_is_not_taken_for_one_of_these(tmp_path: Path) -> None:
    digits = load_training_set("digits")
    flags = {"models": ("zoo:mlp-32",), "max_epochs": 1, "runs": tmp_path, "progress": False}
    path = tmp_path / "digits.npz"
    np.savez(path, x=digits.images, y=digits.labels)
    first = baselines(f"npz:{path}", study=None, **flags)
    np.savez(path, x=digits.images, y=digits.labels[::-1])
    with pytest.raises(UsageError):  # its data have changed
        baselines(f"npz:{path}", test=True, **flags)
    begun = train("F d10", f"npz:{path}", study="new", max_epochs=1, runs=tmp_path, progress=False)
    with pytest.raises(UsageError, match=r"learned from other pictures: .* move its folder away"):
        baselines(study=begun.study.study, test=True, **flags)
    assert load_study(tmp_path, "new").baselines == ()
    own = tmp_path / str(first.baselines[0].study)
    assert not (own / "test-readings.jsonl").exists()


def test_data_in_a_long_path_need_no_name(tmp_path: Path) -> None:
    digits = load_training_set("digits")
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    np.savez(folder / "a.npz", x=digits.images, y=digits.labels)
    flags = {"models": ("zoo:mlp-32",), "max_epochs": 1, "runs": tmp_path, "progress": False}
    study = baselines(f"npz:{folder / 'a.npz'}", **flags)
    assert study.study == f"baselines-ng{'long' * 8}-a.npz"


def test_a_network_that_diverged_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = {**ZOO["mlp-32"].recipe, "optimiser": "sgd", "peak_learning_rate": 10.0, "l2": 1.0}
    monkeypatch.setitem(ZOO, "mlp-32", replace(ZOO["mlp-32"], recipe=wild))
    flags = {"models": ("zoo:mlp-32",), "max_epochs": 2, "runs": tmp_path, "progress": False}
    (row,) = rows_of(baselines("digits", **flags))
    assert row.about == "F d32+r d10+ (diverged)"


def test_groups_stand_for_what_suits_the_data() -> None:
    assert chosen(["classical"], "digits") == tuple(CLASSICAL)
    assert chosen(["svm", "zoo", "svm"], "digits") == ("svm", "zoo:mlp-32")
    with pytest.raises(UsageError, match="zoo:m3 takes 28x28x1 pictures in 10 classes, but digits"):
        chosen(["zoo:m3"], "digits")
    with pytest.raises(UsageError, match="There is no baseline 'svn': did you mean svm"):
        chosen(["svn"], "digits")


def test_they_stand_beside_the_trials_of_a_study(tmp_path: Path) -> None:
    folder = copied(searched()[0], tmp_path / "work")
    flags = ["--study", "small", "--models", "neighbours", "--examples", "200"]
    ran = pennyweight("baselines", *flags, cwd=folder)
    assert ran.status == 0
    assert re.search(r"^ *base +9\d\.\d\d \[.*\] +13,000\* +neighb", ran.out, re.MULTILINE)
    shown = pennyweight("leaderboard", "small", cwd=folder).out
    assert shown in ran.out
    assert "best: trial" in shown
    assert "base: 1 baseline in" in shown
    document = pennyweight("leaderboard", "small", "--json", cwd=folder).json
    assert [row["model"] for row in document["baselines"]] == ["neighbours"]
    assert len(document["rows"]) == 3
    lines = list(
        csv.DictReader(io.StringIO(pennyweight("leaderboard", "small", "--csv", cwd=folder).out))
    )
    (base,) = [line for line in lines if line["state"] == "baseline"]
    assert (base["examples"], base["stored"], base["test_accuracy"]) == ("200", "true", "")
    markdown = pennyweight("leaderboard", "small", "--markdown", cwd=folder).out
    assert "| baseline | neighbours of 200 pictures: " in markdown
    assert pennyweight("report", "small", cwd=folder).status == 0
    page = (folder / "runs/small/report.html").read_text(encoding="utf-8")
    assert "<h3>Baselines</h3>" in page
    assert "scikit-learn" in page
    # and the search goes on as before
    again = pennyweight("search", "--max-params", "60", "--max-epochs", "1", "--workers", "1",
                        "--study", "small", "--trials", "3", "--json", cwd=folder)  # fmt: skip
    assert again.json["baselines"] == document["baselines"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--models svn", "There is no baseline 'svn': did you mean svm?"),
        ("--models zoo:mlp-33", "The zoo has no network `mlp-33`: did you mean mlp-32"),
        ("--models zoo:m3", "zoo:m3 takes 28x28x1 pictures in 10 classes, but digits has 8x8x1"),
        ("--examples 0", "--examples must be at least 1, but got 0."),
        ("--examples 5000", "--examples must be at most 1,149, the training split of digits"),
        ("--examples 9 --models zoo", "--examples is for classical models, but zoo:mlp-32 is a"),
        ("--study nothing", "There is no study 'nothing' in runs"),
        ("--study small --data mnist", "--data must be digits, that of study small, but got mnist"),
        ("--study small --seed 3", "--seed must be 0, that of study small, but got 3"),
        ("--seed -1", "--seed must be from 0 to"),
        ("--max-epochs 0", "--max-epochs must be at least 1, but got 0."),
        ("--data nothing", "There is no data set 'nothing'"),
    ],
)
def test_bad_input_gets_one_line_and_changes_nothing(
    tmp_path: Path, flags: str, message: str
) -> None:
    load_training_set("digits")
    folder = copied(searched()[0], tmp_path / "work")
    before = tree(folder)
    assert message in said(pennyweight("baselines", *flags.split(), cwd=folder))
    assert tree(folder) == before


def test_ctrl_c_keeps_what_was_measured_and_the_same_command_goes_on(tmp_path: Path) -> None:
    models = "neighbours,zoo:mlp-32"
    flags = ["--models", models, "--max-epochs", "1000"]
    process = start("baselines", *flags, cwd=tmp_path)
    own = tmp_path / "runs/zoo-mlp-32-digits-epochs1000-seed0/records.jsonl"
    deadline = time.monotonic() + 120
    while not own.exists() or own.read_bytes().count(b'"kind":"rung"') < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].endswith("the same command goes on from here.")
    study = load_study(tmp_path / "runs", "baselines-digits")
    assert [run.model for run in study.baselines] == ["neighbours"]
    ran = pennyweight("baselines", *flags, "--json", cwd=tmp_path)
    rows = {row["model"]: row for row in json.loads(ran.out)["baselines"]}
    assert set(rows) == {"neighbours", "zoo:mlp-32"}
    (trained,) = load_study(tmp_path / "runs", rows["zoo:mlp-32"]["study"]).trials.values()
    assert [rung.epoch for rung in trained.rungs] == list(range(1, 1_001))
    fitted = load_study(tmp_path / "runs", "baselines-digits").baselines
    assert sorted(run.model for run in fitted) == ["neighbours", "zoo:mlp-32"]


def test_what_fails_in_the_thread_fails_here() -> None:
    assert patiently(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 / 0)
