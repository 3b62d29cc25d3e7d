"""A study read back from its folder."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.results.record_form import COSTS
from pennyweight.results.records import RecordFile
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import CurvePoint

STUDY: dict[str, Any] = {
    "kind": "study",
    "study": "small",
    "settings": {
        "data": "digits",
        "budget": {"max_params": 8000, "max_epochs": 15, "max_macs": None},
        "seed": 0,
    },
    "data_fingerprint": "0123456789abcdef",
    "versions": {"jax": "0.10.2"},
    "command": "pennyweight search",
    "created": "2026-01-01T00:00:00Z",
}
SESSION = {"kind": "session", "started": "2026-01-01", "workers": 2, "versions": {}, "pid": 7}


def trial(number: int) -> dict[str, Any]:
    return {
        "kind": "trial",
        "trial": number,
        "proposer": "tpe",
        "share": 0.5,
        "genome": {"depth": 0.3},
        "architecture": {"layers": []},
        "notation": "c8 gap",
        "fingerprint": "00ff",
        "recipe": {"batch_size": 64},
        "seed": number,
        "cost": dict.fromkeys(COSTS, 100),
    }


def rung(
    number: int, *epochs: int, correct: int | None = 90, train_s: float = 1.0
) -> dict[str, Any]:
    point = {"train_loss": 0.5, "val_accuracy": 0.9, "val_log_loss": float("nan")}
    return {
        "kind": "rung",
        "trial": number,
        "epoch": epochs[-1],
        "curve": [{"epoch": epoch, **point} for epoch in epochs],
        "val_correct": correct,
        "val_total": 100,
        "seconds": {"train": train_s, "compile": 0.25},
        "worker": 0,
    }


def end(number: int, state: str, reason: str | None = None) -> dict[str, Any]:
    return {"kind": "end", "trial": number, "state": state, "reason": reason}


def ledger(wait_s: float) -> dict[str, Any]:
    return {"kind": "ledger", "seconds": {"ask": 0.5, "wait": wait_s}, "wall_s": wait_s + 1}


def write(runs: Path, *records: dict[str, Any], name: str = "small") -> Path:
    path = runs / name / "records.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordFile.open(path) as file:
        for record in records:
            file.append(**record)
    return path


def test_a_trial_is_as_far_as_its_last_rung_and_ran_the_seconds_of_all(tmp_path: Path) -> None:
    write(tmp_path, STUDY, SESSION, trial(0), rung(0, 1, correct=80), rung(0, 2, 3, correct=95))
    study = load_study(tmp_path, "small")
    loaded = study.trials[0]
    assert (study.study, study.data, study.budget["max_params"]) == ("small", "digits", 8000)
    assert (loaded.state, loaded.reason, loaded.cost["params"]) == ("running", None, 100)
    assert (loaded.epochs, loaded.val_accuracy, loaded.val_log_loss) == (3, 0.95, None)
    assert loaded.curve == tuple(CurvePoint(epoch, 0.5, 0.9, None) for epoch in (1, 2, 3))
    assert loaded.seconds_by_kind == {"train": 2.0, "compile": 0.5}


def test_a_trial_without_a_rung_has_no_accuracy(tmp_path: Path) -> None:
    write(tmp_path, STUDY, trial(0), end(0, "duplicate", "as trial 3"), trial(1))
    write(tmp_path, rung(1, 1, correct=None), end(1, "diverged"))
    duplicate, diverged = load_study(tmp_path, "small").trials.values()
    assert (duplicate.state, duplicate.reason, duplicate.epochs) == ("duplicate", "as trial 3", 0)
    assert (duplicate.val_accuracy, duplicate.val_log_loss, duplicate.curve) == (None, None, ())
    assert (diverged.state, diverged.epochs, diverged.val_accuracy) == ("diverged", 1, None)


def test_what_is_recorded_twice_counts_once_as_first_recorded(tmp_path: Path) -> None:
    once = [STUDY, trial(0), rung(0, 1, correct=80), rung(0, 2, correct=90), end(0, "pruned")]
    again = [trial(0) | {"seed": 9}, rung(0, 2, correct=10, train_s=100.0), end(0, "complete")]
    write(tmp_path, *once)
    before = load_study(tmp_path, "small")
    write(tmp_path, *again)
    assert load_study(tmp_path, "small") == before


def test_what_belongs_to_a_trial_whose_line_was_deleted_does_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, STUDY, trial(0), trial(1), rung(0, 1), rung(1, 1), end(0, "complete"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    study = load_study(tmp_path, "small")
    assert study.trials.keys() == {1}
    assert study.counts["running"] == 1
    assert study.counts["complete"] == 0


def test_the_seconds_of_sessions_and_trials_add_up(tmp_path: Path) -> None:
    write(tmp_path, STUDY, SESSION, trial(0), rung(0, 1), ledger(10))
    write(tmp_path, SESSION, trial(1), rung(1, 1, train_s=4.0), ledger(20), ledger(5))
    study = load_study(tmp_path, "small")
    assert len(study.sessions) == 2
    assert study.wall_s == 38
    assert list(study.coordinator_seconds.items()) == [("wait", 35), ("ask", 1.5)]
    assert list(study.worker_seconds.items()) == [("train", 5.0), ("compile", 0.5)]


def test_a_study_that_does_not_exist_is_reported_with_close_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no study 'small' in .*: there is none yet\."):
        load_study(tmp_path / "none", "small")
    write(tmp_path, STUDY)
    (tmp_path / "smell").mkdir()  # a folder without records is no study
    for name in ("smal", "runs/small", "../small"):
        with pytest.raises(UsageError, match=f"no study '{name}' in .*: did you mean small"):
            load_study(tmp_path, name)


def test_records_that_do_not_begin_with_their_study_are_reported(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(UsageError, match=r"records\.jsonl must .*is empty.*launch it again"):
        load_study(tmp_path, "small")
    path.write_bytes(b'{"kind":"study","ver')  # killed in the first line
    with pytest.raises(UsageError, match="is empty"):
        load_study(tmp_path, "small")
    write(tmp_path, SESSION, STUDY)
    with pytest.raises(UsageError, match=r"jsonl:1: the first record .* of a session"):
        load_study(tmp_path, "small")


def test_records_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "small" / "records.jsonl").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"records\.jsonl must be readable, but: Is a directory"):
        load_study(tmp_path, "small")


def test_showing_a_study_imports_nothing_outside_the_standard_library() -> None:
    code = (
        "import sys; before = {*sys.modules}; "
        "from pennyweight.results import leaderboard, studies, tables, terminal; "
        "new = {name.split('.')[0] for name in {*sys.modules} - before}; "
        "print(*sorted(new - {*sys.stdlib_module_names}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["pennyweight"]


def test_how_many_trained_side_by_side_is_known_for_each_device(tmp_path: Path) -> None:
    measured = [
        {"kind": "lanes", "device": f"{n} x T", "lanes": 4 * n, "pictures_per_s": {"4": 1e5}}
        for n in (1, 8)
    ]
    write(tmp_path, STUDY, *measured)
    lanes = load_study(tmp_path, "small").lanes
    assert [(each["device"], each["lanes"]) for each in lanes] == [("1 x T", 4), ("8 x T", 32)]
    write(tmp_path, STUDY, name="none")
    assert load_study(tmp_path, "none").lanes == ()
