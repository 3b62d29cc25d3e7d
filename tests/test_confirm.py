"""Confirmation: a race on validation pictures, and its winner put to the test."""

import json
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path

import pytest
from command_line import confirmed, copied, pennyweight, said, tree

from pennyweight.results.confirmed import confirmed as confirmed_trials
from pennyweight.results.confirmed import still_racing
from pennyweight.results.folder import StudyFolder
from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.results.records import RecordFile, read_records
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import FreshRun, StudyRecords
from pennyweight.search.confirm import counted, pending_runs
from pennyweight.search.tally import Tally
from pennyweight.train.door import readings


def fresh(trial: int, seed: int, part: str, correct: int) -> FreshRun:
    return FreshRun(
        trial=trial,
        seed=seed,
        part=part,
        epochs=1,
        train_loss=0.1,
        correct=correct,
        total=1_000,
        log_loss=0.1,
        seconds={},
        worker=1,
    )


def raced(accuracies: dict[int, list[int]], seeds: int) -> tuple[list[tuple[int, int, str]], int]:
    """(what was trained in the order in which it was asked, the trial that was tested)."""
    done: list[FreshRun] = []
    race, test = range(100, 100 + seeds), range(200, 200 + seeds)
    while entries := pending_runs(done, list(accuracies), race, test):
        total, known = counted(done, list(accuracies), race, test)
        assert total >= known + len(entries)
        assert known == len(done)
        for trial, seed, part in entries:
            done.append(fresh(trial, seed, part, accuracies[trial][seed % 100]))
    assert counted(done, list(accuracies), race, test) == (len(done), len(done))
    tested = {run.trial for run in done if run.part == "test"}
    assert len(tested) == 1
    return [(run.trial, run.seed, run.part) for run in done], tested.pop()


# The race.


def test_who_is_clearly_behind_drops_out_and_the_best_mean_is_tested() -> None:
    trained, winner = raced(
        {4: [990, 992, 991, 990, 990], 7: [900, 901, 902, 0, 0], 9: [991, 993, 992, 993, 991]}, 5
    )
    assert winner == 9
    per_trial = {t: [s for u, s, part in trained if (u, part) == (t, "validation")] for t in (4, 7)}
    assert per_trial == {4: [100, 101, 102, 103, 104], 7: [100, 101, 102]}
    assert [seed for trial, seed, part in trained if part == "test"] == [200, 201, 202, 203, 204]


def test_all_run_until_there_are_seeds_enough_to_tell() -> None:
    trained, winner = raced({0: [500, 500], 1: [900, 900]}, 2)
    assert winner == 1
    assert sum(part == "validation" for _, _, part in trained) == 4


def test_the_race_ends_when_one_is_left() -> None:
    trained, winner = raced({0: [990] * 9, 1: [900] * 9, 2: [800] * 9}, 9)
    assert winner == 0
    assert max(seed for _, seed, part in trained if part == "validation") == 102


def test_a_single_entrant_does_not_race() -> None:
    trained, winner = raced({5: [990, 991, 992]}, 3)
    assert winner == 5
    assert {part for _, _, part in trained} == {"test"}


def test_while_a_longer_race_is_undecided_no_test_counts_as_done() -> None:
    """Who was tested after three rounds may not lead after five."""
    done = [
        fresh(trial, seed, "validation", 990) for trial in (0, 1) for seed in range(100, 103)
    ] + [fresh(0, seed, "test", 990) for seed in (200, 201)]
    assert counted(done, [0, 1], range(100, 103), range(200, 202)) == (8, 8)
    assert counted(done, [0, 1], range(100, 105), range(200, 202)) == (12, 6)
    assert counted(done, [0], range(100, 105), range(200, 203)) == (3, 2)


def test_the_leader_comes_first_and_equals_are_not_behind() -> None:
    raced = {
        trial: [fresh(trial, seed, "validation", correct) for seed in range(3)]
        for trial, correct in ((3, 900), (1, 900), (2, 800))
    }
    assert still_racing(raced) == [1, 3]


def test_a_picture_more_from_every_seed_is_not_clearly_ahead() -> None:
    raced = {
        trial: [fresh(trial, seed, "validation", correct) for seed in range(3)]
        for trial, correct in ((0, 980), (1, 979))
    }
    assert still_racing(raced) == [0, 1]


def of_study(study: StudyRecords, runs: list[FreshRun]) -> StudyRecords:
    return replace(study, fresh_runs=tuple(runs))


