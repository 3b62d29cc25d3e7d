"""The figures of a report: every number of the study, and no text that plotly would interpret."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import HOSTILE, TOTAL, of_every_state, report_of, study, trial

from pennyweight.results.folder import StudyFolder
from pennyweight.results.published import PUBLISHED
from pennyweight.results.report import (
    MOST_CURVES,
    MOST_GENES,
    Importances,
    Missing,
    Report,
    collect,
)
from pennyweight.results.report_axes import accuracy_ticks, error
from pennyweight.results.report_plots import plots
from pennyweight.results.study_records import TrialRecord


def traces(report: Report, name: str) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in plots(report)[name]["data"]}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(of_every_state(), tmp_path)


def test_every_trial_with_an_accuracy_is_a_point(report: Report) -> None:
    drawn = traces(report, "size")
    known = [row for row in report.rows if row.val_accuracy is not None]
    points = {
        x: y
        for name, trace in drawn.items()
        if name.endswith("on validation")
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    assert points == pytest.approx(
        {row.params: 100 * (1 - (row.val_accuracy or 0)) for row in known}
    )
    assert len(points) == 6


def test_complete_trials_have_their_intervals(report: Report) -> None:
    trace = traces(report, "size")["complete, on validation"]
    (row,) = [row for row in report.rows if row.state == "complete"]
    (y,), bars = trace["y"], trace["error_y"]
    assert y + bars["array"][0] == pytest.approx(100 * (1 - (row.val_low or 0)))
    assert y - bars["arrayminus"][0] == pytest.approx(100 * (1 - (row.val_high or 0)))


def test_the_axis_is_marked_as_far_as_intervals_reach(tmp_path: Path) -> None:
    records = replace(study(trial(0, correct=280)), fresh_runs=())
    report = report_of(records, tmp_path)
    low, high = report.rows[0].val_low, report.rows[0].val_high
    assert low is not None
    assert high is not None
    marks = [float(mark) for mark in plots(report)["size"]["layout"]["yaxis"]["ticktext"]]
    assert 100 * low - 1 < min(marks) < max(marks) < 100 * high + 0.3
    assert len(marks) >= 4


def test_published_networks_are_beside_those_of_the_same_data_alone(tmp_path: Path) -> None:
    ours = traces(report_of(study(trial(0), data="mnist"), tmp_path), "size")
    theirs = ours["published by others, on test"]
    assert theirs["x"] == [each.params for each in PUBLISHED["mnist"]]
    assert "confirmed, mean on test" in ours
    assert "published by others, on test" not in traces(
        report_of(study(trial(0)), tmp_path), "size"
    )


@given(correct=st.lists(st.integers(0, TOTAL), min_size=1, max_size=8))
def test_any_accuracy_can_be_drawn_on_a_logarithmic_axis(
    correct: list[int],
) -> None:
    records = study(*(trial(number, correct=count) for number, count in enumerate(correct)))
    figures = plots(collect(StudyFolder(Path("nowhere")), records, Missing("nobody asked")))
    json.dumps(figures, allow_nan=False)
    for name in ("size", "curves"):
        for trace in figures[name]["data"]:
            drawn = [y for y in trace["y"] if y is not None]
            assert all(math.isfinite(y) and y > 0 for y in drawn)
            bars = trace.get("error_y", {})
            assert all(length >= -1e-9 for length in bars.get("array", ()))
            less = bars.get("arrayminus", ())
            assert all(y - length > 0 for y, length in zip(drawn, less, strict=False))


def test_each_trial_has_a_bar_as_high_as_it_came(report: Report) -> None:
    bars = {
        x: (name, y)
        for name, trace in traces(report, "fates").items()
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    trials = report.study.trials
    assert bars == {number: (each.state, each.epochs) for number, each in trials.items()}


def test_curves_hold_every_scored_epoch_of_the_best_trials(tmp_path: Path) -> None:
    records = study(*(trial(number, correct=number) for number in range(MOST_CURVES + 20)))
    drawn = traces(report_of(records, tmp_path), "curves")
    (thick,) = [name for name in drawn if name.startswith("the best")]
    assert thick == "the best, trial 0"  # it was confirmed
    assert [x for x in drawn["complete"]["x"] if x] == [1, 2, 3, 4] * MOST_CURVES
    assert max(y for y in drawn["complete"]["y"] if y) == error(20 / TOTAL, TOTAL)


def test_the_training_accuracy_of_the_best_is_beside_its_curve(tmp_path: Path) -> None:
    def learned(each: TrialRecord) -> TrialRecord:
        rungs = [
            replace(rung, curve=tuple(p._replace(train_accuracy=0.75) for p in rung.curve))
            for rung in each.rungs
        ]
        return replace(each, rungs=tuple(rungs))

    untold = traces(report_of(study(trial(0)), tmp_path), "curves")
    assert "the same, in training" not in untold  # as in records from before it was
    drawn = traces(report_of(study(learned(trial(0))), tmp_path), "curves")
    dotted = drawn["the same, in training"]
    assert dotted["x"] == [1, 2, 3, 4]
    assert dotted["y"] == [error(0.75, TOTAL)] * 4


def test_seconds_add_up(report: Report) -> None:
    drawn = traces(report, "seconds").values()
    workers, coordinator = (sum(trace["x"][n] for trace in drawn) for n in (0, 1))
    assert workers == pytest.approx(sum(report.study.worker_seconds.values()))
    assert coordinator == pytest.approx(sum(report.study.coordinator_seconds.values()))


def test_the_genes_that_mattered_most_are_drawn(tmp_path: Path) -> None:
    shares = {f"gene_{n}": (40 - n) / 820 for n in range(40)}
    told = Importances(shares=shares, trials=50, structures=50, epoch=2)
    (bars,) = plots(collect(StudyFolder(tmp_path), study(), told))["importances"]["data"]
    assert bars["y"] == [f"gene {n}" for n in range(MOST_GENES)]
    assert bars["x"] == pytest.approx([100 * share for share in list(shares.values())[:MOST_GENES]])


def test_what_would_be_empty_is_not_there(tmp_path: Path) -> None:
    begun = set(plots(report_of(study(trial(0, "running", rungs=0)), tmp_path)))
    assert begun == {"fates", "seconds"}
    assert set(plots(report_of(study(), tmp_path))) == {"seconds"}


def test_a_strangers_text_is_escaped_where_plotly_reads_html(tmp_path: Path) -> None:
    figures = plots(report_of(of_every_state(HOSTILE), tmp_path))
    texts = [text for text in strings(figures) if "script" in text or "img" in text]
    assert len(texts) > 5
    for text in texts:
        assert "<" not in text.replace("<br>", "").replace("<extra></extra>", "")


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in strings(each)]
    return []


@given(st.lists(st.floats(0.005, 100), min_size=2, max_size=5, unique=True))
def test_marks_of_accuracies_are_within_reach_and_few(errors: list[float]) -> None:
    ticks = accuracy_ticks(errors)
    assert ticks == sorted(set(ticks))
    assert all(0.8 * min(errors) <= 100 - tick <= 1.2 * max(errors) for tick in ticks)
    assert len(ticks) <= 16
