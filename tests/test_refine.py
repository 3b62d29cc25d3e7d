"""Coarse to fine: a search that looks only around the best of an earlier one."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import SMALL, copied, pennyweight, said, searched, trained, tree
from optuna.distributions import CategoricalDistribution, FloatDistribution
from searches import SETTINGS

from pennyweight.arch.errors import UsageError
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.genome import choices, random_genome
from pennyweight.search.proposals import FIRST, Proposals
from pennyweight.search.refine import MARGIN, ranges_around
from pennyweight.search.sampling import DISTRIBUTIONS, make_sampler, space_of

REFINED = ["search", "--max-params", "60", "--max-epochs", "1", "--workers", "1", "--refine"]


def coarse() -> StudyRecords:
    return load_study(searched()[0] / "runs", "small")


def test_ranges_hold_the_best_and_not_much_more() -> None:
    study = coarse()
    genomes = [trial.genome for trial in study.trials.values()]
    ranges = ranges_around(study)
    assert list(ranges) == [name for name in choices() if name != "share"]
    for name, between in ranges.items():
        values = [genome[name] for genome in genomes]
        if (options := choices()[name]) is not None:
            assert list(between) == [option for option in options if option in values]
        else:
            low, high = between
            assert 0 <= low <= min(values) <= max(values) <= high <= 1
            assert high - low <= max(values) - min(values) + 2 * MARGIN + 1e-9


def test_what_is_to_be_asked_first_is_within_the_ranges_too() -> None:
    flat = FIRST["flat"].to_json() | {"learning_rate": 0.01, "padding": "mixed"}
    ranges = ranges_around(coarse(), [flat])
    assert ranges["learning_rate"][0] == 0.0
    assert "mixed" in ranges["padding"]


def test_the_space_is_narrowed_and_keeps_its_genes() -> None:
    space = space_of({"learning_rate": [0.2, 0.3], "padding": ["same"]})
    assert list(space) == list(DISTRIBUTIONS)
    assert space["learning_rate"] == FloatDistribution(0.2, 0.3)
    assert space["padding"] == CategoricalDistribution(["same"])
    assert space["share"] == DISTRIBUTIONS["share"]
    known = make_sampler("tpe", 0, 0, space=space)._space  # type: ignore[attr-defined]
    assert "padding" not in known, "nothing is to be chosen there"


def test_examples_of_a_dry_run_are_within_the_ranges() -> None:
    ranges = ranges_around(coarse())
    draw = random.Random(0)
    for _ in range(50):
        for name, value in random_genome(draw, ranges=ranges).to_json().items():
            if name != "share":
                between = ranges[name]
                numeric = choices()[name] is None
                assert between[0] <= value <= between[1] if numeric else value in between


def test_networks_made_by_hand_are_asked_only_where_they_are_wanted() -> None:
    flat = FIRST["flat"].to_json()
    proposals = Proposals(4, 500, after={"small:7": flat}, own=False)
    assert [name for name, _ in proposals.first] == ["small:7"]


def test_a_refined_search_looks_nowhere_else_and_goes_on(tmp_path: Path) -> None:
    folder = copied(searched()[0], tmp_path / "work")
    ran = pennyweight(*REFINED, "small", "--trials", "4", "--json", cwd=folder)
    assert ran.json["study"] == "digits-60-epochs1-refined"
    (folder / "runs/digits-60-epochs1-refined/study.db").unlink()  # made anew from the records
    again = pennyweight(*REFINED, "small", "--trials", "8", "--json", cwd=folder)
    assert again.json["trials"]["asked"] == 8
    study = load_study(folder / "runs", "digits-60-epochs1-refined")
    ranges = study.settings["ranges"]
    assert study.settings["refine"] == "small"
    assert ranges == json.loads(
        json.dumps(ranges_around(coarse(), study.settings["first"].values()))
    )
    proposers = [trial.proposer for trial in study.trials.values()]
    assert [name.partition(":")[0] for name in proposers[:2]] == ["small", "small"]
    assert set(proposers[2:]) == {"sampler"}
    for trial in study.trials.values():
        for name, between in ranges.items():
            value = trial.genome[name]
            numeric = choices()[name] is None
            assert between[0] <= value <= between[1] if numeric else value in between, name
    line = said(pennyweight(*REFINED, "other", "--trials", "8", cwd=folder))
    assert "exists with other settings (refine is small there and other here)" in line


def test_bad_studies_get_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    folder = copied(searched()[0], tmp_path / "work")
    (folder / "runs" / "one").symlink_to(trained()[0] / "runs" / "one")
    before = tree(folder)
    for flags, message in {
        "nothing": "There is no study 'nothing' in runs",
        "one": "--refine needs searches of this version's space, but one is of another or no se",
        "small --after small": "--refine asks the best of small first by itself",
        "small --study small": "exists with other settings (refine is nothing there and small h",
        "small --data digits:fold2": "is on digits, another part of the same pictures",
    }.items():
        assert message in said(pennyweight(*REFINED, *flags.split(), cwd=folder)), flags
    assert tree(folder) == before
    assert SMALL[:2] == REFINED[1:3]


def test_a_study_without_it_is_described_as_before() -> None:
    assert not {"refine", "ranges", "first", "after"} & SETTINGS.to_json().keys()
    with pytest.raises(UsageError, match="leave out --after"):
        replace(SETTINGS, refine="a", after=("b",))
