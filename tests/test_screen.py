"""The live screen, as a real terminal gets it."""

import re
from pathlib import Path

import pytest
from command_line import SCRIPT, SMALL, copied, searched
from terminals import SIZE, in_terminal
from test_progress import SEARCH, Record, asked, end, rung

LONG = "c36k5+pb c14k1+p w c14k1+pb w c22k1+pb w c33k1+pb c12k1+p c13v+pb c19v+pb wv c8k1+pb A d10+"
BEST = ("trial", {"trial": 3, "cost": {"params": 7_990}, "notation": LONG})
BUSY = [*SEARCH, BEST, rung(3, 3, 99), end(3), asked(4), asked(5)]


def watched(records: list[Record], *, then: str = "time.sleep(0.6)", more: str = "") -> str:
    """A program that watches such records, lets the screen be drawn, and does something."""
    return (
        "import time\n"
        "from pennyweight.search.progress import watching\n"
        f"with watching(9, 0, {more}) as watch:\n"
        f"    for record in {records!r}:\n"
        "        watch(*record)\n"
        f"    {then}\n"
    )


def test_the_screen_shows_what_ended_how_and_the_best(tmp_path: Path) -> None:
    shown = in_terminal(watched(BUSY), tmp_path)
    assert (shown.status, shown.out) == (0, "")
    bar, facts, empty, headings, best = shown.screens[-2]
    assert bar.endswith(" 4/9 trials")
    assert bar.count("━") == 39  # and a half one where it ends
    assert re.fullmatch(r"0:00:0\d · 2 complete, 1 failed, 1 pruned · 2 running", facts)
    assert (empty, headings.split()) == ("", ["within", "best", "parameters", "architecture"])
    assert best.split()[:3] == ["any", "99.00%", "7,990"]
    assert best.endswith("…")
    assert LONG.startswith(best.split(maxsplit=3)[3].rstrip("…"))


def test_at_the_end_what_the_leaderboard_shows_is_gone(tmp_path: Path) -> None:
    last = in_terminal(watched(BUSY), tmp_path).screens[-1]
    assert len(last) == 2
    assert last[0].endswith(" 4/9 trials")


@pytest.mark.parametrize("size", [SIZE, (40, 10), (20, 4), (200, 60)])
def test_the_screen_fits_the_terminal(size: tuple[int, int], tmp_path: Path) -> None:
    shown = in_terminal(watched(BUSY), tmp_path, size)
    assert shown.status == 0
    assert len(shown.screens) >= 3
    for screen in shown.screens:
        assert len(screen) <= size[1]
        assert max(map(len, screen)) <= size[0]


def test_the_time_left_is_shown_once_there_is_evidence(tmp_path: Path) -> None:
    records = [record for number in range(4) for record in (asked(number), end(number, "failed"))]
    early = in_terminal(watched(records), tmp_path)
    assert "left" not in early.raw
    records += [asked(4), end(4, "failed")]
    later = in_terminal(watched(records), tmp_path)
    assert re.search(r"0:00:0\d, about \d s left · 5 failed", later.raw)


def test_epochs_of_one_training_are_a_screen_too(tmp_path: Path) -> None:
    records = [asked(0), rung(0, 1, 80), rung(0, 2, 90)]
    bar, facts, network = in_terminal(watched(records, more="unit='epochs'"), tmp_path).screens[-2]
    assert bar.endswith(" 2/9 epochs")
    assert facts.endswith(" · accuracy 90.00%")
    assert network == "c7919 A d10+: 7,919 parameters"


def test_trainings_from_fresh_seeds_are_a_table_of_the_trials(tmp_path: Path) -> None:
    told = [
        (14, 1000, "validation", 97),
        (12, 1000, "validation", 98),
        (14, 1001, "validation", 95),
    ]
    records: list[Record] = [
        ("fresh", {"trial": trial, "seed": seed, "part": part, "correct": correct, "total": 100})
        for trial, seed, part, correct in told
    ]
    shown = in_terminal(watched(records, more="unit='trainings'"), tmp_path).screens[-2]
    assert shown[0].endswith(" 3/9 trainings")
    assert " at most " in shown[1]  # who is behind drops out
    assert [line.split() for line in shown[-2:]] == [
        ["12", "98.00%", "1", "validation"],
        ["14", "96.00%", "2", "validation"],
    ]


def test_ctrl_c_gives_the_cursor_back(tmp_path: Path) -> None:
    then = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    shown = in_terminal(watched(BUSY, then=then), tmp_path)
    assert shown.status != 0
    assert "KeyboardInterrupt" in shown.raw
    assert shown.raw.rindex("\x1b[?25l") < shown.raw.rindex("\x1b[?25h")


def test_what_is_printed_meanwhile_stays_on_stdout(tmp_path: Path) -> None:
    shown = in_terminal(watched(BUSY, then="print('the result')"), tmp_path)
    assert shown.out == "the result\n"


def test_a_real_search_is_seen_in_its_terminal(tmp_path: Path) -> None:
    """The fourth trial of a study, whose first three are remembered."""
    folder = copied(searched()[0], tmp_path / "work")
    command = [SCRIPT, "search", *SMALL, "--trials", "4", "--json"]
    shown = in_terminal(command, folder)
    assert shown.status == 0, shown.raw
    heading, bar, *_ = shown.screens[0]
    assert heading == "small on digits · params ≤ 60 · epochs ≤ 1"
    assert bar.endswith(" 3/4 trials")
    assert re.search(r"^ *\d+ +\d+\.\d\d% +\d+  \S", "\n".join(shown.screens[0]), re.M)
    assert shown.screens[-1][1].endswith(" 4/4 trials")
    assert shown.out.startswith("{")
