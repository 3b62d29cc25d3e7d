"""The leaderboard as JSON, CSV, Markdown and in a terminal."""

import csv
import io
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from rich.console import Console

from pennyweight.results.leaderboard import Row
from pennyweight.results.study_records import Rung, StudyRecords, TrialRecord
from pennyweight.results.tables import as_csv, as_json, as_markdown
from pennyweight.results.terminal import as_table

BEST = Row(
    rank=1,
    trial=17,
    notation="c8[v] c16|c16 " + "c24 " * 20 + "gap",
    fingerprint="00ff",
    params=7_835,
    deployed_params=7_600,
    macs=1_849_060,
    peak_activation_bytes=50_000,
    weight_bytes=31_340,
    receptive_field=28,
    epochs=15,
    val_accuracy=0.9931,
    val_low=0.982,
    val_high=0.9971,
    val_log_loss=0.031,
    pareto=True,
    state="complete",
    reason=None,
    share=1.0,
    seed=3,
    proposer="tpe",
    seconds=20.5,
)
PRUNED = replace(BEST, rank=2, trial=4, macs=84_600, epochs=5, pareto=False, state="pruned")
FAILED = replace(
    PRUNED, rank=3, trial=9, epochs=0, state="failed", reason="out of\nmemory", macs=950,
    val_accuracy=None, val_low=None, val_high=None, val_log_loss=None,
)  # fmt: skip
ROWS = [BEST, PRUNED, FAILED]


def trial(row: Row) -> TrialRecord:
    rung = Rung(
        epoch=1,
        curve=(),
        val_correct=1,
        val_total=2,
        seconds={"train": 10.0, "compile": 2.5},
        worker=0,
    )
    return TrialRecord(
        trial=row.trial,
        proposer=row.proposer,
        share=row.share,
        genome={},
        architecture={},
        notation=row.notation,
        fingerprint=row.fingerprint,
        recipe={},
        seed=row.seed,
        cost={},
        rungs=(rung,),
        state=row.state,
        reason=row.reason,
    )


STUDY = StudyRecords(
    study="small",
    settings={"data": "digits", "budget": {"max_params": 8000, "max_epochs": 15, "max_macs": None}},
    data_fingerprint="0123456789abcdef",
    versions={"jax": "0.10.2"},
    command="pennyweight search",
    created="2026-01-01T00:00:00Z",
    sessions=({"pid": 7},),
    trials={row.trial: trial(row) for row in ROWS},
    ledgers=({"seconds": {"wait": 30.0, "ask": 0.5}, "wall_s": 31.5},),
    lanes=({"kind": "lanes", "device": "1 x H", "lanes": 2, "pictures_per_s": {"2": 9.5}},),
)


def test_json_has_the_studys_facts_and_a_row_per_trial() -> None:
    document = json.loads(as_json(STUDY, ROWS, test_readings=0))
    assert document["study"] == "small"
    assert document["data"] == "digits"
    assert document["budget"] == {"max_params": 8000, "max_epochs": 15, "max_macs": None}
    assert document["trials"] == {
        "asked": 3, "complete": 1, "running": 0, "pruned": 1,
        "diverged": 0, "failed": 1, "duplicate": 0,
    }  # fmt: skip
    assert document["seconds"] == {
        "wall": 31.5,
        "workers": {"train": 30.0, "compile": 7.5},
        "coordinator": {"wait": 30.0, "ask": 0.5},
    }
    assert document["lanes"] == [{"device": "1 x H", "lanes": 2, "pictures_per_s": {"2": 9.5}}]
    assert document["test_readings"] == 0
    assert [Row(**row) for row in document["rows"]] == ROWS
    assert document["rows"][2]["val_accuracy"] is None
    assert document["rows"][0]["pareto"] is True


def test_csv_has_the_columns_of_json_and_nothing_where_that_has_null() -> None:
    heading, best, _, failed = csv.reader(io.StringIO(as_csv(ROWS)))
    assert heading == [field.name for field in fields(Row)]
    for cells, row in ((best, BEST), (failed, FAILED)):
        values = ["" if value is None else str(value) for value in vars(row).values()]
        values[heading.index("pareto")] = "true" if row.pareto else "false"
        assert cells == values


def test_markdown_is_a_pipe_table_whose_cells_hold_no_bare_pipe() -> None:
    heading, rule, best, _, failed = as_markdown(ROWS).splitlines()
    for line in (heading, rule, best, failed):
        assert line.replace("\\|", "").count("|") == 11
    assert "| 1 | ◆ | 17 | 99.31 [98.2, 99.7] | 7,835 | 7,600 | 1,849,060 | 15 | complete |" in best
    assert "c16\\|c16" in best
    assert "| - |" in failed


def lines(width: int, rows: list[Row], **arguments: Any) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(as_table(STUDY, rows, **arguments))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("width", [80, 100])
def test_a_terminal_row_is_one_line_with_all_its_numbers(width: int) -> None:
    shown = lines(width, ROWS)
    start = next(i for i, line in enumerate(shown) if "◆" in line)
    best, pruned, failed = shown[start : start + 3]
    assert max(map(len, shown)) <= width
    numbers = ["◆", "1", "17", "99.31", "[98.2,", "99.7]", "7,835", "1.85M", "15"]
    assert best.split("c8[v]")[0].split() == numbers
    assert pruned.split("c8[v]")[0].split()[-3:] == ["84.6k", "5", "pruned"]
    assert failed.split("c8[v]")[0].split() == ["3", "9", "-", "7,835", "950", "0", "failed"]
    assert best.endswith("…")


def test_the_footer_tells_the_best_the_counts_the_failure_and_the_seconds() -> None:
    text = " ".join(" ".join(lines(100, ROWS)).split())
    assert "small on digits · params ≤ 8,000 · epochs ≤ 15 rank" in text
    assert f"best: trial 17, {BEST.notation} 3 trials: 1 complete, 1 pruned, 1 failed" in text
    assert "failed first failure: trial 9, out of memory seconds" in text
    assert "31.5 on the clock; workers 37.5 (train 30.0, compile 7.5); coordinator 30.5" in text
    assert "; 1 shown" in " ".join(lines(100, [PRUNED]))
    assert "best:" not in " ".join(lines(100, [PRUNED]))


@pytest.mark.parametrize(
    ("readings", "ending"),
    [
        (None, "Accuracies are validation accuracies."),
        (0, "; the test set has not been read."),
        (1, "; the test set has been read 1 time."),
        (7, "; the test set has been read 7 times."),
    ],
)
def test_the_footer_says_of_the_test_set_only_what_is_known(
    readings: int | None, ending: str
) -> None:
    assert lines(100, ROWS, test_readings=readings)[-1].endswith(ending)


def test_counts_are_shown_with_three_digits() -> None:
    shown = "\n".join(lines(100, [replace(BEST, macs=macs) for macs in (999_499, 999_999, 10**9)]))
    assert [name in shown for name in (" 999k ", " 1.00M ", " 1.00G ")] == [True] * 3


def test_an_empty_study_shows_its_heading_and_footer() -> None:
    empty = replace(STUDY, trials={}, ledgers=())
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(as_table(empty, []))
    assert "0 trials: none asked yet" in capture.get()
    assert json.loads(as_json(empty, []))["rows"] == []
