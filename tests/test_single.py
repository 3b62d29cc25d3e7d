"""Training one architecture as a study of one trial."""

import dataclasses
import json
import time
from pathlib import Path

import pytest
from command_line import NETWORK, copied, pennyweight, start, trained, tree

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.results.folder import StudyFolder
from pennyweight.results.leaderboard import rows
from pennyweight.results.records import read_records
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.single import Training, train
from pennyweight.train.recipe import Candidate, Recipe

ARCHITECTURE = parse(NETWORK, (8, 8, 1), 10)
CANDIDATE = Candidate(architecture=ARCHITECTURE, recipe=Recipe(), seed=0)


def training(runs: Path, **changes: object) -> Training:
    """What `trained` did, as a value."""
    fields = {"candidate": CANDIDATE, "data": "digits", "epochs": 2, "name": "one", "runs": runs}
    return Training(**fields | {"command": []} | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done() -> StudyRecords:
    return load_study(trained()[0] / "runs", "one")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy of the runs folder in which the study `one` is finished."""
    return copied(trained()[0] / "runs", tmp_path / "runs")


def test_a_training_is_a_study_of_one_trial(done: StudyRecords) -> None:
    (trial,) = done.trials.values()
    assert (trial.trial, trial.state, trial.epochs) == (0, "complete", 2)
    assert [point.epoch for point in trial.curve] == [1, 2]
    assert trial.notation == NETWORK
    assert dict(trial.recipe) == Recipe().to_json()
    assert done.data == "digits"
    assert done.budget["max_params"] == trial.cost["params"] == 86
    assert done.budget["max_epochs"] == 2
    (row,) = rows(done)
    assert (row.rank, row.pareto) == (1, True)


def test_its_seconds_and_its_session_are_on_record(done: StudyRecords) -> None:
    assert len(done.sessions) == 1
    assert {"compile", "train", "evaluate"} <= set(done.worker_seconds)
    assert done.wall_s >= sum(done.worker_seconds.values())


def test_only_the_last_weights_are_kept(runs: Path) -> None:
    kept = {name for name, content in tree(runs / "one").items() if content is not None}
    assert {name for name in kept if name.endswith(".safetensors")} == {
        "models/000000-0002.safetensors"
    }


def test_a_finished_training_is_left_as_it_is(runs: Path) -> None:
    before = tree(runs)
    assert training(runs).run(progress=False) == load_study(runs, "one")
    assert tree(runs) == before


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"epochs": 3}, "max_epochs is 2 there and 3 here"),
        ({"precision": "bfloat16"}, "precision is float32 there and bfloat16 here"),
        ({"candidate": dataclasses.replace(CANDIDATE, seed=4)}, "seed is 0 there and 4 here"),
        (
            {"candidate": dataclasses.replace(CANDIDATE, recipe=Recipe(batch_size=32))},
            "batch_size is 64 there and 32 here",
        ),
        (
            {
                "candidate": dataclasses.replace(
                    CANDIDATE, architecture=parse("F d10", (8, 8, 1), 10)
                )
            },
            "network is m2 c4r A d10+ there and F d10 here",
        ),
    ],
)
def test_another_training_under_its_name_is_refused(
    runs: Path, changes: dict[str, object], difference: str
) -> None:
    before = tree(runs)
    with pytest.raises(UsageError) as error:
        training(runs, **changes).run(progress=False)
    assert str(error.value) == (
        f"Study one exists and is not this training ({difference}): repeat that one, "
        "or choose another --study."
    )
    assert tree(runs) == before


def test_what_does_not_suit_the_data_is_refused(tmp_path: Path) -> None:
    wide = dataclasses.replace(CANDIDATE, architecture=parse("A d10", (28, 28, 1), 10))
    with pytest.raises(UsageError, match="digits has 8x8x1 pictures in 10 classes"):
        training(tmp_path, candidate=wide)
    large = dataclasses.replace(CANDIDATE, recipe=Recipe(batch_size=1_150))
    with pytest.raises(UsageError, match="`batch_size` of the recipe must be at most 1149"):
        training(tmp_path, candidate=large)
    training(tmp_path, candidate=large, whole=True)
    with pytest.raises(UsageError, match="--max-epochs must be at least 1, but got 0"):
        training(tmp_path, epochs=0)
    with pytest.raises(UsageError, match="--precision cannot be 'bf16': did you mean bfloat16"):
        training(tmp_path, precision="bf16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lines", [0, 0.5, 1, 1.5, 2, 2.5])
def test_a_training_killed_at_its_start_begins_again(runs: Path, lines: float) -> None:
    """Its file holds so many lines, the last one torn in the middle."""
    folder = StudyFolder(runs / "one")
    whole = folder.records.read_bytes().splitlines(keepends=True)
    kept = b"".join(whole[: int(lines)])
    torn = whole[int(lines)][:20] if lines != int(lines) else b""
    folder.records.write_bytes(kept + torn)
    again = training(runs).run(progress=False)
    assert again.trials[0].state == "complete"
    assert again.trials[0].curve == load_study(trained()[0] / "runs", "one").trials[0].curve
    assert folder.records.read_bytes().startswith(kept)
    assert folder.model(0, 2).read_bytes() == model_of(trained()[0])


def model_of(folder: Path, epochs: int = 2) -> bytes:
    return StudyFolder(folder / "runs" / "one").model(0, epochs).read_bytes()


LONG = ["train", NETWORK, "--study", "one", "--max-epochs", "40", "--json"]


def test_a_training_killed_in_the_middle_goes_on_as_if_nothing_had_happened(
    tmp_path: Path,
) -> None:
    quiet, cut = tmp_path / "quiet", tmp_path / "cut"
    quiet.mkdir()
    cut.mkdir()
    wanted = pennyweight(*LONG, cwd=quiet)
    assert wanted.status == 0, wanted.err
    records = StudyFolder(cut / "runs" / "one").records
    process = start(*LONG, cwd=cut)
    while epochs_in(records) < 5 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    before = epochs_in(records)
    assert 5 <= before < 40, "it was not killed in the middle"
    ran = pennyweight(*LONG, cwd=cut)
    assert ran.status == 0, ran.err
    assert f" {before + 1}/40 epochs " in ran.err
    assert f" {before}/40 epochs " not in ran.err
    assert {**ran.json, "seconds": 0} == {**wanted.json, "seconds": 0}
    written = read_records(records)
    assert [r["epoch"] for r in written if r["kind"] == "rung"] == list(range(1, 41))
    assert [r["kind"] for r in written].count("session") == 2
    assert model_of(cut, 40) == model_of(quiet, 40)


def test_a_training_that_lost_its_state_gives_the_same_again(tmp_path: Path) -> None:
    runs = copied(trained()[0] / "runs", tmp_path / "runs")
    folder = StudyFolder(runs / "one")
    whole = folder.records.read_bytes().splitlines(keepends=True)
    folder.records.write_bytes(b"".join(whole[:4]))  # to the first epoch, whose state is gone
    assert epochs_in(folder.records) == 1
    again = training(runs).run(progress=False)
    assert again.trials[0].curve == load_study(trained()[0] / "runs", "one").trials[0].curve
    assert folder.model(0, 2).read_bytes() == model_of(trained()[0])


def epochs_in(records: Path) -> int:
    whole = records.read_bytes().rpartition(b"\n")[0] if records.exists() else b""
    return whole.count(b'{"kind":"rung"')


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(
        json.dumps({"optimiser": "sgd", "peak_learning_rate": 10, "schedule": "step"})
    )
    flags = ("--recipe", "recipe.json", "--max-epochs", "30", "--study", "wild", "--json")
    ran = pennyweight("train", "c9 c9 c9 c9 F d10+", *flags, cwd=tmp_path)
    assert ran.status == 0, ran.err
    assert ran.json["state"] == "diverged"
    assert ran.json["reason"] == "its loss was not finite"
    assert ran.json["val_log_loss"] is None
    assert ran.json["epochs"] < 30
    records = tmp_path / "runs" / "wild" / "records.jsonl"
    whole = records.read_bytes().splitlines(keepends=True)
    killed = [line for line in whole if b'"kind":"end"' not in line and b'"ledger"' not in line]
    records.write_bytes(b"".join(killed))
    again = pennyweight("train", "c9 c9 c9 c9 F d10+", *flags, cwd=tmp_path)
    assert again.status == 0, again.err
    assert {**again.json, "seconds": 0} == {**ran.json, "seconds": 0}
    assert [r["kind"] for r in read_records(records)].count("rung") == ran.json["epochs"]


# From Python


@pytest.mark.parametrize("arch", [NETWORK, ARCHITECTURE], ids=["notation", "architecture"])
def test_python_means_by_the_same_what_the_command_line_means(
    arch: str | Architecture, runs: Path
) -> None:
    """Otherwise it would refuse to go on with the study, which is finished."""
    before = tree(runs)
    found = train(arch, "digits", max_epochs=2, study="one", runs=runs, progress=False)
    assert tree(runs) == before
    assert found.name == "one"
    assert found.best == rows(load_study(runs, "one"))[0]


def test_a_network_is_trained_from_python(tmp_path: Path, done: StudyRecords) -> None:
    found = train(NETWORK, max_epochs=2, runs=tmp_path, progress=False)
    assert found.name == f"train-{ARCHITECTURE.fingerprint}-0"
    assert found.study.trials[0].curve == done.trials[0].curve
    with pytest.raises(UsageError, match="batch_size is 64 there and 32 here"):
        train(NETWORK, max_epochs=2, runs=tmp_path, recipe=Recipe(batch_size=32))


def test_what_was_trained_says_what_is_on_the_validation_pictures(runs: Path) -> None:
    found = train(NETWORK, max_epochs=2, study="one", runs=runs, progress=False)
    readings = StudyFolder(runs / "one").count_readings()
    predictions, images = found.examine()
    assert images.shape == (288, 8, 8, 1)
    assert predictions.accuracy == found.best.val_accuracy
    assert found.examine("test")[0].probabilities.shape == (360, 10)
    # Training read it for this very network already: a verification is no new reading.
    assert StudyFolder(runs / "one").count_readings() == readings == 1


def test_python_refuses_what_the_command_line_refuses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not understood"):
        train("c8x", runs=tmp_path)
    with pytest.raises(UsageError, match="--seed must be from 0 to 2147483647, but got -1"):
        train(NETWORK, seed=-1, runs=tmp_path)
    assert list(tmp_path.iterdir()) == []
