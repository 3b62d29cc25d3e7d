"""Optuna's TPE for long studies: what a question costs is bounded."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import FrozenTrial, TrialState

NEWEST = 500  # trials, beside the good ones, that a question looks at

Asked = tuple[int, tuple[str, ...]]  # the number of a trial and the genes to draw
Models = tuple[_ParzenEstimator, _ParzenEstimator]  # of the good trials, and of the others


class Tpe(TPESampler):
    """The sampler of one trial: at first it draws what Optuna's would, but sooner.

    It is told the space, which Optuna's would gather from all trials, and which genes are `fixed`:
    those it does not draw, so that what is drawn is chosen by what is free. Of the sampler `before`
    it takes over what that had worked out. The next attempt at the same trial takes the next best
    of what was drawn for the one before it: where the best is known already, so is the best of
    another draw, mostly. Trials that are asked together, from `first` on, are asked by what was
    known before the first of them. Trials that run count as not good, as with Optuna's
    `constant_liar`, which would keep a copy of each one's genes for that. From `NEWEST` trials on,
    old ones that were not good are left out: at 800 trials a question took 0.2 s, and twice as many
    trials took twice as long.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        before: BaseSampler | None = None,
        fixed: Container[str] = (),
        first: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        # As Optuna does, it leaves out the genes of which but one value is left.
        self._genes = {name: genes for name, genes in space.items() if not genes.single()}
        self._space = {name: genes for name, genes in self._genes.items() if name not in fixed}
        self._first = first
        self._models: dict[Asked, Models] = {}  # of the first trial of those asked together
        self._drawn: dict[Asked, list[dict[str, Any]]] = {}  # of one question, the best last
        self._rows: dict[int, list[float]] = {}  # all genes of other trials as numbers
        self._good: set[int] = set()  # the good trials of the last question, and
        self._oldest = 0  # the first of the others that a question may still look at
        if isinstance(before, Tpe):
            self._models, self._drawn, self._rows = before._models, before._drawn, before._rows
            self._good, self._oldest = before._good, before._oldest

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        del study, trial
        return self._space

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        asked = trial.number, tuple(search_space)
        if not self._drawn.get(asked):
            good, others = self._known(study, trial)
            drawn = good.sample(self._rng.rng, self._n_ei_candidates)
            worth = self._compute_acquisition_func(drawn, good, others)
            by_worth = np.argsort(-worth, kind="stable")[::-1]
            self._drawn.clear()
            self._drawn[asked] = [{name: drawn[name][i].item() for name in drawn} for i in by_worth]
        best = self._drawn[asked].pop()
        return {name: genes.to_external_repr(best[name]) for name, genes in search_space.items()}

    def _known(self, study: Study, trial: FrozenTrial) -> Models:
        first = trial.number if self._first is None else self._first
        asked = first, tuple(self._space)
        if asked not in self._models:
            for other in [other for other in self._models if other[0] != first]:
                del self._models[other]
            self._models[asked] = self._learned(study, first)
        return self._models[asked]

    def _learned(self, study: Study, first: int) -> Models:
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        trials = study._get_trials(deepcopy=False, states=states)
        trials = [other for other in trials if other.number < first]
        ended = sum(other.state != TrialState.RUNNING for other in trials)
        trials = [t for t in trials if t.number >= self._oldest or t.number in self._good]
        most = default_gamma(ended)
        good, others = _split_trials(study, trials, most)  # in the order of their numbers
        self._good = {t.number for t in good}
        # Later questions have fewer others among these by as many as may turn out good.
        if len(others) > NEWEST + most:
            self._oldest = others[-NEWEST - most].number
        others = others[-NEWEST:]
        known = self._rows
        rows = {t.number: known.get(t.number) or self._row(t) for t in (*good, *others)}
        known.clear()
        known.update(rows)
        return self._model(study, good), self._model(study, others)

    def _model(self, study: Study, trials: list[FrozenTrial]) -> _ParzenEstimator:
        return self._build_parzen_estimator(study, self._space, trials, handle_below=False)

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, np.ndarray]:
        del study
        table = np.array([self._rows[trial.number] for trial in trials])
        table = table.reshape(len(trials), len(self._genes))
        columns = {name: table[:, column] for column, name in enumerate(self._genes)}
        return {name: columns[name] for name in search_space}

    def _row(self, trial: FrozenTrial) -> list[float]:
        return [genes.to_internal_repr(trial.params[n]) for n, genes in self._genes.items()]
