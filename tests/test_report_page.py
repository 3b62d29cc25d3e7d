"""The page: one file with the study's own numbers, a stranger's text only as text."""

import base64
import hashlib
import json
import re
import shlex
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import DESKTOP, PHONE, chromium, needs_chromium, opened
from command_line import confirmed, copied, pennyweight, searched_mnist
from conftest import prepared
from PIL import Image
from playwright.sync_api import Browser, Page
from reports import HOSTILE, of_every_state, report_of, study, trial

from pennyweight.arch.errors import visible
from pennyweight.results.leaderboard import rows
from pennyweight.results.report import MOST_TRIALS, Importances, Report, fate
from pennyweight.results.report_page import render
from pennyweight.results.tables import percent
from pennyweight.search.cli import app

LARGEST = 8_000_000  # bytes
NUMBERS = ("rank", "trial", "val_accuracy", "params", "deployed_params", "macs", "epochs")


CROWDED = """
    [...document.querySelectorAll("svg.network g")].filter(step => {
      const [name, cost] = [".name", ".cost"].map(kind => step.querySelector(kind)?.getBBox());
      return cost && name.x + name.width > cost.x;
    }).map(step => step.textContent)
"""  # steps of a drawing whose name runs into what they cost


class Parsed(HTMLParser):
    """The tags of a page, its text, and what each script and each cell holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag, tuple(name for name, _ in attrs)] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def values(self, tag: str, name: str) -> list[str]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(report_of(of_every_state(), tmp_path_factory.mktemp("plain")))


def test_nothing_is_fetched(plain: str) -> None:
    parsed = Parsed(plain)
    places = [v for _, name, v in parsed.attributes if name in ("src", "href", "action", "srcset")]
    assert len(places) > 5
    assert all(place.startswith(("#", "data:")) for place in places)
    assert parsed.tags["link", ("rel", "href")] == 0
    style = re.search(r"<style>(.*?)</style>", plain, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_only_the_scripts_of_the_page_may_run(plain: str) -> None:
    parsed = Parsed(plain)
    figures, *scripts = parsed.scripts
    json.loads(figures)
    assert len(scripts) == 2
    (policy,) = [p for p in parsed.values("meta", "content") if "default-src" in p]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert "default-src 'none'" in policy
    assert policy.partition("script-src")[2].strip() == allowed
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]


def test_a_strangers_text_adds_no_element_and_is_shown_as_it_is(plain: str, tmp_path: Path) -> None:
    page = render(report_of(of_every_state(HOSTILE), tmp_path / "plain"))
    hostile = Parsed(page)
    assert hostile.tags == Parsed(plain).tags
    assert hostile.text.count(visible(HOSTILE)) > 20
    assert "\u202e" not in page


def test_every_row_has_the_numbers_of_the_leaderboard(tmp_path: Path) -> None:
    records = of_every_state()
    page = render(report_of(records, tmp_path))
    table = page[page.index('<table class="sortable">') :]
    found = [re.findall(r'data-value="(.*?)"', row) for row in table.split("<tr class=")[1:]]
    for row, cells in zip(rows(records), found, strict=True):
        wanted = [getattr(row, name) for name in NUMBERS]
        assert [float(c) if c else None for c in cells[: len(NUMBERS)]] == wanted
        assert cells[len(NUMBERS)] == fate(records.trials[row.trial])
        assert percent(row) in page


def test_what_a_trial_ended_by_is_said(plain: str) -> None:
    text = " ".join(Parsed(plain).text.split())
    for told in ("pruned at rung 1why: plain", "diverged at rung 1", "failed at rung 1"):
        assert told in text
    assert "2 of its trials are still running, or were interrupted." in text


def test_each_missing_part_says_why(tmp_path: Path) -> None:
    text = Parsed(render(report_of(of_every_state(), tmp_path))).text
    assert "The weights of trial 0 are not in" in text
    assert "nobody asked" in text
    begun = Parsed(render(report_of(study(), tmp_path))).text
    assert begun.count("No trial was asked yet.") >= 4
    waiting = Parsed(render(report_of(study(trial(0, "running", rungs=0)), tmp_path))).text
    assert waiting.count("No trial has finished a rung yet") >= 4


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "test-readings.jsonl").write_text("no reading\n")
    text = Parsed(render(report_of(study(trial(0)), tmp_path))).text
    assert "How often the test set was read is not known: Line 1 of" in text


def test_confirmed_means_come_with_their_intervals_and_seeds(tmp_path: Path) -> None:
    report = report_of(study(trial(0), trial(1)), tmp_path)
    (found,) = report.confirmed
    text = Parsed(render(report)).text
    mean, low, high = (f"{100 * value:.2f}" for value in (found.mean, found.low, found.high))
    assert f"{mean} [{low}, {high}]" in text
    assert f"{found.mean:.2%}" in text
    assert "2 fresh seeds" in text
    assert "Confirmed" not in Parsed(render(report_of(study(), tmp_path))).text


def test_one_fresh_seed_has_no_interval(tmp_path: Path) -> None:
    records = study(trial(0))
    report = report_of(replace(records, fresh_runs=records.fresh_runs[:1]), tmp_path)
    text = Parsed(render(report)).text
    assert f"{100 * report.confirmed[0].mean:.2f}<" in render(report)
    assert "1 fresh seed" in text
    assert "inf" not in re.findall(r"\w+", text)


def test_accuracies_of_pictures_that_were_trained_on_say_so(tmp_path: Path) -> None:
    records = study(trial(0))
    whole = replace(records, settings={**records.settings, "whole": True})
    assert "trained on" not in Parsed(render(report_of(records, tmp_path))).text
    assert "validation pictures that were trained on too" in (
        Parsed(render(report_of(whole, tmp_path))).text
    )


def test_the_commands_it_shows_are_commands(tmp_path: Path) -> None:
    records = replace(study(trial(0)), command=["pennyweight", "search", "--study", "a b"])
    page = render(report_of(records, tmp_path))
    commands = [
        line for line in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL) if "pennyweight" in line
    ]
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command.replace("&#39;", "'"))
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert shlex.split(commands[0].replace("&#39;", "'"))[-1] == "a b"


def test_few_structures_are_no_more_than_a_hint(tmp_path: Path) -> None:
    report = report_of(study(trial(0)), tmp_path)
    for structures, hint in ((8, True), (100, False)):
        told = Importances(shares={"norm": 1.0}, trials=200, structures=structures, epoch=2)
        assert ("take it as a hint" in render(replace(report, importances=told))) == hint


def test_thousands_of_trials_stay_under_the_limit(tmp_path: Path) -> None:
    """The longest notations that a search proposes have some 200 characters."""
    text = "c36k5+pb c14k1+p " * 12
    records = study(*(trial(n, correct=n % 289, text=text) for n in range(3_000)), text="plain")
    page = render(report_of(records, tmp_path))
    assert len(page.encode()) < LARGEST
    assert f"The best {MOST_TRIALS:,} of 3,000 trials are shown" in page


# In a browser


@pytest.fixture(scope="module")
def browser() -> Any:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session", params=["digits", "mnist"])
def reported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real study called `small` and its report."""
    if request.param == "mnist":
        prepared("mnist")
    made = confirmed() if request.param == "digits" else searched_mnist()
    folder = copied(made[0], tmp_path_factory.mktemp(request.param) / "work")
    ran = pennyweight("report", "small", cwd=folder)
    assert (ran.status, ran.err) == (0, "")
    return folder


