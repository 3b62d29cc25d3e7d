"""Optuna's side of a study: what a trial draws, which rivals it has, what the database keeps."""

import importlib.util
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import Trial
from searches import SETTINGS

from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import StudyFolder
from pennyweight.search.sampling import (
    ask,
    close_study,
    genome_of,
    keep,
    make_sampler,
    open_study,
    running,
    went_on,
)
from pennyweight.search.settings import Sampler


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    opened = open_study(StudyFolder(tmp_path), SETTINGS)
    yield opened
    close_study(opened)


def asked(study: optuna.Study, share: float = 1.0, seed: int = 0, **genes: Any) -> Trial:
    number = len(study.get_trials(deepcopy=False))
    study.sampler = make_sampler("random", seed, number)
    trial = ask(study, number, {"share": share, **genes})
    genome_of(trial)
    keep(study)
    return trial


# Drawing.


def test_a_trial_has_the_genes_that_were_set_and_draws_the_others(study: optuna.Study) -> None:
    trial = asked(study, share=0.25, stem_kernel=5, rotation=0.125)
    genome = genome_of(trial)
    assert (genome.share, genome.stem_kernel, genome.rotation) == (0.25, 5, 0.125)
    assert trial.params == genome.to_json()
    assert study.trials[0].params == genome.to_json()


def test_no_two_trials_draw_the_same_and_no_two_seeds_do(tmp_path: Path) -> None:
    drawn = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        study = open_study(StudyFolder(tmp_path / str(seed)), SETTINGS)
        drawn += [genome_of(asked(study, seed=seed)).to_json() for _ in range(4)]
        close_study(study)
    for one, other in itertools.combinations(drawn, 2):
        differing = sum(one[name] != other[name] for name in one)
        assert differing > len(one) / 3


def test_a_sampler_made_again_draws_what_it_drew(tmp_path: Path) -> None:
    drawn = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        study = open_study(StudyFolder(tmp_path / run), SETTINGS)
        drawn.append([genome_of(asked(study, seed=3)) for _ in range(2)])
        close_study(study)
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("genes", [0, 1, 10, 28])
def test_a_trial_that_a_crash_left_half_drawn_is_drawn_again_to_the_same(
    genes: int, study: optuna.Study, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    undisturbed = open_study(StudyFolder(tmp_path / "whole"), SETTINGS)
    wanted = genome_of(asked(undisturbed, share=0.5))
    close_study(undisturbed)

    study.sampler = make_sampler("random", 0, 0)
    study.enqueue_trial({"share": 0.5})
    left = study.ask()
    from pennyweight.search.sampling import DISTRIBUTIONS

    for name in list(DISTRIBUTIONS)[:genes]:
        left._suggest(name, DISTRIBUTIONS[name])
    assert genome_of(asked_again(study)) == wanted
    assert [trial.params for trial in study.trials] == [wanted.to_json()]


def asked_again(study: optuna.Study) -> Trial:
    study.sampler = make_sampler("random", 0, 0)
    return ask(study, 0, {"share": 0.5})


@pytest.mark.parametrize("kind", ["tpe", "nsga2", "random"])
def test_every_sampler_is_seeded_by_study_and_trial(kind: Sampler) -> None:
    def state(seed: int, number: int) -> str:
        sampler = make_sampler(kind, seed, number)
        rng = next(value for name, value in vars(sampler).items() if "rng" in name)
        return str(rng.rng.get_state())

    states = {(seed, number): state(seed, number) for seed in (0, 1, 2) for number in (0, 1, 50)}
    assert len(set(states.values())) == len(states)
    assert state(1, 50) == states[1, 50]


def test_the_default_sampler_models_genes_together_and_reckons_with_running_trials() -> None:
    sampler = make_sampler("tpe", 0, 0)
    assert isinstance(sampler, TPESampler)
    assert sampler._multivariate
    assert sampler._constant_liar


def test_the_largest_seed_and_a_long_study_are_in_range() -> None:
    for kind in sorted(set(get_args(Sampler)) - {"gp"}):
        make_sampler(kind, 2**31 - 1, 10**6)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is here")
def test_the_sampler_that_needs_pytorch_says_so_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"--sampler gp needs PyTorch: `pip install") as caught:
        make_sampler("gp", 0, 0)
    assert "\n" not in str(caught.value)


# Pruning.


