"""TPE as Optuna's, told the space, and bounded in what a question looks at."""

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import Trial, TrialState

from pennyweight.search.tpe import NEWEST, Tpe

SPACE: dict[str, BaseDistribution] = {
    "a": FloatDistribution(0.0, 1.0),
    "b": FloatDistribution(0.0, 1.0),
    "c": CategoricalDistribution(("x", "y", "z")),
    "fixed": CategoricalDistribution((3,)),
}
OPTIONS: dict[str, Any] = {"multivariate": True, "constant_liar": True}


def with_trials(count: int) -> optuna.Study:
    """A study of `count` trials, complete, pruned and, the last five, running."""
    study = optuna.create_study(direction="maximize")
    draw = np.random.default_rng(0)
    for number in range(count):
        genes = {"a": draw.random(), "b": draw.random(), "c": "xyz"[draw.integers(3)], "fixed": 3}
        state = TrialState.COMPLETE if number % 3 == 0 else TrialState.PRUNED
        if number >= count - 5:
            state = TrialState.RUNNING
        study.add_trial(
            optuna.create_trial(
                state=state,
                params=genes,
                distributions=SPACE,
                value=genes["a"] if state == TrialState.COMPLETE else None,
                intermediate_values={1: genes["b"]} if state == TrialState.PRUNED else {},
            )
        )
    return study


def drawn(study: optuna.Study, sampler: BaseSampler, trial: Trial | None = None) -> dict[str, Any]:
    """The genes of a trial, a new one or drawn anew."""
    study.sampler = sampler
    if trial is None:
        trial = study.ask()
    else:
        trial = Trial(study, trial._trial_id)
        trial._cached_frozen_trial.params, trial._cached_frozen_trial.distributions = {}, {}
    return {name: trial._suggest(name, genes) for name, genes in SPACE.items()}


@pytest.mark.parametrize("count", [5, 12, 70])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_draws_what_optunas_own_draws(count: int, seed: int) -> None:
    ours = drawn(with_trials(count), Tpe(SPACE, seed=seed, **OPTIONS))
    assert ours == drawn(with_trials(count), TPESampler(seed=seed, **OPTIONS))


def test_attempts_at_one_trial_share_what_is_known_and_draw_what_they_would_alone() -> None:
    shared, alone = with_trials(60), with_trials(60)
    trials = shared.ask(), alone.ask()
    before: BaseSampler | None = None
    for seed in range(5):
        before = Tpe(SPACE, before, seed=seed, **OPTIONS)
        known = dict(before._models)
        ours = drawn(shared, before, trials[0])
        assert ours == drawn(alone, Tpe(SPACE, seed=seed, **OPTIONS), trials[1])
        assert seed == 0 or before._models == known


def test_what_was_known_of_one_trial_is_not_taken_for_another() -> None:
    study = with_trials(60)
    before = Tpe(SPACE, seed=0, **OPTIONS)
    drawn(study, before)
    study.add_trial(study.trials[0])
    ours = drawn(study, Tpe(SPACE, before, seed=1, **OPTIONS))
    other = with_trials(60)
    drawn(other, TPESampler(seed=0, **OPTIONS))
    other.add_trial(other.trials[0])
    assert ours == drawn(other, TPESampler(seed=1, **OPTIONS))


def test_a_question_looks_at_the_good_trials_and_the_newest() -> None:
    study = with_trials(NEWEST + 300)
    sampler = Tpe(SPACE, seed=0, **OPTIONS)
    drawn(study, sampler)
    ((good, others),) = sampler._models.values()
    assert len(good._mixture_distribution.weights) == 25 + 1  # and the prior
    assert len(others._mixture_distribution.weights) == NEWEST + 1
    assert len(sampler._rows) == 25 + NEWEST
