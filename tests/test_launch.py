"""A search from Python: launched, gone on with, refused, shown."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from searches import (
    CALL,
    REAL,
    TRIALS,
    check_whole,
    copied,
    real_study,
    start_search,
    story,
    told,
)
from test_executors import processes, until

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import read_records
from pennyweight.results.studies import load_study
from pennyweight.search import Found, search
from pennyweight.search.launch import Plan

BUDGET: dict[str, Any] = {
    "max_params": REAL.budget.max_params,
    "max_epochs": REAL.budget.max_epochs,
}


@pytest.fixture
def finished(tmp_path: Path) -> StudyFolder:
    """A copy of a finished study."""
    return copied(real_study(), tmp_path / "runs")


@pytest.fixture
def found(finished: StudyFolder) -> Found:
    return search("digits", **BUDGET, trials=TRIALS, study="real", runs=finished.path.parent)


def files(folder: Path) -> dict[str, bytes]:
    """Everything below `folder`."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def run_script(folder: Path, text: str, *, stdin: bool = False) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-" if stdin else "script.py"],
        input=text if stdin else None,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


# Launched.


def test_a_search_that_was_stopped_and_gone_on_with_is_the_search_that_was_not(
    tmp_path: Path,
) -> None:
    """By a deadline, then by the number of trials; from a script, quietly, by one worker."""
    call = CALL.format(trials="{trials}", more="workers=1, progress=False, runs='runs', {more}")
    steps = [
        "from pennyweight.search import search",
        "if __name__ == '__main__':",
        f"    print(len({call.format(trials=TRIALS, more='timeout_s=0.001')}.rows))",
        f"    print(len({call.format(trials=2, more='')}.rows))",
        f"    print(len({call.format(trials=TRIALS, more='')}.rows))",
        f"    print(len({call.format(trials=2, more='')}.rows))",
    ]
    finished = run_script(tmp_path, "\n".join(steps))
    assert (finished.stdout, finished.stderr) == (f"0\n2\n{TRIALS}\n{TRIALS}\n", "")
    folder = StudyFolder(tmp_path / "runs" / "real")
    check_whole(folder, TRIALS, REAL)
    mine, undisturbed = load_study(tmp_path / "runs", "real"), real_study()
    assert story(mine) == story(load_study(undisturbed.path.parent, "real"))
    assert len(mine.sessions) == 3, "the last call found nothing to do"


def test_a_program_from_standard_input_needs_no_main_guard(tmp_path: Path) -> None:
    call = CALL.format(trials=1, more="workers=1")
    text = f"from pennyweight.search import search\nprint(len({call}.rows))\n"
    finished = run_script(tmp_path, text, stdin=True)
    assert (finished.returncode, finished.stdout) == (0, "1\n"), finished.stderr
    assert "1/1 trial 0 " in finished.stderr.splitlines()[-1]  # as there is no terminal
    check_whole(StudyFolder(tmp_path / "runs" / "real"), 1, REAL)


def test_a_script_without_a_main_guard_is_told_so_in_one_line_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    call = CALL.format(trials=1, more="workers=2")
    finished = run_script(tmp_path, f"from pennyweight.search import search\n{call}\n")
    assert finished.returncode == 2, finished.stderr
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert str(tmp_path / "script.py") in line
    assert '`if __name__ == "__main__":`' in line
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


# Finished.


def test_a_finished_study_is_returned_at_once_without_starting_anything(
    finished: StudyFolder,
) -> None:
    before = files(finished.path)
    call = CALL.format(trials=TRIALS, more=f"runs={str(finished.path.parent)!r}")
    steps = [
        "import sys, time, multiprocessing",
        "from pennyweight.search import search",
        "began = time.monotonic()",  # without a guard: no worker imports this
        f"rows = {call}.rows",
        "heavy = {'jax', 'optuna', 'sklearn'} & sys.modules.keys()",
        "print(len(rows), heavy or 'light', time.monotonic() - began < 2)",
    ]
    ended = run_script(finished.path.parent.parent, "\n".join(steps))
    assert (ended.stdout, ended.stderr) == (f"{TRIALS} light True\n", "")
    assert files(finished.path) == before


def test_what_was_found_has_rows_the_best_first(found: Found) -> None:
    assert [row.rank for row in found.rows] == list(range(1, TRIALS + 1))
    assert found.best == found.rows[0]
    complete = [row for row in found.rows if row.state == "complete"]
    assert found.best.val_accuracy == max(row.val_accuracy or 0 for row in complete)
    assert {row.trial for row in found.rows} == set(found.study.trials)