def reports(study: optuna.Study, share: float, *scores: float) -> bool:
    """Whether a new trial of `share` is pruned at the last of the rungs that it scored at."""
    trial = asked(study, share)
    pruned = False
    for epoch, score in zip(SETTINGS.rungs, scores, strict=False):
        trial.report(score, epoch)
        pruned = trial.should_prune()
    return pruned


def test_the_best_third_goes_on(study: optuna.Study) -> None:
    pruned = [reports(study, 1.0, score) for score in (0.5, 0.4, 0.6, 0.55, 0.3, 0.59, 0.61)]
    # The first is the best so far; from six on there are two places.
    assert pruned == [False, True, False, True, True, False, False]


def test_a_trial_is_compared_with_those_of_its_share_alone(study: optuna.Study) -> None:
    for _ in range(3):
        reports(study, 1.0, 0.9)
    assert not reports(study, 0.125, 0.4)
    assert reports(study, 0.125, 0.35)
    assert reports(study, 1.0, 0.5)
    assert not reports(study, 0.5, 0.4)


def test_a_network_that_learned_nothing_is_pruned_though_it_is_the_first_of_its_share(
    study: optuna.Study,
) -> None:
    assert not reports(study, 0.125, 0.1)  # before others have learned, it may be slow
    for score in (0.6, 0.9, 0.9):
        reports(study, 1.0, score)
    assert reports(study, 0.5, 0.1)
    assert not reports(study, 0.25, 0.3)


def test_what_others_learned_later_says_nothing_of_the_first_rung(study: optuna.Study) -> None:
    for _ in range(4):
        reports(study, 1.0, 0.2, 0.9)
    assert not reports(study, 0.5, 0.1)
    assert reports(study, 0.25, 0.1, 0.1)


def test_a_later_rung_is_compared_with_that_rung(study: optuna.Study) -> None:
    assert not reports(study, 1.0, 0.5, 0.8)
    assert reports(study, 1.0, 0.6, 0.7)
    assert not reports(study, 1.0, 0.6, 0.9)


@pytest.mark.parametrize("score", [0.5, 0.1])
def test_a_trial_goes_on_though_others_overtook_it_while_its_coordinator_was_dead(
    study: optuna.Study, score: float
) -> None:
    trial = asked(study)
    trial.report(score, SETTINGS.first_rung)
    assert not trial.should_prune()
    for _ in range(6):
        reports(study, 1.0, 0.9)
    (taken_over,) = [t for number, t in running(study).items() if number == trial.number]
    assert not taken_over.should_prune()


def test_a_comparison_that_a_crash_cut_short_is_made_again(study: optuna.Study) -> None:
    for score in (0.5, 0.6, 0.7):
        reports(study, 1.0, score)
    trial = asked(study)
    trial.report(0.55, SETTINGS.first_rung)
    assert trial.should_prune()  # noted at the trial before it was answered
    assert running(study)[trial.number].should_prune()
    assert went_on(SETTINGS.first_rung) not in study.trials[trial.number].system_attrs


def test_without_a_report_nothing_is_pruned(study: optuna.Study) -> None:
    assert not asked(study).should_prune()


# The database.


@pytest.mark.parametrize("name", ["a b", "50%41", "what?x=1", "ä#", "x@y:z"])
def test_the_database_lies_in_the_studys_folder_however_that_is_called(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / name / "study"
    folder.mkdir(parents=True)
    study = open_study(StudyFolder(folder), SETTINGS)
    asked(study)
    close_study(study)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path(name) / "study" / "study.db"
    ]
    again = open_study(StudyFolder(folder), SETTINGS)
    assert len(again.trials) == 1
    close_study(again)


def test_a_database_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"\n\n" * 1000)
    with pytest.raises(
        UsageError, match=r"is no readable Optuna study \(.+\): delete it"
    ) as caught:
        open_study(StudyFolder(tmp_path), SETTINGS)
    assert str(tmp_path / "study.db") in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_study_is_opened_with_the_pruner_of_its_settings(tmp_path: Path) -> None:
    """Eighteen epochs begin at 2, so that a report after 1 is no rung."""
    study = open_study(StudyFolder(tmp_path), replace(SETTINGS, budget=Budget(max_epochs=18)))
    for score, epoch in ((0.9, 2), (0.1, 1)):
        trial = asked(study)
        trial.report(score, epoch)
        assert not trial.should_prune()
    trial.report(0.1, 2)
    assert trial.should_prune()
    close_study(study)
