"""Optuna's side of a study: storage, sampler, pruner, and trials gone on with after a crash."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from pennyweight.arch.errors import UsageError
from pennyweight.search.genome import Genome, Value, choices
from pennyweight.search.settings import ETA, Sampler, Settings

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    name: FloatDistribution(0.0, 1.0) if options is None else CategoricalDistribution(options)
    for name, options in choices().items()
}

optuna.logging.set_verbosity(optuna.logging.ERROR)  # our own progress says it, once


def open_study(folder: Path, settings: Settings) -> optuna.Study:
    """The Optuna study in `folder`, made where there is none.

    Raises UsageError when the database is damaged, or by a newer Optuna.
    """
    path = folder / "study.db"
    try:
        return optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=folder.name,
            direction="maximize",
            pruner=WithinShare(settings),
            load_if_exists=True,
        )
    except Exception as error:  # SQLAlchemy's and Optuna's share no base
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{path} is no readable Optuna study ({reason}): restore it, or name a new --study."
        ) from error


def make_sampler(kind: Sampler, seed: int, number: int) -> BaseSampler:
    """The sampler for one trial, seeded by (study seed, trial number).

    A sampler that goes on after a restart would draw its old points again, so each ask gets its
    own.
    """
    # Two coprime strides: no two (seed, number) of any real study give the same.
    seed = (seed * 1_000_003 + number * 7_919) % 2**32
    if kind == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    if kind == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    try:
        import torch  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UsageError(
            "--sampler gp needs PyTorch: `pip install pennyweight[gp]`, or use --sampler tpe."
        ) from None
    return optuna.samplers.GPSampler(seed=seed)


class WithinShare(BasePruner):
    """Successive halving among trials of equal share (Li et al., arXiv:1810.05934).

    A network of an eighth of the budget loses to one of the whole budget, but may still be the
    best of its size.
    """

    def __init__(self, settings: Settings) -> None:
        self._halving = SuccessiveHalvingPruner(
            min_resource=settings.first_rung, reduction_factor=ETA
        )

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self._halving.prune(_SameShare(study, trial.params["share"]), trial)


class _SameShare(optuna.Study):
    """A view of a study with the trials of one share alone, as Hyperband's of its brackets."""

    def __init__(self, study: optuna.Study, share: float) -> None:
        super().__init__(study.study_name, study._storage, pruner=study.pruner)
        self._share = share

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = super().get_trials(deepcopy=deepcopy, states=states)
        return [trial for trial in trials if trial.params.get("share") == self._share]


def ask(study: optuna.Study, fixed: dict[str, Value]) -> Trial:
    """A new trial whose `fixed` genes are set; one left waiting by a crash is taken first."""
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(fixed)
    return study.ask()


def genome_of(trial: Trial) -> Genome:
    """The genome of `trial`: genes it has already are kept, the others drawn."""
    genes = {name: trial._suggest(name, space) for name, space in DISTRIBUTIONS.items()}
    return Genome(**genes)


def running(study: optuna.Study) -> dict[int, Trial]:
    """The trials a coordinator left running, by number, to be gone on with."""
    frozen = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return {trial.number: Trial(study, trial._trial_id) for trial in frozen}