def test_who_dropped_out_is_not_tied_and_ties_are_those_of_the_race(study: StudyRecords) -> None:
    runs = [
        fresh(trial, seed, "validation", correct)
        for seed in range(5)
        for trial, correct in ((0, 980), (1, 979), (2, 800))
        if trial < 2 or seed < 3
    ]
    runs += [fresh(2, 9, "test", 800), fresh(1, 9, "test", 970), fresh(0, 9, "test", 975)]
    found = confirmed_trials(of_study(study, runs))
    assert [(each.trial, each.tied_with) for each in found] == [(0, (1,)), (1, (0,)), (2, ())]


def test_seeds_are_in_order_and_the_last_tested_trial_is_first(study: StudyRecords) -> None:
    order = [(1, 11, 970), (0, 12, 960), (1, 10, 990)]
    runs = [fresh(trial, seed, "test", correct) for trial, seed, correct in order]
    found = confirmed_trials(of_study(study, runs))
    assert [(each.trial, each.seeds) for each in found] == [(1, (10, 11)), (0, (12,))]
    assert found[0].accuracies == (0.99, 0.97)
    assert (found[1].low, found[1].high) == (0, 1), "one seed tells nothing of the spread"


# Intervals, against values worked out by SciPy's own functions.


def test_intervals_are_those_of_scipy() -> None:
    from scipy import stats

    ours, theirs = [0.991, 0.993, 0.9925, 0.994], [0.990, 0.9935, 0.988]
    low, high = stats.t.interval(0.95, 3, sum(ours) / 4, stats.sem(ours))
    assert vars(interval_of(ours)) == pytest.approx(
        {"mean": sum(ours) / 4, "low": low, "high": high}
    )
    wanted = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    found = welch_interval(ours, theirs)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_one_value_has_no_spread_and_two_lists_of_one_cannot_be_told_apart() -> None:
    assert vars(interval_of([0.5])) == {"mean": 0.5, "low": -inf, "high": inf}
    found = welch_interval([0.9], [0.1])
    assert found.low < 0 < found.high


# The real thing.


@pytest.fixture(scope="module")
def study() -> StudyRecords:
    return load_study(confirmed()[0] / "runs", "small")


def test_the_race_sees_validation_pictures_alone(study: StudyRecords) -> None:
    parts = {run.part: run.total for run in study.fresh_runs}
    assert parts == {"validation": 288, "test": 360}
    ledger = readings(StudyFolder(confirmed()[0] / "runs" / "small").readings)
    assert [entry["purpose"] for entry in ledger] == ["confirm", "confirm"]
    assert len({entry["model"] for entry in ledger}) == 2


def test_every_seed_is_fresh(study: StudyRecords) -> None:
    used = {trial.seed for trial in study.trials.values()}
    seeds = [(run.trial, run.seed, run.part) for run in study.fresh_runs]
    assert len(set(seeds)) == len(seeds)
    assert not used & {seed for _, seed, _ in seeds}
    assert not {s for _, s, part in seeds if part == "test"} & {
        s for _, s, part in seeds if part == "validation"
    }


def test_the_leaderboard_shows_the_mean_and_its_interval(study: StudyRecords) -> None:
    (found,) = confirmed_trials(study)
    assert found.mean == pytest.approx(sum(found.accuracies) / 2)
    shown = pennyweight("leaderboard", "small", cwd=confirmed()[0])
    line = f"confirmed: trial {found.trial}, 2 fresh seeds, test accuracy {found.mean:.2%}"
    assert line in shown.out.replace("\n", " ")
    document = pennyweight("leaderboard", "small", "--json", cwd=confirmed()[0]).json
    assert document["confirmed"][0]["seeds"] == list(found.seeds)
    assert document["test_readings"] == 2


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    folder = copied(confirmed()[0], tmp_path / "again")
    before = tree(folder)
    flags = ["--top", "2", "--race", "2", "--seeds", "2", "--workers", "1"]
    ran = pennyweight("confirm", "small", *flags, cwd=folder)
    assert ran.status == 0, ran.err
    assert tree(folder) == before


