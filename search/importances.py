"""Which genes mattered, as Optuna tells from the trials of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pennyweight.results.report import Importances, Missing
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.genome import structural

LEAST_TRIALS = 20
MOST_TRIALS = 500  # that are looked at, which takes seconds; 2,000 took over a minute
TREES = 16


class _Told(NamedTuple):
    """What a trial chose, and how accurate it was after the first rung."""

    genome: dict[str, Any]
    accuracy: float


def importances(study: StudyRecords) -> Importances | Missing:
    """How much of the differences in accuracy after the first rung each gene explains.

    By functional ANOVA (Hutter et al., ICML 2014), which found a planted choice among 20 trials in
    ten tries of ten, and Optuna's default, PED-ANOVA, in none. At the first rung all trials are
    comparable, while only the best see the later ones.
    """
    if study.trials and not any(trial.genome for trial in study.trials.values()):
        return Missing("One network was trained, so there is nothing to compare.")
    epoch, told = _first_rung(study)
    told = told[:: -(-len(told) // MOST_TRIALS) or 1]
    if len(told) < LEAST_TRIALS:
        return Missing(
            f"It takes at least {LEAST_TRIALS} trials that came to the first rung to tell, and "
            f"there {'is' if len(told) == 1 else 'are'} {len(told)}."
        )
    if len({accuracy for _, accuracy in told}) == 1:
        return Missing("After the first rung all trials were equally accurate.")
    try:
        shares = _shares(told)
    except ValueError:  # Optuna's, of parameters without a distribution or beyond it
        return Missing("The trials were proposed by another version, from another space.")
    return Importances(
        shares=shares,
        trials=len(told),
        structures=len({tuple(each.genome[gene] for gene in structural()) for each in told}),
        epoch=epoch,
    )


def _first_rung(study: StudyRecords) -> tuple[int, list[_Told]]:
    """The epoch of the first rung, and the trials that came to it."""
    reached = [(trial, trial.rungs[0]) for trial in study.trials.values() if trial.rungs]
    epoch = min((rung.epoch for _, rung in reached), default=0)
    return epoch, [
        _Told(dict(trial.genome), rung.val_correct / rung.val_total)
        for trial, rung in reached
        if trial.genome and rung.epoch == epoch and rung.val_correct is not None
    ]


def _shares(told: Sequence[_Told]) -> dict[str, float]:
    import optuna

    from pennyweight.search.sampling import DISTRIBUTIONS

    optuna_study = optuna.create_study(direction="maximize")  # in memory
    optuna_study.add_trials(
        optuna.create_trial(params=genome, distributions=DISTRIBUTIONS, value=accuracy)
        for genome, accuracy in told
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    shares = optuna.importance.get_param_importances(optuna_study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}
