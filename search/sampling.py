"""Optuna's side of a study: storage, sampler, pruner, and trials gone on with after a crash."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Mapping, Sequence
from statistics import median
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm, in a notebook
    import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from pennyweight.arch.errors import RunError, UsageError
from pennyweight.results.store import Store
from pennyweight.search.genome import Genome, Value, choices
from pennyweight.search.settings import ETA, Sampler, Settings
from pennyweight.search.storage import SoleWriter
from pennyweight.search.tpe import Tpe

NOTHING = 1 / 3  # of the usual accuracy: with ten classes, chance is a tenth of what most reach

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    name: FloatDistribution(0.0, 1.0) if options is None else CategoricalDistribution(options)
    for name, options in choices().items()
}


def space_of(ranges: Mapping[str, Sequence[Any]]) -> dict[str, BaseDistribution]:
    """The genes' distributions within `ranges`: all of each gene that has none."""
    return DISTRIBUTIONS | {
        name: FloatDistribution(*between)
        if isinstance(DISTRIBUTIONS[name], FloatDistribution)
        else CategoricalDistribution(between)
        for name, between in ranges.items()
    }


optuna.logging.set_verbosity(optuna.logging.ERROR)  # our own progress says it, once


def open_study(store: Store, settings: Settings) -> optuna.Study:
    """The Optuna study in `store`, made where there is none; `close_study` it in the end.

    Raises UsageError when the database is damaged, or by a newer Optuna.
    """
    database = store.optuna()
    try:
        return _study(SoleWriter(database, store.name), store.name, WithinShare(settings))
    except (UsageError, RunError):
        raise
    except Exception as error:  # SQLAlchemy's and Optuna's share no base
        if store.refusal(error):
            raise
        reason = " ".join(str(error).split())[:100]
        raise UsageError(
            f"{database.shown} is no readable Optuna study ({reason}): delete it, and it is made "
            "anew from the records."
        ) from error


def emptied(study: optuna.Study) -> optuna.Study:
    """The study made anew, without a trial."""
    optuna.delete_study(study_name=study.study_name, storage=study._storage)
    return _study(study._storage, study.study_name, study.pruner)


def close_study(study: optuna.Study) -> None:
    """Close the database, so that it is one file again."""
    storage = study._storage
    assert isinstance(storage, SoleWriter)
    storage.close()


def _study(storage: BaseStorage, name: str, pruner: BasePruner) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
    )


def make_sampler(
    kind: Sampler,
    seed: int,
    number: int,
    attempt: int = 0,
    space: Mapping[str, BaseDistribution] = DISTRIBUTIONS,
    before: BaseSampler | None = None,
    fixed: Container[str] = (),
    first: int | None = None,
) -> BaseSampler:
    """The sampler for one trial, seeded by (study seed, trial number, attempt to draw it).

    A sampler that goes on after a restart would draw its old points again, so each ask gets its
    own; the one `before` spares it work. TPE does not draw the genes that are `fixed`, and asks by
    what was known before trial `first`, where that is given.
    """
    # Coprime strides: no two (seed, number) of any real study give the same.
    seed = (seed * 1_000_003 + number * 7_919 + attempt * 15_485_863) % 2**32
    if kind == "tpe":
        return Tpe(space, before, fixed, first, seed=seed, multivariate=True)
    if kind == "nsga2":
        # It breeds from complete trials alone, and of 60 trials a dozen are.
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=8)
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
    best of its size. But one that is right less than a third as often as the usual network of any
    size has learned nothing, and as the first of its size would be trained to the end.

    That a trial goes on is noted at it: a coordinator that takes it over from a killed one asks
    again, and gets the same answer though other trials have come further since.
    """

    def __init__(self, settings: Settings) -> None:
        self._rungs = settings.rungs
        self._halving = SuccessiveHalvingPruner(
            min_resource=settings.first_rung, reduction_factor=ETA
        )

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch not in self._rungs:
            return False
        # Optuna notes the comparison before it is made, and would not make it again.
        compared = f"completed_rung_{self._rungs.index(epoch)}"
        noted = dict(trial.system_attrs)
        fresh = copy.copy(trial)
        fresh.system_attrs = {key: noted[key] for key in noted if key != compared}
        halved = self._halving.prune(_Rivals(study, trial), fresh)
        pruned = halved or _learned_nothing(study, trial, epoch)
        if not pruned:
            study._storage.set_trial_system_attr(trial._trial_id, went_on(epoch), True)
        return pruned and went_on(epoch) not in noted


def _learned_nothing(study: optuna.Study, trial: FrozenTrial, epoch: int) -> bool:
    scores = [other.intermediate_values.get(epoch) for other in study.get_trials(deepcopy=False)]
    usual = median(score for score in scores if score is not None)
    return trial.intermediate_values[epoch] < NOTHING * usual


def went_on(epoch: int) -> str:
    """Under which name it is noted at a trial that it went on after `epoch`."""
    return f"went_on:{epoch}"


class _Rivals(optuna.Study):
    """A view of a study with a trial's rivals of its share, as Hyperband's of its brackets."""

    def __init__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().__init__(study.study_name, study._storage, pruner=study.pruner)
        self._number, self._share = trial.number, trial.params["share"]

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = super().get_trials(deepcopy=deepcopy, states=states)
        same = [trial for trial in trials if trial.params.get("share") == self._share]
        return [trial for trial in same if trial.number != self._number]


def ask(study: optuna.Study, number: int, fixed: dict[str, Value]) -> Trial:
    """Trial `number` with its `fixed` genes set; one that was being asked at a crash is taken."""
    storage, study_id = study._storage, study._study_id
    study._thread_local.cached_all_trials = None  # as `Study.ask` does
    try:
        left = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    except KeyError:
        # What `enqueue_trial` and `ask` make in two steps and with a reading of all trials.
        asked = optuna.create_trial(state=TrialState.RUNNING, system_attrs={"fixed_params": fixed})
        return Trial(study, storage.create_new_trial(study_id, asked))
    storage.set_trial_system_attr(left, "fixed_params", fixed)
    trial = Trial(study, left)
    # The genes it got already are drawn again: without them the others would be other ones.
    trial._cached_frozen_trial.params, trial._cached_frozen_trial.distributions = {}, {}
    return trial


def genome_of(trial: Trial, space: Mapping[str, BaseDistribution] = DISTRIBUTIONS) -> Genome:
    """The genome of `trial`, drawn."""
    genes = {name: trial._suggest(name, genes) for name, genes in space.items()}
    return Genome(**genes)


def keep(study: optuna.Study) -> None:
    """Put what was drawn into the database; until then a trial may be drawn anew."""
    assert isinstance(study._storage, SoleWriter)
    study._storage.flush()


def running(study: optuna.Study) -> dict[int, Trial]:
    """The trials that a coordinator left running, by number."""
    frozen = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return {trial.number: Trial(study, trial._trial_id) for trial in frozen}