def test_what_was_cut_short_goes_on_and_gives_the_same(tmp_path: Path, study: StudyRecords) -> None:
    folder = copied(confirmed()[0], tmp_path / "cut")
    path = folder / "runs" / "small" / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"kind":"fresh"' in line)
    path.write_bytes(b"".join(lines[:last]))
    flags = ["--top", "2", "--race", "2", "--seeds", "2", "--workers", "1"]
    ran = pennyweight("confirm", "small", *flags, cwd=folder)
    assert ran.status == 0, ran.err
    before = len(study.fresh_runs) - 1
    assert f"{before}/{before + 1} trainings done, going on" in ran.err
    assert [outcome(run) for run in load_study(folder / "runs", "small").fresh_runs] == [
        outcome(run) for run in study.fresh_runs
    ]
    ledger = readings(folder / "runs" / "small" / "test-readings.jsonl")
    assert [entry["purpose"] for entry in ledger] == ["confirm", "confirm", "verify"]


def outcome(run: FreshRun) -> tuple[object, ...]:
    return run.trial, run.seed, run.part, run.correct, run.log_loss, run.train_loss


def test_what_was_trained_before_is_in_the_means_that_are_shown(study: StudyRecords) -> None:
    runs = study.fresh_runs
    shown = {
        (each.part, each.trial): (each.accuracy, each.seeds)
        for each in Tally(9, len(runs), "trainings", study).fresh
    }
    assert len(shown) > 1
    for (part, trial), (mean, seeds) in shown.items():
        each = [run.accuracy for run in runs if (run.part, run.trial) == (part, trial)]
        assert seeds == len(each)
        assert mean == pytest.approx(sum(each) / seeds)


def test_training_a_record_gives_its_number(tmp_path: Path, study: StudyRecords) -> None:
    record = confirmed()[0] / "record.json"
    told = json.loads(record.read_text())
    (found,) = confirmed_trials(study)
    assert told["test"]["seeds"] == list(found.seeds)
    for seed, correct in zip(told["test"]["seeds"], told["test"]["correct"], strict=True):
        ran = pennyweight("train", record, "--seed", str(seed), "--test", "--json", cwd=tmp_path)
        assert ran.json["test_accuracy"] == correct / 360
        assert ran.json["seed"] == seed


def test_the_export_is_of_the_first_seed(tmp_path: Path, study: StudyRecords) -> None:
    folder = copied(confirmed()[0], tmp_path / "export")
    ran = pennyweight("export", "small", "--out", "bundle", cwd=folder)
    assert ran.status == 0, ran.err
    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    (found,) = confirmed_trials(study)
    assert manifest["training"]["seed"] == found.seeds[0] == min(found.seeds)
    assert manifest["confirmed"]["mean"] == found.mean
    assert manifest["validation"] is None, "it was trained on those pictures"


def test_one_trial_can_be_confirmed_without_a_race(tmp_path: Path, study: StudyRecords) -> None:
    folder = copied(confirmed()[0], tmp_path / "one")
    (found,) = confirmed_trials(study)
    other = next(number for number in count() if number != found.trial)
    flags = ["--seeds", "1", "--workers", "1", "--json"]
    ran = pennyweight("confirm", f"small:{other}", *flags, cwd=folder)
    assert [each["trial"] for each in ran.json["confirmed"]] == [other, found.trial]


@pytest.mark.parametrize(
    ("arguments", "clue"),
    [
        (["none"], "no study"),
        (["small:9"], "numbered 0 to"),
        (["small", "--seeds", "0"], "--seeds must be"),
        (["small", "--top", "0"], "--top must be"),
        (
            [
                "small",
                "--race",
                "2",
                "--seeds",
                "2",
                "--top",
                "2",
                "--record",
                "none/there.json/x.json",
            ],
            "record",
        ),
    ],
)
def test_what_cannot_be_confirmed_gets_one_line(
    arguments: list[str], clue: str, tmp_path: Path
) -> None:
    folder = copied(confirmed()[0], tmp_path / "bad")
    (folder / "none").mkdir()
    (folder / "none" / "there.json").write_text("{}")
    before = tree(folder)
    assert clue in said(pennyweight("confirm", *arguments, cwd=folder))
    assert tree(folder) == before


def test_a_study_without_a_complete_trial_has_none_to_confirm(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "begun"
    folder.mkdir(parents=True)
    with RecordFile.open(folder / "records.jsonl") as records:
        first, *_ = read_records(confirmed()[0] / "runs" / "small" / "records.jsonl")
        records.append("study", **{k: v for k, v in first.items() if k not in ("kind", "version")})
    assert "none to confirm" in said(pennyweight("confirm", "begun", cwd=tmp_path))
