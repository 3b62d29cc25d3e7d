"""Coarse to fine: the ranges in which a search looks around the best of an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pennyweight.results.leaderboard import rows
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.genome import Value, check_genome, choices

FEWEST, MOST = 3, 10  # of the best that say where to look: a fifth of the complete trials
MARGIN = 0.1  # beyond the lowest and the highest of them, of a gene's 0 to 1


def ranges_around(
    study: StudyRecords, others: Iterable[Mapping[str, Value]] = ()
) -> dict[str, Sequence[Any]]:
    """For each gene but the share: (lowest, highest), or the choices that are left.

    They hold the best of `study` that spent the whole budget (all, where none did), and `others`.
    """
    best = [*_best_genomes(study), *others]
    return {
        name: _between([genome[name] for genome in best], options)
        for name, options in choices().items()
        if name != "share"
    }


def _best_genomes(study: StudyRecords) -> list[Mapping[str, Value]]:
    complete = [study.trials[row.trial] for row in rows(study) if row.state == "complete"]
    whole = [trial for trial in complete if trial.share == 1] or complete
    wanted = min(MOST, max(FEWEST, len(whole) // 5))
    for trial in whole[:wanted]:
        check_genome(f"{study.study}:{trial.trial}", trial.genome)
    return [trial.genome for trial in whole[:wanted]]


def _between(values: list[Any], options: tuple[Value, ...] | None) -> Sequence[Any]:
    if options is not None:
        return [option for option in options if option in values]
    return [max(0.0, min(values) - MARGIN), min(1.0, max(values) + MARGIN)]
