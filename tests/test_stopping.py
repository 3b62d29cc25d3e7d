"""When a training stops, and whose weights it keeps: the rule, then real trainings."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import NETWORK, pennyweight, said, tree
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import StudyFolder
from pennyweight.results.models import find_model
from pennyweight.results.records import read_records
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import TrialRecord
from pennyweight.search.single import train
from pennyweight.train.stopping import Stopping

ACCURACIES = st.lists(st.integers(0, 8).map(lambda eighths: eighths / 8), max_size=12)


@given(ACCURACIES, st.integers(1, 5))
def test_patience_ends_a_training_once_so_many_epochs_were_no_better(
    accuracies: list[float], patience: int
) -> None:
    ends = [bool(Stopping(patience=patience).reason(accuracies[:n])) for n in range(13)]
    for n in range(len(accuracies) + 1):
        waited = n > patience and max(accuracies[n - patience : n]) <= max(
            accuracies[: n - patience]
        )
        assert ends[n] == waited


@given(ACCURACIES)
def test_by_default_nothing_ends_a_training(accuracies: list[float]) -> None:
    assert not Stopping()
    assert Stopping().reason(accuracies) is None
    assert Stopping(keep="best").reason(accuracies) is None


def test_a_target_ends_a_training_as_it_is_reached() -> None:
    aimed = Stopping(target_accuracy=0.9)
    assert aimed.reason([0.5, 0.89]) is None
    assert aimed.reason([0.5, 0.9]) == "reached 90.00% of the 90.00% aimed at"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patience": 0}, "--patience must be at least 1, but got 0."),
        ({"patience": 1.5}, "--patience must be at least 1, but got 1.5."),
        ({"keep": "first"}, "--keep cannot be 'first': there is last, best."),
        ({"target_accuracy": 0.0}, "--target-accuracy must be above 0% and at most 100%"),
        ({"target_accuracy": 1.01}, "--target-accuracy must be above 0% and at most 100%"),
        ({"target_accuracy": float("nan")}, "--target-accuracy must be above 0%"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Stopping(**fields)
    assert message in str(refused.value)


# Trainings ----------------------------------------------------------------------------------------

WAVERING = {"peak_learning_rate": 0.3, "schedule": "constant", "averaging": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In which the same wavering training went to its end, and then stopped early."""
    folder = tmp_path_factory.mktemp("stopping")
    (folder / "recipe.json").write_text(json.dumps(WAVERING))
    flags = ["--recipe", "recipe.json", "--max-epochs", "12", "--json"]
    for name, more in (("all", []), ("early", ["--patience", "2", "--keep", "best"])):
        ran = pennyweight("train", NETWORK, *flags, "--study", name, *more, cwd=folder)
        assert ran.status == 0, ran.err
        (folder / f"{name}.json").write_text(ran.out)
    return folder


def trial_of(folder: Path, name: str) -> TrialRecord:
    return load_study(folder / "runs", name).trials[0]


def test_early_stopping_is_the_same_training_cut_short(folder: Path) -> None:
    whole, early = trial_of(folder, "all"), trial_of(folder, "early")
    assert (whole.state, whole.epochs, whole.reason) == ("complete", 12, None)
    assert early.epochs < 12, "the training must waver"
    assert early.curve == whole.curve[: early.epochs]
    accuracies = [point.val_accuracy or 0 for point in early.curve]
    assert early.state == "complete"
    assert early.reason == Stopping(patience=2).reason(accuracies)
    assert str(early.reason).startswith("no better for 2 epochs than ")


def test_the_best_epochs_weights_are_kept_and_are_what_every_command_takes(folder: Path) -> None:
    early = trial_of(folder, "early")
    accuracies = [point.val_accuracy or 0 for point in early.curve]
    best = 1 + accuracies.index(max(accuracies))
    assert early.kept_epoch == best == early.epochs - 2
    models = sorted(path.name for path in (folder / "runs/early/models").iterdir())
    assert models == [f"000000-{best:04d}.safetensors"]
    assert not list((folder / "runs/early/states").iterdir())
    told = json.loads((folder / "early.json").read_text())
    assert told["val_accuracy"] == early.val_accuracy == max(accuracies)
    assert told["stopping"] == {"patience": 2, "keep": "best"}
    assert [point["epoch"] for point in told["curve"]] == list(range(1, early.epochs + 1))
    assert all(0 < point["train_accuracy"] < 1 for point in told["curve"])
    assert str(find_model(folder / "runs", "early").weights).endswith(models[0])
    measured = pennyweight("evaluate", "early", "--split", "validation", "--json", cwd=folder)
    assert measured.json["accuracy"] == early.val_accuracy


