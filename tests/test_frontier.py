"""The frontier: several caps, each search begun with the best of those before it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import SMALL, confirmed, copied, pennyweight, said, trained, tree
from PIL import Image

from pennyweight.arch.budget import Budget
from pennyweight.results import frontier
from pennyweight.results.confirmed import confirmed as confirmed_trials
from pennyweight.results.frontier import FrontierPoint, frontier_point
from pennyweight.results.published import PUBLISHED, best_within
from pennyweight.results.studies import load_study
from pennyweight.search.settings import Settings

FLAGS = ["--max-epochs", "1", "--trials", "3", "--workers", "1", "--top", "1", "--seeds", "2"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the frontier of two caps, one of which was searched and confirmed before."""
    folder = copied(confirmed()[0], tmp_path_factory.mktemp("frontier") / "here")
    (folder / "runs" / "small").rename(folder / "runs" / "digits-60-epochs1")
    ran = pennyweight("frontier", "--max-params", "90,60", *FLAGS, "--json", cwd=folder)
    assert ran.status == 0, ran.err
    (folder / "printed.json").write_text(ran.out)
    return folder


def test_each_cap_has_its_point_the_smallest_first(drawn: Path) -> None:
    printed = json.loads((drawn / "printed.json").read_text())
    assert [point["cap"] for point in printed["points"]] == [60, 90]
    for point in printed["points"]:
        study = load_study(drawn / "runs", f"digits-{point['cap']}-epochs1")
        assert vars(frontier_point(study, confirmed_trials(study)[0])) == point
        assert point["params"] <= point["cap"]
        assert point["seeds"] == 2


def test_a_larger_cap_asks_the_best_of_the_smaller_first(drawn: Path) -> None:
    smaller, larger = (load_study(drawn / "runs", f"digits-{cap}-epochs1") for cap in (60, 90))
    trial = larger.trials[0]
    name, _, number = trial.proposer.partition(":")
    assert name == "digits-60-epochs1"
    before = smaller.trials[int(number)]
    assert before.state == "complete"
    assert trial.genome == dict(before.genome) | {"share": 1.0}
    assert larger.settings["after"] == ["digits-60-epochs1"]
    assert next(iter(larger.settings["first"])) == trial.proposer


def test_done_once_it_is_only_shown(drawn: Path) -> None:
    before = tree(drawn / "runs")
    flags = [*FLAGS, "--picture", "again.svg"]
    ran = pennyweight("frontier", "--max-params", "60,90", *flags, cwd=drawn)
    assert ran.status == 0, ran.err
    assert tree(drawn / "runs") == before
    assert "drawn: again.svg" in ran.out
    assert (drawn / "again.svg").read_bytes().startswith(b"<?xml")


def test_the_picture_is_a_picture(drawn: Path) -> None:
    with Image.open(drawn / "runs" / "frontier-digits.png") as picture:
        assert picture.size == (1200, 750)


def test_the_published_networks_are_beside_ours(tmp_path: Path) -> None:
    point = FrontierPoint(
        cap=1_000,
        study="a",
        trial=0,
        notation="2[c4]",
        params=990,
        deployed_params=990,
        macs=1,
        epochs=15,
        seeds=10,
        mean=0.985,
        low=0.98,
        high=0.99,
    )
    from pennyweight.results.terminal import as_text

    text = as_text(frontier.as_table("mnist", [point]))
    assert "98.50 [98.00, 99.00]" in text
    assert "99.03 (697)" in text
    assert "2[c4]" in text
    assert frontier.as_json("mnist", [point])["published"][0]["params"] == 697
    frontier.draw(tmp_path / "a.svg", "mnist", [point])
    assert "published" in (tmp_path / "a.svg").read_text()


def test_published_networks_are_in_order_and_of_a_size() -> None:
    for known in PUBLISHED.values():
        assert [each.params for each in known] == sorted(each.params for each in known)
        assert all(0.5 < each.accuracy < 1 for each in known)
    assert best_within("mnist", 100) is None
    assert best_within("no such data", 10**9) is None


@pytest.mark.parametrize(
    ("flags", "clue"),
    [
        (["--max-params", "60,x"], "--max-params must be a whole number"),
        (["--max-params", "60,60"], "--max-params must be different caps"),
        (["--max-params", "60,2"], "--max-params must be at least"),
        (["--picture", "a.jpg"], "--picture must be a .png"),
        (["--picture", "none/a.png"], "in a folder that exists"),
        (["--trials", "0"], "--trials must be"),
    ],
)
def test_what_cannot_be_gets_one_line_before_anything_is_searched(
    flags: list[str], clue: str, tmp_path: Path
) -> None:
    assert clue in said(pennyweight("frontier", *flags, cwd=tmp_path))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("flags", "clue"),
    [
        (["--study", "new", "--after", "smal"], "did you mean small"),
        (["--study", "new", "--after", "one"], "or no search"),
        (["--study", "small", "--after", "small"], "after is nothing there and small here"),
    ],
)
def test_a_search_begins_only_with_what_another_search_found(
    flags: list[str], clue: str, tmp_path: Path
) -> None:
    folder = copied(confirmed()[0], tmp_path / "here")
    copied(trained()[0] / "runs" / "one", folder / "runs" / "one")
    before = tree(folder)
    assert clue in said(pennyweight("search", *SMALL[:-2], *flags, cwd=folder))
    assert tree(folder) == before


def test_a_search_does_not_begin_with_what_saw_its_test_set(tmp_path: Path) -> None:
    folder = copied(confirmed()[0], tmp_path / "here")
    flags = ["--data", "digits:fold1", "--max-params", "60", "--after", "small"]
    assert "another part of the same pictures" in said(pennyweight("search", *flags, cwd=folder))


def test_a_study_goes_on_as_it_began(drawn: Path) -> None:
    """The same command, or one without --after: what is best elsewhere may have changed since."""
    study = load_study(drawn / "runs", "digits-90-epochs1")
    group = study.settings["group"]
    settings = Settings(data="digits", budget=Budget(max_params=90, max_epochs=1), group=group)
    same = replace(settings, after=("digits-60-epochs1",))
    other = replace(settings, after=("one",))
    for asked in (settings, same):
        assert asked.gone_on_with(study.settings).differences(study.settings) == []
        assert asked.gone_on_with(study.settings).first == study.settings["first"]
    assert other.gone_on_with(study.settings).differences(study.settings) == [
        "after is digits-60-epochs1 there and one here"
    ]