def test_what_was_found_shows_itself_in_a_notebook_and_in_a_terminal(found: Found) -> None:
    shown = found._repr_mimebundle_()
    assert "<pre" in shown["text/html"]
    for text in shown.values():
        assert found.best.notation.split()[0] in text
    assert found._repr_mimebundle_(include=None, exclude=None).keys() == shown.keys()
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(found)
    assert all(row.fingerprint[:4] for row in found.rows)
    assert captured.get().count("\n") >= TRIALS


def test_the_best_is_exported_and_checked(found: Found, tmp_path: Path) -> None:
    exported = found.export(tmp_path / "bundle", forms=["numpy"])
    assert exported.folder == tmp_path / "bundle"
    assert [told["same_class"] for told in exported.forms.values()] == [288, 288]
    assert (tmp_path / "bundle" / "model_numpy.py").exists()
    with pytest.raises(UsageError, match="bundle"):
        found.export(tmp_path / "bundle")


def test_a_search_that_found_nothing_yet_has_no_best(tmp_path: Path) -> None:
    call = CALL.format(trials=1, more="workers=1, timeout_s=0.001")
    steps = [
        "from pennyweight.search import UsageError, search",
        f"found = {call}",
        "assert found.rows == []",
        "assert 'text/plain' in found._repr_mimebundle_()",
        "try: found.best",
        "except UsageError as error: print(error)",
    ]
    ended = run_script(tmp_path, "\n".join(steps), stdin=True)
    assert ended.stdout.startswith("Study real has no trial yet"), ended.stderr
    assert len(ended.stdout.splitlines()) == 1