def show(page: Page, path: Path) -> None:
    """Open it with no network, and wait until it is drawn."""
    page.context.set_offline(True)
    page.goto(path.as_uri())
    page.wait_for_function(
        "[...document.querySelectorAll('.plot')].every(plot => plot.dataset.drawn)"
    )


def page_of(folder: Path) -> Path:
    return folder / "runs" / "small" / "report.html"


def colours(page: Page, place: str, file: Path) -> int:
    """How many colours a picture of that place has."""
    page.locator(place).screenshot(path=file)
    with Image.open(file) as picture:
        return len(picture.convert("RGB").getcolors(maxcolors=2**24) or [])


@pytest.mark.extended
@pytest.mark.timeout(1500)  # the search on MNIST, where others compute too
@needs_chromium
def test_a_real_study_opens_offline_with_every_plot(
    reported: Path, browser: Browser, tmp_path: Path
) -> None:
    assert page_of(reported).stat().st_size < LARGEST
    with opened(browser) as seen:
        page = seen.page
        show(page, page_of(reported))
        drawn = page.evaluate("[...document.querySelectorAll('.plot')].map(plot => plot.id)")
        assert {"plot-size", "plot-curves", "plot-losses", "plot-fates", "plot-seconds"} <= {*drawn}
        for plot in drawn:
            marks = page.locator(f"#{plot} .points path, #{plot} .lines path").count()
            assert marks > 0, plot
            assert colours(page, f"#{plot}", tmp_path / "plot.png") > 10, plot
        assert colours(page, "svg.network", tmp_path / "network.png") > 10
        assert page.evaluate(CROWDED) == []
        for image in page.locator(".mistakes img").all():
            assert image.evaluate("image => image.naturalWidth") >= 8
        assert page.locator(".mistakes img").count() > 3
        assert page.locator(".missing").count() == 1  # too few trials to tell what mattered
        assert seen.problems == []
        assert {address.partition(":")[0] for address in seen.requested} <= {"file", "data", "blob"}


