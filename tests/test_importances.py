"""Which genes mattered: a planted one is found, and where nothing can be told that is said."""

import random
from dataclasses import replace
from typing import Any

import pytest
from reports import TOTAL, study, trial

from pennyweight.results.report import Importances, Missing
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.genome import choices, random_genome
from pennyweight.search.importances import LEAST_TRIALS, MOST_TRIALS, importances


def with_genome(record: TrialRecord, genome: dict[str, Any], correct: int) -> TrialRecord:
    rungs = tuple(replace(rung, val_correct=correct) for rung in record.rungs)
    return replace(record, genome=genome, rungs=rungs)


def planted(gene: str, trials: int, seed: int = 0) -> StudyRecords:
    """Trials that are accurate where `gene` is high, or its first choice, and else are not."""
    draw = random.Random(seed)
    made = []
    for number in range(trials):
        genome = random_genome(draw).to_json()
        options = choices()[gene]
        worth = genome[gene] if options is None else float(genome[gene] == options[0])
        correct = round(TOTAL * (0.5 + 0.4 * float(worth))) - draw.randrange(3)
        made.append(with_genome(trial(number), genome, correct))
    return study(*made)


@pytest.mark.parametrize("gene", ["learning_rate", "width2", "norm", "optimiser"])
def test_the_gene_that_decides_is_found(gene: str) -> None:
    found = importances(planted(gene, 40))
    assert isinstance(found, Importances)
    assert next(iter(found.shares)) == gene
    assert found.shares[gene] > 0.9
    assert sum(found.shares.values()) == pytest.approx(1)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    assert set(found.shares) <= set(choices())
    assert (found.trials, found.epoch) == (40, 2)
    assert 1 < found.structures <= 40


def test_the_same_trials_tell_the_same() -> None:
    assert importances(planted("norm", 30)) == importances(planted("norm", 30))


def test_what_counts_is_the_first_rung_alone() -> None:
    found = planted("norm", 40)
    turned = {
        number: replace(
            each, rungs=(each.rungs[0], replace(each.rungs[1], val_correct=number)), state="pruned"
        )
        for number, each in found.trials.items()
    }
    assert importances(replace(found, trials=turned)) == importances(found)


def why(records: StudyRecords) -> str:
    missing = importances(records)
    assert isinstance(missing, Missing)
    return missing.why


def test_too_few_trials_are_counted() -> None:
    enough = planted("norm", LEAST_TRIALS)
    assert isinstance(importances(enough), Importances)
    one_less = dict(list(enough.trials.items())[1:])
    assert why(replace(enough, trials=one_less)).endswith("and there are 19.")
    waiting = {**one_less, 99: replace(trial(99, "running", rungs=0), genome={"norm": "none"})}
    assert why(replace(enough, trials=waiting)).endswith("and there are 19.")
    assert why(study()).endswith("and there are 0.")


def test_one_network_that_was_trained_has_nothing_to_compare() -> None:
    assert "nothing to compare" in why(study(trial(0)))


def test_equally_accurate_trials_tell_nothing() -> None:
    found = planted("norm", 30)
    same = {n: with_genome(each, dict(each.genome), 250) for n, each in found.trials.items()}
    assert "equally accurate" in why(replace(found, trials=same))


@pytest.mark.parametrize("change", [{"norm": "sometimes"}, {"share": 0.3}, {"learning_rate": 7.0}])
def test_another_versions_space_is_named(change: dict[str, Any]) -> None:
    found = planted("norm", 30)
    strange = {
        n: replace(each, genome={**each.genome, **change}) for n, each in found.trials.items()
    }
    assert "another space" in why(replace(found, trials=strange))


def test_a_gene_that_this_version_does_not_know_is_another_space() -> None:
    found = planted("norm", 30)
    more = {n: replace(each, genome={**each.genome, "new": 1}) for n, each in found.trials.items()}
    fewer = {
        n: replace(each, genome={k: v for k, v in each.genome.items() if k != "depth1"})
        for n, each in found.trials.items()
    }
    assert "another space" in why(replace(found, trials=more))
    assert "another space" in why(replace(found, trials=fewer))


def test_of_many_trials_some_are_looked_at_from_beginning_to_end() -> None:
    few = planted("norm", 30)
    many = {100 * n + k: t for n, t in few.trials.items() for k in range(40)}
    found = importances(replace(few, trials=dict(sorted(many.items()))))
    assert isinstance(found, Importances)
    assert MOST_TRIALS // 2 < found.trials <= MOST_TRIALS
    assert found.structures == 30
