"""The command line as a user types it: what it prints, where, and with which exit status."""

import csv
import io
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from command_line import (
    NETWORK,
    SCRIPT,
    SMALL,
    copied,
    pennyweight,
    searched,
    start,
    trained,
    tree,
)
from PIL import Image

from pennyweight.arch.notation import parse
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import read_records
from pennyweight.results.studies import load_study
from pennyweight.train.data import load_training_set
from pennyweight.train.door import readings
from pennyweight.train.recipe import Recipe

WITH_SCRIPT = f"{SCRIPT.parent}:{os.environ['PATH']}"
HEAVY = {
    *("jax", "flax", "optax", "optuna", "sklearn", "tensorflow_datasets", "torch"),
    *("plotly", "jinja2", "matplotlib"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the finished search `small` and the training `one`."""
    folder = copied(searched()[0], tmp_path_factory.mktemp("cli") / "work")
    copied(trained()[0] / "runs" / "one", folder / "runs" / "one")
    return folder


def leaderboard(folder: Path, *flags: str) -> list[dict[str, Any]]:
    ran = pennyweight("leaderboard", "small", "--json", *flags, cwd=folder)
    assert (ran.status, ran.err) == (0, "")
    return ran.json["rows"]


# Quickly


def seconds(*arguments: str, cwd: Path) -> float:
    """The median of five, of the processor: on a machine that is idle, the clock's are the same."""
    taken: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert pennyweight(*arguments, cwd=cwd).status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(taken)


def test_help_and_a_leaderboard_take_less_than_a_second(folder: Path) -> None:
    assert seconds("--help", cwd=folder) < 1
    assert seconds("leaderboard", "small", cwd=folder) < 1


def test_a_leaderboard_of_two_thousand_trials_takes_less_than_a_second(
    folder: Path, tmp_path: Path
) -> None:
    first, *rest = read_records(folder / "runs" / "small" / "records.jsonl")
    of_one = [record for record in rest if record.get("trial") == 0]
    assert [record["kind"] for record in of_one] == ["trial", "rung", "end"]
    records = [first, *(record | {"trial": n} for n in range(2_000) for record in of_one)]
    (tmp_path / "runs" / "large").mkdir(parents=True)
    with (tmp_path / "runs" / "large" / "records.jsonl").open("wb") as file:
        file.writelines(map(sealed, records))  # by hand: the writer's pains take minutes
    assert seconds("leaderboard", "large", cwd=tmp_path) < 1
    rows = pennyweight("leaderboard", "large", "--json", cwd=tmp_path).json["rows"]
    assert len(rows) == 2_000


def sealed(record: dict[str, Any]) -> bytes:
    content = json.dumps({**record, "crc": None}, separators=(",", ":"))
    content = content.replace(',"crc":null', "")
    return f'{content[:-1]},"crc":"{zlib.crc32(content.encode()):08x}"}}\n'.encode()


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "search --help",
        "report --help",
        "dashboard --help",
        "leaderboard small",
        "leaderboard small --json",
        "inspect",
    ],
)
def test_what_must_be_quick_imports_nothing_heavy(folder: Path, arguments: str) -> None:
    program = (
        "import sys\n"
        "from pennyweight.search.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert HEAVY & set(ran.stderr.splitlines()[-1].split()) == set()


# Help


@pytest.mark.parametrize(
    "command",
    [
        "",
        "search",
        "leaderboard",
        "report",
        "dashboard",
        "export",
        "fetch",
        "draw",
        "evaluate",
        "predict",
        "inspect",
        "train",
        "data",
        "data list",
        "data show",
    ],
)
def test_every_command_has_help_that_fits_80_columns(tmp_path: Path, command: str) -> None:
    ran = pennyweight(*command.split(), "--help", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: pennyweight {command}".rstrip())
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "--empty" not in ran.out
    assert "--no-" not in ran.out


def test_the_version_is_the_installed_one(tmp_path: Path) -> None:
    ran = pennyweight("--version", cwd=tmp_path)
    assert ran == (0, f"pennyweight {version('pennyweight')}\n", "")


# Leaderboard

ROW = {
    "rank": int, "trial": int, "notation": str, "fingerprint": str, "params": int,
    "deployed_params": int, "macs": int, "epochs": int, "val_accuracy": float, "val_low": float,
    "val_high": float, "pareto": bool, "state": str,
}  # fmt: skip


def test_a_leaderboard_as_json_has_what_programs_count_on(folder: Path) -> None:
    ran = pennyweight("leaderboard", "small", "--json", cwd=folder)
    assert ran.json["study"] == "small"
    assert len(ran.json["rows"]) == 3
    for rank, row in enumerate(ran.json["rows"], 1):
        assert {key: type(row[key]) for key in ROW} == ROW
        assert row["rank"] == rank
        assert row["state"] == "complete"
        assert row["epochs"] == 1
        assert row["params"] <= 60
        assert 0 <= row["val_low"] <= row["val_accuracy"] <= row["val_high"] <= 1
        assert parse(row["notation"], (8, 8, 1), 10).fingerprint == row["fingerprint"]
    assert {row["trial"] for row in ran.json["rows"]} == {0, 1, 2}


def test_a_leaderboard_of_a_running_study_has_a_row_for_what_is_not_known_yet(
    folder: Path, tmp_path: Path
) -> None:
    copied(folder / "runs" / "small", tmp_path / "runs" / "small")
    path = tmp_path / "runs" / "small" / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    ends = {b'"kind":"rung","trial":2', b'"kind":"end","trial":2'}
    path.write_bytes(b"".join(line for line in lines if not any(end in line for end in ends)))
    rows = leaderboard(tmp_path)
    (running,) = [row for row in rows if row["state"] == "running"]
    assert (running["trial"], running["rank"], running["epochs"]) == (2, 3, 0)
    unknown = ("val_accuracy", "val_low", "val_high", "val_log_loss")
    assert [running[name] for name in unknown] == [None] * 4
    assert " 0 running" in pennyweight("leaderboard", "small", cwd=tmp_path).out


def test_rows_are_sorted_cut_and_picked(folder: Path) -> None:
    rows = leaderboard(folder)
    assert leaderboard(folder, "--top", "2") == rows[:2]
    assert leaderboard(folder, "--pareto") == [row for row in rows if row["pareto"]]
    by_trial = leaderboard(folder, "--sort", "trial")
    assert [row["trial"] for row in by_trial] == [0, 1, 2]
    by_params = leaderboard(folder, "--sort", "params")
    assert by_params == sorted(rows, key=lambda row: row["params"])


def test_csv_and_markdown_hold_every_row(folder: Path) -> None:
    rows = leaderboard(folder)
    table = list(csv.DictReader(io.StringIO(printed(folder, "--csv"))))
    assert [row["fingerprint"] for row in table] == [row["fingerprint"] for row in rows]
    assert [float(row["val_accuracy"]) for row in table] == [r["val_accuracy"] for r in rows]
    assert set(table[0]) == set(rows[0])
    lines = printed(folder, "--markdown").splitlines()
    assert len(lines) == 2 + len(rows)
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)


def printed(folder: Path, *flags: str, **environment: Any) -> str:
    ran = pennyweight("leaderboard", "small", *flags, cwd=folder, **environment)
    assert (ran.status, ran.err) == (0, "")
    return ran.out


def test_a_leaderboard_fits_80_columns(folder: Path) -> None:
    shown = printed(folder)
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.startswith("small on digits · params ≤ 60 · epochs ≤ 1")
    assert "3 trials: 3 complete" in shown
    assert "the test set has not been read" in shown


# Where the output goes


def test_a_terminal_that_knows_ascii_alone_gets_ascii(folder: Path) -> None:
    plain = {"PYTHONIOENCODING": "", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    for environment in ({"PYTHONIOENCODING": "ascii"}, plain):
        shown = printed(folder, **environment)
        assert shown.isascii()
        assert shown.startswith("small on digits - params <= 60 - epochs <= 1")
        assert re.search(r"^\|\* +1", shown, re.MULTILINE)
        assert "?" not in shown
        assert "| * |" in printed(folder, "--markdown", **environment)


@pytest.mark.parametrize("flags", [(), ("--json",), ("--csv",), ("--help",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_is_no_error(
    folder: Path, flags: tuple[str, ...], unbuffered: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        ran = subprocess.run(
            [SCRIPT, "leaderboard", "small", *flags],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("flags", ["", "--json", "--csv", "--help"])
def test_a_closed_output_is_no_error(folder: Path, flags: str) -> None:
    command = f'"{SCRIPT}" leaderboard small {flags} >&-'
    ran = subprocess.run(["/bin/sh", "-c", command], cwd=folder, stderr=subprocess.PIPE)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_full_disk_is_one_line_and_exit_status_1(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [SCRIPT, "leaderboard", "small"], cwd=folder, stdout=full, stderr=subprocess.PIPE
        )
    assert (ran.returncode, ran.stderr) == (1, b"pennyweight: No space left on device.\n")


# Inspect and data


def test_inspect_as_json_has_what_programs_count_on(tmp_path: Path) -> None:
    ran = pennyweight("inspect", "zoo:budget-4", "--json", cwd=tmp_path)
    document = ran.json
    assert document["params"] == 7_074
    assert sum(layer["params"] for layer in document["layers"]) == 7_074
    wanted = {"notation": str, "fingerprint": str, "params": int, "deployed_params": int}
    wanted |= {"macs": int, "peak_activation_bytes": int, "receptive_field": int, "layers": list}
    assert {key: type(document[key]) for key in wanted} == wanted


def test_inspect_reads_notations_for_the_data_a_shape_or_a_file(tmp_path: Path) -> None:
    shape = ("--input", "28x28x1", "--classes", "7")
    mine = pennyweight("inspect", "c4 A d7", *shape, "--json", cwd=tmp_path).json
    assert (mine["input_shape"], mine["classes"]) == ([28, 28, 1], 7)
    architecture = parse(NETWORK, (8, 8, 1), 10)
    (tmp_path / "one.json").write_text(json.dumps(architecture.to_json()))
    from_file = pennyweight("inspect", "one.json", cwd=tmp_path)
    assert from_file == pennyweight("inspect", NETWORK, cwd=tmp_path)
    assert f"fingerprint {architecture.fingerprint}" in from_file.out


def test_inspect_without_a_network_shows_the_zoo(tmp_path: Path) -> None:
    shown = " ".join(pennyweight("inspect", cwd=tmp_path).out.split())
    assert re.search(r"zoo:budget-4 7,074 [^:]*99\.46% on test", shown)
    zoo = pennyweight("inspect", "--json", cwd=tmp_path).json["zoo"]
    assert {"budget-4", "mlp-128", "m3"} <= {network["name"] for network in zoo}
    assert all(network["source"] and network["reported"] for network in zoo)


def test_data_are_listed_and_shown(tmp_path: Path) -> None:
    listed = pennyweight("data", "list", "--json", cwd=tmp_path, TFDS_DATA_DIR=tmp_path)
    assert [entry["name"] for entry in listed.json["data"]] == ["digits"]
    shown = pennyweight("data", "show", "digits", "--json", cwd=tmp_path)
    assert sum(row["train"] for row in shown.json["classes"]) == 1_149
    text = pennyweight("data", "show", "digits", cwd=tmp_path)
    assert (text.status, text.err) == (0, "")
    assert text.out.startswith("digits: 8x8x1 pictures, 360 more for testing")
    assert not list(tmp_path.iterdir())


# Search


def test_a_search_prints_one_json_document_and_its_progress_elsewhere() -> None:
    made, ran = searched()
    assert [row["rank"] for row in ran.json["rows"]] == [1, 2, 3]
    assert ran.json == pennyweight("leaderboard", "small", "--json", cwd=made).json
    lines = [line for line in ran.err.splitlines() if " trial " in line]
    assert re.fullmatch(r" +\d+s +3/3 trial \d+ +complete .*", lines[-1])
    assert "\x1b" not in ran.err


def test_a_finished_search_exits_0_and_adds_nothing(folder: Path) -> None:
    before = tree(folder)
    ran = pennyweight("search", *SMALL, "--trials", "3", cwd=folder, PATH=WITH_SCRIPT)
    assert (ran.status, ran.err) == (0, "")
    assert tree(folder) == before
    assert ran.out.endswith("Next:\n  pennyweight leaderboard small\n  pennyweight export small\n")


@pytest.mark.parametrize("path", [WITH_SCRIPT, "/usr/bin:/bin"], ids=["on the path", "elsewhere"])
def test_the_next_command_can_be_pasted(folder: Path, tmp_path: Path, path: str) -> None:
    copied(folder / "runs" / "small", tmp_path / "my runs" / "small")
    flags = ("--trials", "1", "--runs", "my runs")
    ran = pennyweight("search", *SMALL, *flags, cwd=tmp_path, PATH=path)
    command = ran.out.splitlines()[-2]
    pasted = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
    )
    assert (pasted.returncode, pasted.stderr) == (0, b"")


def test_a_search_out_of_time_says_how_to_go_on(tmp_path: Path) -> None:
    ran = pennyweight("search", *SMALL, "--timeout", "0.001s", cwd=tmp_path, PATH=WITH_SCRIPT)
    assert ran.status == 0, ran.err
    assert "0 trials: none asked yet" in ran.out
    assert ran.out.endswith(
        "Stopped after 0 of 30 trials: the same command goes on from here.\n"
        "Next:\n  pennyweight leaderboard small\n"  # nothing to export yet
    )


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    text = pennyweight("search", "--max-params", "500", "--dry-run", cwd=tmp_path)
    assert (text.status, text.err) == (0, "")
    assert text.out.startswith("smallest ")
    flags = ("--max-params", "500", "--trials", "7", "--dry-run", "--json")
    document = pennyweight("search", *flags, cwd=tmp_path).json
    assert document["largest"]["params"] <= 500
    assert document["trials"] == 7
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
)
def test_an_interrupted_search_says_so_and_goes_on(
    kind: signal.Signals, status: int, word: str, tmp_path: Path
) -> None:
    """Ctrl-C and Slurm's SIGTERM reach every process: nobody else may have a say."""
    process = start("search", *SMALL, "--trials", "500", cwd=tmp_path)
    records = StudyFolder(tmp_path / "runs" / "small").records
    while not (records.exists() and b'{"kind":"end"' in records.read_bytes()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, kind)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert err.splitlines()[-1] == f"pennyweight: {word}; the same command goes on from here."
    assert "Traceback" not in err
    before = load_study(tmp_path / "runs", "small").trials
    trials = str(len(before) + 1)
    ran = pennyweight("search", *SMALL, "--trials", trials, "--json", cwd=tmp_path)
    assert ran.status == 0, ran.err
    after = load_study(tmp_path / "runs", "small").trials
    assert list(after) == list(range(len(before) + 1))
    assert all(after[n] == trial for n, trial in before.items() if trial.state != "running")
    assert {row["state"] for row in ran.json["rows"]} <= {"complete", "pruned", "duplicate"}


# Train


def test_a_training_prints_one_json_document_and_its_progress_elsewhere() -> None:
    made, ran = trained()
    row = ran.json
    assert (row["study"], row["state"], row["epochs"]) == ("one", "complete", 2)
    assert row["notation"] == NETWORK
    assert row["test_total"] == 360
    assert row["test_accuracy"] == pytest.approx(round(row["test_accuracy"] * 360) / 360)
    assert " 2/2 epochs  accuracy" in ran.err.splitlines()[-1]
    assert load_study(made / "runs", "one").command[:2] == ["pennyweight", "train"]


def test_each_reading_of_the_test_set_is_written_down_and_gives_the_same(
    folder: Path, tmp_path: Path
) -> None:
    copied(folder / "runs" / "one", tmp_path / "runs" / "one")
    command = ["train", NETWORK, "--study", "one", "--max-epochs", "2"]
    without = pennyweight(*command, cwd=tmp_path)
    assert "test accuracy" not in without.out
    assert "the test set has been read 1 time." in " ".join(without.out.split())
    ledger = StudyFolder(tmp_path / "runs" / "one").readings
    assert [reading["purpose"] for reading in readings(ledger)] == ["evaluate"]
    again = pennyweight(*command, "--test", cwd=tmp_path)
    accuracy = trained()[1].json["test_accuracy"]
    assert f"test accuracy {accuracy:.2%} ({round(accuracy * 360)} of 360)" in again.out
    assert [reading["purpose"] for reading in readings(ledger)] == ["evaluate", "verify"]
    assert StudyFolder(tmp_path / "runs" / "one").count_readings() == 1


def test_a_record_is_trained_with_its_recipe_and_its_seed(tmp_path: Path) -> None:
    recipe = Recipe(peak_learning_rate=0.02, rotation=0.0)
    architecture = parse(NETWORK, (8, 8, 1), 10)
    record = {"architecture": architecture.to_json(), "recipe": recipe.to_json(), "seed": 5}
    (tmp_path / "record.json").write_text(json.dumps(record))
    (tmp_path / "recipe.json").write_text('{"weight_decay": 0.5}')
    own = pennyweight("train", "record.json", "--max-epochs", "1", "--json", cwd=tmp_path).json
    assert (own["study"], own["seed"]) == (f"train-{architecture.fingerprint}-5", 5)
    assert load_study(tmp_path / "runs", own["study"]).trials[0].recipe == recipe.to_json()
    flags = ("--max-epochs", "1", "--seed", "0", "--recipe", "recipe.json", "--json")
    mine = pennyweight("train", "record.json", *flags, cwd=tmp_path).json
    assert mine["seed"] == 0
    wanted = replace(recipe, weight_decay=0.5).to_json()
    assert load_study(tmp_path / "runs", mine["study"]).trials[0].recipe == wanted


def test_the_same_training_gives_the_same_numbers(tmp_path: Path) -> None:
    flags = ("--study", "one", "--max-epochs", "2", "--json")
    again = pennyweight("train", NETWORK, *flags, cwd=tmp_path).json
    first = trained()[1].json
    apart = {"seconds": 0, "command": []}
    assert again | apart == {key: first[key] for key in again} | apart


# Export


def test_an_exported_search_classifies_a_picture(folder: Path, tmp_path: Path) -> None:
    copied(folder / "runs" / "small", tmp_path / "runs" / "small")
    best = leaderboard(tmp_path)[0]
    ran = pennyweight("export", "small", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"runs/small/export: trial {best['trial']}, {best['notation']}, ")
    assert re.search(r"^ python +[\d,]+ +288/288 +\de-\d\d ", ran.out, re.MULTILINE)
    assert "Each form was run on 288 validation pictures." in ran.out
    command = ran.out.splitlines()[-1].split()
    assert command == ["python", "runs/small/export/model.py", "PICTURE.png"]
    digits = load_training_set("digits")
    Image.fromarray(digits.images[0, :, :, 0]).save(tmp_path / "digit.png")
    told = subprocess.run(
        [sys.executable, command[1], "digit.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    shares = [float(line.split("%")[0]) for line in told.stdout.splitlines()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.1)
    assert sorted(line.split()[1] for line in told.stdout.splitlines()) == list("0123456789")


def test_a_study_in_a_renamed_folder_is_shown_and_exported(folder: Path, tmp_path: Path) -> None:
    copied(folder / "runs" / "one", tmp_path / "runs" / "renamed")
    shown = pennyweight("leaderboard", "renamed", cwd=tmp_path)
    assert "the test set has been read" in " ".join(shown.out.split())
    command = ("export", "renamed:0", "--json")
    document = pennyweight(*command, cwd=tmp_path).json
    assert document["folder"] == "runs/renamed/export-0"
    assert (document["trial"], document["notation"], document["params"]) == (0, NETWORK, 86)
    assert document["checked_on"] == "validation"
    assert list(document["forms"]) == ["python"]
    proof = document["forms"]["python"]
    assert proof["pictures"] == proof["same_class"] == 288
    assert proof["largest_difference"] <= 1e-4
    assert {path.name for path in (tmp_path / document["folder"]).iterdir()} == {
        *("architecture.json", "weights.safetensors", "manifest.json", "model.py"),
        "probe.npz",
    }
    verified = pennyweight("export", "--verify", document["folder"], "--json", cwd=tmp_path).json
    assert verified["files"] == 5
    assert verified["forms"]["python"]["same_class"] == 256
    again = pennyweight(*command, cwd=tmp_path)
    assert (again.status, again.out) == (2, "")
    assert "holds a bundle: name another, or replace it with --force" in again.err
