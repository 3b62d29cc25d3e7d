"""A study told live elsewhere: read back with each tool's own reader, and never in the way."""

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command_line import NETWORK, SMALL, Ran, copied, pennyweight, said, searched, tree
from command_line import trained as once_trained

from pennyweight.arch.errors import UsageError
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.tracking import about, check_trackers, key

MEASURED = ("train_loss", "train_accuracy", "val_accuracy", "val_log_loss")
Curves = dict[int, dict[str, list[tuple[int, float]]]]  # by trial and name: (epoch, value)


def curves_of(study: StudyRecords) -> Curves:
    """What the records say."""
    return {
        number: {
            name: [
                (point.epoch, value)
                for point in trial.curve
                if (value := getattr(point, name)) is not None
            ]
            for name in MEASURED
        }
        for number, trial in study.trials.items()
    }


def assert_same(found: Curves, study: StudyRecords) -> None:
    wanted = curves_of(study)
    assert found.keys() == wanted.keys()
    for trial, curves in wanted.items():
        for name, points in curves.items():
            assert [epoch for epoch, _ in found[trial][name]] == [epoch for epoch, _ in points]
            values = [value for _, value in points]
            assert [value for _, value in found[trial][name]] == pytest.approx(values, rel=1e-6)


def trained(folder: Path, track: str, *more: str, **environment: Any) -> StudyRecords:
    flags = ["--study", "one", "--max-epochs", "3", "--track", track, "--json", *more]
    ran = pennyweight("train", NETWORK, *flags, cwd=folder, **environment)
    assert ran.status == 0, ran.err
    assert "warning" not in ran.err
    assert ran.json["epochs"] == 3  # stdout is the result and nothing else
    return load_study(folder / "runs", "one")


TELL = """
import sys
from dataclasses import replace
from pathlib import Path
from pennyweight.results.studies import load_study
from pennyweight.search.tracking import tracked

track, epochs, created = sys.argv[1:]
study = load_study(Path("runs"), "one")
trial = study.trials[0]
running = replace(trial, state="running", rungs=trial.rungs[:int(epochs)])
known = replace(study, created=created or study.created, trials={0: running})
with tracked(lambda kind, fields: None, [track], "one", known) as tell:
    tell("end", {"trial": 0, "state": "complete"})
"""


