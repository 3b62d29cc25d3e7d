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
OPTIONS: dict[str, Any] = {"multivariate": True}


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
    assert ours == drawn(with_trials(count), TPESampler(constant_liar=True, seed=seed, **OPTIONS))


def test_further_attempts_at_one_trial_take_the_next_best_of_what_was_drawn() -> None:
    """What Optuna's draws where the better ones are not among its candidates."""
    study, count = with_trials(60), TPESampler()._n_ei_candidates
    trial, sampler = study.ask(), None
    attempts = []
    for seed in range(count):
        sampler = Tpe(SPACE, sampler, seed=seed, **OPTIONS)
        attempts.append(drawn(study, sampler, trial))
    assert attempts[0] == drawn(study, TPESampler(constant_liar=True, seed=0, **OPTIONS), trial)
    learned = Tpe(SPACE, seed=0, **OPTIONS)
    good, others = learned._learned(study, trial.number)
    candidates = good.sample(learned._rng.rng, count)
    worth = learned._compute_acquisition_func(candidates, good, others)
    assert [genes["a"] for genes in attempts] == list(candidates["a"][np.argsort(-worth)])
    assert drawn(study, Tpe(SPACE, sampler, seed=count, **OPTIONS), trial) not in attempts


def test_what_was_known_of_one_trial_is_not_taken_for_another() -> None:
    study = with_trials(60)
    before = Tpe(SPACE, seed=0, **OPTIONS)
    drawn(study, before)
    study.add_trial(study.trials[0])
    ours = drawn(study, Tpe(SPACE, before, seed=1, **OPTIONS))
    other = with_trials(60)
    drawn(other, TPESampler(constant_liar=True, seed=0, **OPTIONS))
    other.add_trial(other.trials[0])
    assert ours == drawn(other, TPESampler(constant_liar=True, seed=1, **OPTIONS))


def test_a_question_looks_at_the_good_trials_and_the_newest() -> None:
    study = with_trials(NEWEST + 300)
    sampler = Tpe(SPACE, seed=0, **OPTIONS)
    good, others = sampler._learned(study, study.ask().number)
    assert len(good._mixture_distribution.weights) == 25 + 1  # and the prior
    assert len(others._mixture_distribution.weights) == NEWEST + 1
    assert len(sampler._rows) == 25 + NEWEST


def test_a_long_study_gone_on_with_asks_what_it_would_have_asked() -> None:
    """What one question leaves out changes nothing for those that come later."""
    study, draw, before = with_trials(NEWEST + 40), np.random.default_rng(1), None
    for number in range(100):
        options: dict[str, Any] = OPTIONS | {"seed": number}
        before = Tpe(SPACE, before, **options)
        genes = drawn(study, before)
        trial = Trial(study, len(study.get_trials(deepcopy=False)) - 1)
        assert genes == drawn(study, Tpe(SPACE, **options), trial)
        study.tell(trial, genes["a"] + draw.normal())
    assert before is not None
    assert before._oldest > 20