@pytest.mark.extended
@pytest.mark.timeout(1500)
@needs_chromium
def test_its_table_is_the_leaderboard(reported: Path, browser: Browser) -> None:
    wanted = pennyweight("leaderboard", "small", "--json", cwd=reported).json["rows"]
    with opened(browser) as seen:
        show(seen.page, page_of(reported))
        cells = seen.page.evaluate(
            "[...document.querySelectorAll('table.sortable tbody tr')].map("
            "row => [...row.cells].map(cell => [cell.dataset.value, cell.innerText]))"
        )
    assert len(cells) == len(wanted) > 2
    for row, found in zip(wanted, cells, strict=True):
        values = [value for value, _ in found]
        assert [float(v) for v in values[: len(NUMBERS)]] == [row[name] for name in NUMBERS]
        assert values[-1] == found[-1][1] == row["notation"]
        assert found[2][1].startswith(f"{100 * row['val_accuracy']:.2f} [")
        assert found[3][1] == f"{row['params']:,}"


@pytest.mark.extended
@pytest.mark.timeout(1500)
@needs_chromium
def test_it_fits_a_phone(reported: Path, browser: Browser) -> None:
    with opened(browser, PHONE, touch=True) as seen:
        show(seen.page, page_of(reported))
        width = seen.page.evaluate("document.documentElement.scrollWidth")
        assert width == PHONE[0]
        assert seen.problems == []


@pytest.fixture(scope="module")
def every_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with a trial of each state, and hostile text in all its records."""
    folder = tmp_path_factory.mktemp("every-state")
    return written(report_of(of_every_state(HOSTILE), folder), folder)


def written(report: Report, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text(render(report), encoding="utf-8")
    return path


@pytest.mark.extended
@needs_chromium
def test_a_strangers_text_does_nothing(every_state: Path, browser: Browser) -> None:
    with opened(browser) as seen:
        show(seen.page, every_state)
        seen.page.locator("#plot-size .points path").first.hover(force=True)
        seen.page.wait_for_timeout(300)
        assert "broken" not in seen.page.title()
        assert seen.page.locator("img[src=x], a[href*=example]").count() == 0
        assert seen.page.locator("#plot-size .hoverlayer text").count() > 0
        assert seen.problems == []
        assert seen.requested == [every_state.as_uri()]


@pytest.mark.extended
@needs_chromium
def test_a_heading_sorts_by_click_and_by_key(every_state: Path, browser: Browser) -> None:
    with opened(browser) as seen:
        page = seen.page
        show(page, every_state)

        def column(number: int) -> list[str]:
            cells = page.locator(f"table.sortable tbody td:nth-child({number})")
            return cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")

        trials = column(2)
        for reverse in (False, True):
            page.get_by_role("button", name="parameters").click()
            assert column(4) == sorted(column(4), key=float, reverse=reverse)
        heading = page.locator("th", has_text="accuracy")
        heading.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        *known, unknown = column(3)
        assert known == sorted(known, key=float, reverse=True)
        assert unknown == ""
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "ascending"
        assert column(3) == [*sorted(known, key=float), ""]
        page.get_by_role("button", name="rank").click()
        assert column(2) == trials


@pytest.mark.extended
@needs_chromium
def test_it_is_readable_in_the_dark_and_on_paper(every_state: Path, browser: Browser) -> None:
    light = "el => { const c = getComputedStyle(el)[{}].match(/[\\d.]+/g).map(Number);"
    light += " return (c[0] + c[1] + c[2]) / 3 }"
    places = ("#leaderboard h2", "td", "#plot-size .xtick text", "#plot-curves .legendtext")
    with opened(browser, DESKTOP) as seen:
        page = seen.page
        show(page, every_state)
        for scheme, media, dark in (
            ("light", "screen", False),
            ("dark", "screen", True),
            ("dark", "print", False),
        ):
            page.emulate_media(color_scheme=scheme, media=media)  # type: ignore[arg-type]
            paper = page.locator("body").evaluate(light.replace("{}", "'backgroundColor'"))
            assert (paper < 60) == dark
            for place in places:
                kind = "'fill'" if "plot" in place else "'color'"
                ink = page.locator(place).first.evaluate(light.replace("{}", kind))
                assert abs(ink - paper) > 90, (scheme, media, place)


@pytest.mark.extended
@needs_chromium
def test_on_paper_a_plot_is_as_wide_as_the_page(every_state: Path, browser: Browser) -> None:
    with opened(browser, DESKTOP) as seen:
        page = seen.page
        show(page, every_state)
        page.emulate_media(media="print")
        page.evaluate("document.querySelector('main').style.width = '700px'")
        for plot in page.locator(".plot .main-svg:first-child").all():
            box = plot.bounding_box()
            assert box is not None
            assert abs(box["width"] - 700) < 1
            assert box["height"] > 80