def told(folder: Path, track: str, epochs: int = 2, created: str = "", **environment: str) -> None:
    """The study `one` in `folder`, gone on with after so many epochs, in which nothing is left."""
    code = [sys.executable, "-c", TELL, track, str(epochs), created]
    env = {**os.environ, **environment}
    ran = subprocess.run(code, cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert ran.stderr == ""


@pytest.fixture
def untold(tmp_path: Path) -> Path:
    """A folder with the study `one` of two epochs, which was told nowhere."""
    return copied(once_trained()[0], tmp_path / "untold")


# TensorBoard --------------------------------------------------------------------------------------


def from_tensorboard(folder: Path) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Curves = {}
    for run in sorted(folder.iterdir()):
        events = EventAccumulator(str(run))
        events.Reload()
        assert set(events.Tags()["scalars"]) == set(MEASURED)
        found[int(run.name.removeprefix("trial-"))] = {
            name: [(event.step, event.value) for event in events.Scalars(name)] for name in MEASURED
        }
        told = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        assert b"recipe.peak_learning_rate" in told
        assert b"digits" in told  # its data
        assert f"{folder.name}-{run.name.removeprefix('trial-')}".encode() in told  # its group
        assert "_hparams_/session_end_info" in events.Tags()["tensors"]
    return found


def test_tensorboard_reads_every_epoch_of_a_training(tmp_path: Path) -> None:
    study = trained(tmp_path, "tensorboard:logs")
    (folder,) = (tmp_path / "logs").glob("one-*")
    assert_same(from_tensorboard(folder), study)


def test_tensorboard_has_each_epoch_once_that_is_told_again(untold: Path) -> None:
    for epochs in (1, 2):
        told(untold, "tensorboard:logs", epochs)
        time.sleep(1)  # files are read in the order of their seconds
    (folder,) = (untold / "logs").iterdir()
    assert len(list(folder.glob("trial-0/*"))) == 2
    assert_same(from_tensorboard(folder), load_study(untold / "runs", "one"))


def test_tensorboard_keeps_studies_of_one_name_apart(untold: Path) -> None:
    told(untold, "tensorboard:logs", created="earlier")
    told(untold, "tensorboard:logs")
    folders = list((untold / "logs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert_same(from_tensorboard(folder), load_study(untold / "runs", "one"))


@pytest.mark.extended
def test_tensorboard_reads_every_trial_of_a_search_that_was_gone_on_with(tmp_path: Path) -> None:
    flags = [*SMALL, "--track", "tensorboard:logs", "--json"]
    for trials in ("2", "3"):
        ran = pennyweight("search", *flags, "--trials", trials, cwd=tmp_path)
        assert ran.status == 0, ran.err
        assert "warning" not in ran.err
    study = load_study(tmp_path / "runs", "small")
    assert len(study.trials) == 3
    (folder,) = (tmp_path / "logs").iterdir()
    assert_same(from_tensorboard(folder), study)


# MLflow -------------------------------------------------------------------------------------------

READ_MLFLOW = """
import json, sys
from mlflow import MlflowClient

client = MlflowClient(tracking_uri=sys.argv[1])
experiment = client.get_experiment_by_name(sys.argv[2])
runs = client.search_runs([experiment.experiment_id])
print(json.dumps([
    {
        "tags": run.data.tags,
        "params": run.data.params,
        "status": run.info.status,
        "curves": {
            name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        },
    }
    for run in runs
]))
"""


def from_mlflow(uri: str, experiment: str, folder: Path) -> list[dict[str, Any]]:
    read = [sys.executable, "-c", READ_MLFLOW, uri, experiment]
    ran = subprocess.run(read, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@pytest.mark.extended
def test_mlflow_reads_every_epoch_and_what_was_trained(tmp_path: Path) -> None:
    study = trained(tmp_path, "mlflow:sqlite:///told.db")
    (run,) = from_mlflow("sqlite:///told.db", "one", tmp_path)
    assert_same({0: run["curves"]}, study)
    assert (run["status"], run["tags"]["state"]) == ("FINISHED", "complete")
    assert (run["params"]["notation"], run["params"]["data"]) == (NETWORK, "digits")
    assert run["params"]["params"] == "86"


@pytest.mark.extended
def test_a_training_that_goes_on_is_the_same_run_of_mlflow(tmp_path: Path) -> None:
    study = trained(tmp_path, "mlflow:sqlite:///told.db")
    records = tmp_path / "runs/one/records.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if b'"kind":"end"' not in line]
    records.write_bytes(b"".join(whole))  # it was killed before it could end
    assert trained(tmp_path, "mlflow:sqlite:///told.db").trials == study.trials
    (run,) = from_mlflow("sqlite:///told.db", "one", tmp_path)
    assert run["status"] == "FINISHED"


@pytest.mark.extended
def test_mlflow_is_told_what_it_lacks_of_a_training_and_keeps_studies_of_one_name_apart(
    untold: Path,
) -> None:
    told(untold, "mlflow:sqlite:///told.db", created="earlier")
    for epochs in (1, 2):
        told(untold, "mlflow:sqlite:///told.db", epochs)
    runs = from_mlflow("sqlite:///told.db", "one", untold)
    assert len({run["tags"]["study"] for run in runs}) == len(runs) == 2
    for run in runs:
        assert_same({0: run["curves"]}, load_study(untold / "runs", "one"))


# Weights & Biases ---------------------------------------------------------------------------------


def records_of_wandb(path: Path) -> Iterator[Any]:
    """The records of an offline run: LevelDB's log format, as wandb's own reader is compiled."""
    messages = import_module("wandb.proto.wandb_internal_pb2")  # generated, so without types
    data, place, block, part = path.read_bytes(), 7, 32_768, b""
    while place + 7 <= len(data):
        if block - place % block < 7:  # no record begins so near to a block's end
            place += block - place % block
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = messages.Record()
            record.ParseFromString(part)
            yield record
            part = b""


def assert_in_wandb(folder: Path, study: StudyRecords) -> None:
    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    records = list(records_of_wandb(path))
    (begun,) = [record.run for record in records if record.HasField("run")]
    assert (begun.project, begun.run_group) == ("digits", "one")
    assert begun.run_id == f"{key('one', study.created)}-0"
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert (config["notation"], config["data"]) == (NETWORK, "digits")
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in MEASURED}
    for record in records:
        if record.HasField("history"):
            items = record.history.item
            told = {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in items}
            for name in MEASURED:
                curves[name].append((told["_step"], told[name]))
    assert_same({0: curves}, study)


@pytest.mark.extended
def test_an_offline_run_of_wandb_holds_every_epoch(tmp_path: Path) -> None:
    assert_in_wandb(tmp_path, trained(tmp_path, "wandb:digits", WANDB_MODE="offline"))


@pytest.mark.extended
def test_wandb_is_told_the_epochs_before_a_training_was_tracked(untold: Path) -> None:
    told(untold, "wandb:digits", WANDB_MODE="offline")
    assert_in_wandb(untold, load_study(untold / "runs", "one"))


# What fails ---------------------------------------------------------------------------------------


def warned(ran: Ran) -> str:
    assert ran.status == 0, ran.err
    (line,) = [line for line in ran.err.splitlines() if line.startswith("warning")]
    return line


def test_a_tracker_that_fails_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    """What its folder is to be in turns out to be a file."""
    (tmp_path / "logs").write_text("in the way")
    flags = ["--study", "one", "--max-epochs", "3", "--track", "tensorboard:logs/a", "--json"]
    ran = pennyweight("train", NETWORK, *flags, cwd=tmp_path)
    assert warned(ran).startswith("warning: --track tensorboard:logs/a ended (")
    assert warned(ran).endswith("); all else goes on, and is on record.")
    assert ran.json["epochs"] == 3


@pytest.mark.extended
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    track = ["--study", "one", "--max-epochs", "2", "--track", "mlflow:http://localhost:9"]
    quiet = pennyweight("train", NETWORK, *track, cwd=tmp_path)
    assert "--track mlflow:http://localhost:9 ended (" in warned(quiet)
    assert "did not answer" not in warned(quiet)
    assert "urllib3" not in quiet.err.replace(warned(quiet), "")


@pytest.mark.extended
def test_a_server_that_is_never_done_holds_a_training_up_for_half_a_minute_at_most(
    tmp_path: Path,
) -> None:
    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(120)

        do_POST = do_GET

    server = HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    track = f"mlflow:http://127.0.0.1:{server.server_port}"
    began = time.monotonic()
    ran = pennyweight("train", NETWORK, "--max-epochs", "2", "--track", track, cwd=tmp_path)
    assert time.monotonic() - began < 75
    assert "it did not answer for 30 s" in warned(ran)
    (study,) = (tmp_path / "runs").iterdir()
    assert load_study(tmp_path / "runs", study.name).wall_s < 30  # which is no time of training


@pytest.mark.parametrize(
    ("made", "command"),
    [
        (once_trained, ["train", NETWORK, "--study", "one", "--max-epochs", "2"]),
        (searched, ["search", *SMALL, "--trials", "3"]),
    ],
)
def test_a_finished_study_is_told_nowhere_and_says_so(
    tmp_path: Path, made: Callable[[], tuple[Path, Ran]], command: list[str]
) -> None:
    folder = copied(made()[0], tmp_path / "finished")
    ran = pennyweight(*command, "--track", "tensorboard:logs", cwd=folder)
    name = command[command.index("--study") + 1]
    assert f"{name} is finished: nothing is told to tensorboard:logs.\n" in ran.err
    assert not (folder / "logs").exists()


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("tensorbord:logs", "--track cannot be 'tensorbord:logs': did you mean tensorboard?"),
        ("mlflow", "--track mlflow: takes a tracking URI, such as --track mlflow:sqlite:"),
        ("tensorboard:file", "--track tensorboard: takes a folder, but file is a file."),
    ],
)
@pytest.mark.parametrize("command", [["train", NETWORK], ["search", *SMALL]])
def test_bad_input_gets_one_line_and_changes_nothing(
    tmp_path: Path, command: list[str], track: str, message: str
) -> None:
    (tmp_path / "file").write_text("")
    before = tree(tmp_path)
    assert message in said(pennyweight(*command, "--track", track, cwd=tmp_path))
    assert tree(tmp_path) == before


def test_what_is_not_installed_is_named_with_its_remedy() -> None:
    """In an interpreter that sees nothing but this package."""
    code = (
        "import sys; sys.modules['wandb'] = None\n"
        "from pennyweight.search.tracking import check_trackers\n"
        "check_trackers(['wandb:digits'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        "--track wandb: needs Weights & Biases: `pip install 'pennyweight[track]'`." in ran.stderr
    )


def test_nothing_heavy_is_imported_to_check_what_was_asked() -> None:
    code = (
        "import sys\n"
        "from pennyweight.search.tracking import check_trackers\n"
        "check_trackers(['tensorboard:a', 'mlflow:b', 'wandb:c'])\n"
        "print({'tensorboard', 'mlflow', 'wandb', 'jax', 'optuna'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()", os.fspath(sys.executable)


def test_what_a_trial_is_has_no_nesting() -> None:
    trial = {"notation": "A d10", "proposer": "user", "share": 1.0, "seed": 3, "cost": {"macs": 7}}
    told = about(trial | {"recipe": {"schedule": "step"}, "genome": {"depth": 2}}, "digits")
    assert (told["data"], told["macs"]) == ("digits", 7)
    assert (told["recipe.schedule"], told["genome.depth"]) == ("step", 2)
    with pytest.raises(UsageError, match="--track cannot be ''"):
        check_trackers([""])