# Held by another.


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A search that has begun, in the folder `runs`."""
    process = start_search(tmp_path, workers=1)
    assert until((tmp_path / "runs" / "real" / "holder.json").exists, 60)
    yield process
    process.kill()
    process.communicate()
    assert until(lambda: not processes(process.pid), 5)


def test_a_second_coordinator_is_refused_and_told_who_holds_the_study(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        search("digits", **BUDGET, trials=TRIALS, study="real", runs=tmp_path / "runs", workers=1)
    assert f"process {running.pid} on " in str(caught.value)
    assert running.poll() is None
    until(lambda: len(read_records(tmp_path / "runs" / "real" / "records.jsonl")) > 2, 20)
    kinds = [r["kind"] for r in read_records(tmp_path / "runs" / "real" / "records.jsonl")]
    assert kinds.count("study") == kinds.count("session") == 1


# Refused: one line, and nothing written.


def test_a_study_with_other_settings_is_refused_and_shows_the_differences(
    finished: StudyFolder,
) -> None:
    before = files(finished.path)
    with pytest.raises(UsageError) as caught:
        search(
            "digits",
            max_params=61,
            max_epochs=REAL.budget.max_epochs,
            max_macs=10**6,
            seed=1,
            precision="bfloat16",
            study="real",
            runs=finished.path.parent,
        )
    assert str(caught.value) == (
        "Study real exists with other settings (max_macs is unlimited there and 1000000 here; "
        "max_params is 60 there and 61 here; precision is float32 there and bfloat16 here; "
        "seed is 0 there and 1 here): repeat those, or choose another --study."
    )
    assert files(finished.path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "digitz"}, "did you mean digits"),
        ({"data": ""}, "data"),
        ({"data": "csv:train.csv"}, "csv: takes a file"),
        ({"max_params": 39}, "--max-params must be at least 40 for 8x8x1 images and 10 classes"),
        ({"max_params": 0}, "--max-params must be at least 1, but got 0"),
        ({"max_epochs": 0}, "--max-epochs must be at least 1"),
        ({"max_macs": 10}, r"--max-macs must be at least 82 .*\(the smallest network in the"),
        ({"max_activation_bytes": 271}, "--max-activation-bytes must be at least 272 for"),
        ({"trials": 0}, "--trials must be at least 1, but got 0"),
        ({"timeout_s": 0}, "--timeout must be above 0"),
        ({"timeout_s": -1.5}, "--timeout must be above 0"),
        ({"timeout_s": float("nan")}, "--timeout must be"),
        ({"workers": 0}, "--workers must be at least 1, but got 0"),
        ({"sampler": "annealing"}, "--sampler cannot be 'annealing'"),
        ({"precision": "bf16"}, "--precision cannot be 'bf16': did you mean bfloat16"),
        ({"study": "a/b"}, "--study must be letters"),
        ({"study": ".."}, "--study must be letters"),
        ({"study": "pretrained"}, "not `pretrained`"),
        ({"seed": -1}, "--seed must be from 0"),
        # What no flag could be.
        ({"max_params": 60.5}, "--max-params must be"),
        ({"max_params": "8k"}, "--max-params must be"),
        ({"trials": 2.5}, "--trials must be"),
        ({"workers": 1.5}, "--workers must be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    with pytest.raises(UsageError, match=message) as caught:
        search(**{"workers": 1, "trials": 1, **options})
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(
        UsageError, match=r"The study's folder .* cannot be written \(Not a directory\)"
    ):
        search("digits", **BUDGET, trials=1, workers=1, runs=tmp_path / "runs")
    assert files(tmp_path) == {"runs": b"a file"}


@pytest.mark.parametrize("left", [b"", b'{"kind":"study","vers'])
def test_a_study_that_was_killed_before_its_first_record_can_be_launched_again(
    left: bytes, tmp_path: Path
) -> None:
    folder = StudyFolder(tmp_path / "runs" / "real")
    folder.path.mkdir(parents=True)
    folder.records.write_bytes(left)
    options: dict[str, Any] = {"trials": 1, "study": "real", "runs": tmp_path / "runs"}
    found = search("digits", **BUDGET, **options, workers=1, timeout_s=0.001, progress=False)
    assert found.rows == []
    assert [r["kind"] for r in read_records(folder.records)][:2] == ["study", "session"]


def test_damaged_records_are_refused_and_left_as_they_are(finished: StudyFolder) -> None:
    whole = finished.records.read_bytes()
    finished.records.write_bytes(whole.replace(b'"seed":0', b'"seed":9', 1))
    before = files(finished.path)
    with pytest.raises(UsageError, match=r"records.jsonl:\d+: this line is damaged"):
        search("digits", **BUDGET, trials=TRIALS + 1, study="real", runs=finished.path.parent)
    assert files(finished.path) == before


def test_a_damaged_database_is_refused_and_nothing_is_recorded(finished: StudyFolder) -> None:
    (finished.path / "study.db").write_bytes(b"damaged" * 1000)
    before = files(finished.path)
    with pytest.raises(UsageError, match=r"study\.db is no readable Optuna study"):
        search(
            "digits",
            **BUDGET,
            trials=TRIALS + 1,
            study="real",
            runs=finished.path.parent,
            workers=1,
        )
    assert files(finished.path) == before


def test_the_last_trial_of_a_killed_search_is_told_though_all_trials_have_ended(
    finished: StudyFolder,
) -> None:
    """Killed between the last record and telling Optuna of it: the mark of its holder is left."""
    database = sqlite3.connect(finished.path / "study.db")
    database.execute("UPDATE trials SET state = 'RUNNING' WHERE number = ?", (TRIALS - 1,))
    database.commit()
    database.close()
    assert told(finished, REAL)[-1].state.name == "RUNNING"
    finished.holder.write_text('{"pid": 1, "host": "gone", "since": "yesterday"}')
    search(
        "digits",
        **BUDGET,
        trials=TRIALS,
        study="real",
        runs=finished.path.parent,
        workers=1,
        progress=False,
    )
    check_whole(finished, TRIALS, REAL)
    assert not finished.holder.exists()


def test_a_study_under_a_strange_folder_name_stays_in_it(tmp_path: Path) -> None:
    runs = tmp_path / "50% of what? #1"
    shutil.copytree(real_study().path, runs / "real")
    options: dict[str, Any] = {"study": "real", "runs": runs, "workers": 1, "progress": False}
    found = search("digits", **BUDGET, trials=TRIALS + 1, timeout_s=0.001, **options)
    assert len(found.rows) == TRIALS
    assert os.listdir(tmp_path) == [runs.name]


def test_a_standby_goes_on_with_the_groups_that_were_begun_while_it_waited(tmp_path: Path) -> None:
    place: dict[str, Any] = {"study": "real", "trials": TRIALS, "runs": tmp_path / "runs"}
    plan = Plan(settings=replace(REAL, group=32), **place)
    asked = Plan(settings=replace(REAL, group=32), group=32, **place)
    assert plan.settled(plan.recorded).group == 32, "there is no study yet"
    copied(real_study(), tmp_path / "runs")
    assert plan.settled(plan.recorded).group == 8
    assert (
        plan.settled(plan.recorded).differences(load_study(tmp_path / "runs", "real").settings)
        == []
    )
    assert asked.settled(asked.recorded).group == 32, "that is for the user to change"