def test_the_leaderboard_says_which_epoch_was_kept(folder: Path) -> None:
    shown = pennyweight("leaderboard", "early", cwd=folder).out
    early = trial_of(folder, "early")
    assert f"It ended early: {early.reason}." in shown
    assert f"Its weights are those of epoch {early.kept_epoch}, the best on these" in shown
    assert "ended early" not in pennyweight("leaderboard", "all", cwd=folder).out


def test_a_training_killed_before_it_could_stop_stops_when_it_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    """Its last two records are those of its end and its ledger."""
    runs = StudyFolder(folder / "runs" / "early")
    lines = runs.records.read_bytes().splitlines(keepends=True)
    (tmp_path / "runs" / "early" / "models").mkdir(parents=True)
    (tmp_path / "runs" / "early" / "states").mkdir()
    (tmp_path / "runs" / "early" / "records.jsonl").write_bytes(b"".join(lines[:-2]))
    early = trial_of(folder, "early")
    own = StudyFolder(tmp_path / "runs" / "early")
    own.model(0, early.kept_epoch).write(runs.model(0, early.kept_epoch).read_bytes())
    own.state(0, early.epochs).write(b"as it was")
    (tmp_path / "recipe.json").write_text(json.dumps(WAVERING))
    flags = ["--recipe", "recipe.json", "--max-epochs", "12", "--study", "early"]
    again = pennyweight("train", NETWORK, *flags, "--patience", "2", "--keep", "best", cwd=tmp_path)
    assert again.status == 0, again.err
    records = read_records(own.records)
    assert [record["kind"] for record in records].count("rung") == early.epochs
    assert trial_of(tmp_path, "early").reason == early.reason
    assert not list((tmp_path / "runs" / "early" / "states").iterdir())


def test_a_training_that_reaches_its_target_ends_there(tmp_path: Path) -> None:
    found = train(
        NETWORK, max_epochs=9, target_accuracy=0.15, runs=tmp_path, study="aim", progress=False
    )
    (trial,) = found.study.trials.values()
    reached = [(point.val_accuracy or 0) >= 0.15 for point in trial.curve]
    assert reached == [False] * (len(reached) - 1) + [True]
    assert trial.epochs < 9
    assert str(trial.reason).endswith("of the 15.00% aimed at")


def test_a_target_that_was_not_reached_is_told(tmp_path: Path) -> None:
    ran = pennyweight("train", NETWORK, "--max-epochs", "1", "--target-accuracy", "100%",
                      "--study", "far", cwd=tmp_path)  # fmt: skip
    best = trial_of(tmp_path, "far").val_accuracy or 0
    assert f"100.00% was not reached: the best was {best:.2%}." in ran.out
    assert "ended early" not in ran.out


def test_who_trains_to_the_limit_did_not_end_early(tmp_path: Path) -> None:
    found = train(
        NETWORK, max_epochs=1, target_accuracy=0.01, runs=tmp_path, study="last", progress=False
    )
    assert (found.best.epochs, found.study.trials[0].reason) == (1, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--patience 0", "--patience must be at least 1, but got 0."),
        ("--keep worst", "--keep"),
        ("--target-accuracy 101%", "--target-accuracy must be above 0% and at most 100%"),
        ("--target-accuracy much", "--target-accuracy must be a share such as 0.99 or 99%"),
        ("--whole --patience 3", "--whole trains on the validation pictures too, and then they"),
        ("--study early --patience 3", "patience is 2 there and 3 here"),
    ],
)
def test_bad_input_gets_one_line_and_changes_nothing(
    folder: Path, flags: str, message: str
) -> None:
    before = tree(folder)
    given = ["--recipe", "recipe.json", "--max-epochs", "12", *flags.split()]
    assert message in said(pennyweight("train", NETWORK, *given, cwd=folder))
    assert tree(folder) == before
