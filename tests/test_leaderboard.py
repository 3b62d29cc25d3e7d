"""The order of the leaderboard, its intervals and its front."""

import itertools
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pennyweight.arch.errors import UsageError
from pennyweight.results.leaderboard import arrange, pareto_front, rows, wilson_interval
from pennyweight.results.study_records import (
    CurvePoint,
    Rung,
    State,
    StudyRecords,
    TrialRecord,
)

quickly = settings(max_examples=60, deadline=None)


def trial(
    number: int,
    state: State = "complete",
    correct: int | None = 90,
    params: int = 100,
    log_loss: float | None = 0.1,
) -> TrialRecord:
    """A trial that classified `correct` of 100 rightly; None for one that never got to a rung."""
    curve = (CurvePoint(1, 0.5, 0.5, 9.0), CurvePoint(2, 0.5, 0.5, log_loss))
    rung = Rung(
        epoch=2,
        curve=curve,
        val_correct=correct,
        val_total=100,
        seconds={"train": 1.5, "help": 1.0},
        worker=0,
    )
    cost = ("deployed_params", "macs", "peak_activation_bytes", "weight_bytes", "receptive_field")
    return TrialRecord(
        trial=number,
        proposer="tpe",
        share=1.0,
        genome={},
        architecture={},
        notation="c8 gap",
        fingerprint="00ff",
        recipe={},
        seed=number,
        cost={"params": params, **dict.fromkeys(cost, 10 * params)},
        rungs=(rung,) if correct is not None else (),
        state=state,
        reason=None,
    )


def study(*trials: TrialRecord) -> StudyRecords:
    return StudyRecords(
        study="small",
        settings={"data": "digits", "budget": {}},
        data_fingerprint="",
        versions={},
        command="",
        created="",
        sessions=(),
        trials={trial.trial: trial for trial in trials},
        ledgers=(),
    )


def order(*trials: TrialRecord) -> list[int]:
    return [row.trial for row in rows(study(*trials))]


TRIALS = st.lists(
    st.builds(
        trial,
        number=st.integers(0, 999),
        state=st.sampled_from(get_args(State)),
        correct=st.none() | st.integers(0, 100),
        params=st.integers(1, 9),
        log_loss=st.none() | st.sampled_from([0.0, 0.1, 0.2]),
    ),
    unique_by=lambda trial: trial.trial,
    max_size=12,
)


def test_accuracy_ranks_first_then_size_then_log_loss_then_age() -> None:
    ranked = [
        trial(9, correct=91, params=900),
        trial(8, correct=90, params=10, log_loss=0.9),
        trial(7, correct=90, params=20, log_loss=0.1),
        trial(5, correct=90, params=20, log_loss=0.2),
        trial(6, correct=90, params=20, log_loss=0.2),
        trial(4, correct=90, params=20, log_loss=None),
    ]
    assert order(*reversed(ranked)) == [9, 8, 7, 5, 6, 4]


def test_trials_rank_by_how_they_ended_and_those_without_an_accuracy_come_last() -> None:
    states: Sequence[State] = ("complete", "running", "pruned", "diverged", "failed", "duplicate")
    scored = [trial(number, state, correct=10 * number) for number, state in enumerate(states)]
    without = [trial(10 + number, state, None) for number, state in enumerate(states)]
    assert order(*reversed(scored + without)) == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]


@quickly
@given(trials=TRIALS, data=st.data())
def test_ranks_count_every_trial_from_one_whatever_order_they_were_recorded_in(
    trials: list[TrialRecord], data: st.DataObject
) -> None:
    ranked = rows(study(*trials))
    assert [row.rank for row in ranked] == list(range(1, len(trials) + 1))
    assert rows(study(*data.draw(st.permutations(trials)))) == ranked


@quickly
@given(trials=TRIALS)
def test_which_of_two_trials_is_better_does_not_depend_on_the_others(
    trials: list[TrialRecord],
) -> None:
    ranked = order(*trials)
    for pair in itertools.combinations(trials, 2):
        assert order(*pair) == sorted(order(*pair), key=ranked.index)


@quickly
@given(trials=TRIALS)
def test_the_front_is_the_complete_trials_that_no_complete_trial_beats(
    trials: list[TrialRecord],
) -> None:
    complete = [
        (trial.trial, trial.cost["params"], trial.val_accuracy)
        for trial in trials
        if trial.state == "complete" and trial.val_accuracy is not None
    ]
    front = {
        number
        for number, params, accuracy in complete
        if not any(
            other_accuracy >= accuracy
            and other_params <= params
            and (other_accuracy > accuracy or other_params < params)
            for _, other_params, other_accuracy in complete
        )
    }
    assert {row.trial for row in rows(study(*trials)) if row.pareto} == front


def test_equal_trials_are_on_the_front_together() -> None:
    assert pareto_front([(100, 0.9), (100, 0.9), (100, 0.8)]) == {(100, 0.9)}
    assert [row.pareto for row in rows(study(trial(0), trial(1), trial(2, correct=80)))] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [  # Newcombe 1998, Stat. Med. 17, 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(
    correct: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@quickly
@given(data=st.data(), total=st.integers(1, 100_000))
def test_the_interval_is_scipys_and_holds_the_fraction(data: st.DataObject, total: int) -> None:
    correct = data.draw(st.integers(0, total))
    low, high = wilson_interval(correct, total)
    assert 0 <= low <= correct / total <= high <= 1
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_row_tells_what_the_trial_cost_and_reached() -> None:
    (row,) = rows(study(trial(3, correct=90, params=100, log_loss=0.1)))
    assert (row.trial, row.params, row.macs, row.epochs) == (3, 100, 1000, 2)
    assert (row.val_accuracy, row.val_log_loss, row.seconds) == (0.9, 0.1, 1.5)
    assert (row.val_low, row.val_high) == wilson_interval(90, 100)
    (empty,) = rows(study(trial(3, "failed", None)))
    assert (empty.epochs, empty.seconds) == (0, 0)
    assert (empty.val_accuracy, empty.val_low, empty.val_high, empty.val_log_loss) == (None,) * 4


@quickly
@given(trials=TRIALS)
def test_every_sort_puts_its_best_first_and_keeps_equals_by_rank(trials: list[TrialRecord]) -> None:
    ranked = rows(study(*trials))
    keys: dict[Any, Any] = {
        "rank": lambda row: row.rank,
        "accuracy": lambda row: (row.val_accuracy is None, -(row.val_accuracy or 0)),
        "params": lambda row: row.params,
        "macs": lambda row: row.macs,
        "trial": lambda row: row.trial,
    }
    for name, key in keys.items():
        assert arrange(reversed(ranked), sort=name) == sorted(ranked, key=key)


@quickly
@given(trials=TRIALS, top=st.integers(1, 15))
def test_top_cuts_what_is_left_of_the_front_after_sorting(
    trials: list[TrialRecord], top: int
) -> None:
    ranked = rows(study(*trials))
    front = sorted((row for row in ranked if row.pareto), key=lambda row: (row.params, row.rank))
    assert arrange(ranked, sort="params", top=top, pareto=True) == front[:top]


def test_a_bad_sort_or_top_is_reported() -> None:
    with pytest.raises(UsageError, match=r"--sort must be one of rank, .*'acuracy'.*accuracy\?"):
        arrange([], sort="acuracy")  # pyright: ignore[reportArgumentType]
    for top in (0, -3):
        with pytest.raises(UsageError, match=f"--top must be at least 1, but got {top}: "):
            arrange([], top=top)
