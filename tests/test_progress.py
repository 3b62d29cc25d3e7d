"""What one sees of a running search where there is no terminal: lines, and on stderr alone.

What a terminal shows is in `test_screen.py`.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from command_line import searched, trained
from terminals import in_terminal

from pennyweight.results.studies import load_study
from pennyweight.search.progress import decoding, watching

Record = tuple[str, dict[str, Any]]


def asked(number: int, params: int = 7_919) -> Record:
    return "trial", {"trial": number, "cost": {"params": params}, "notation": f"c{params} A d10+"}


def rung(number: int, epoch: int, correct: int = 90) -> Record:
    return "rung", {"trial": number, "epoch": epoch, "val_correct": correct, "val_total": 100}


def end(number: int, state: str = "complete", reason: str | None = None) -> Record:
    return "end", {"trial": number, "state": state, "reason": reason}


SEARCH = [
    *(asked(0), asked(1, 500), rung(0, 1), rung(1, 1, 20), end(1, "pruned", "not in the best")),
    *(rung(0, 3, 95), end(0), asked(2), end(2, "failed", "MemoryError: too large")),
]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What stderr got, without the seconds; nothing may be on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    return [re.sub(r"^ *\d+s +", "", line) for line in err.splitlines()]


def test_without_a_terminal_each_trial_that_ends_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with watching(3, 0) as watch:
        for record in SEARCH:
            watch(*record)
    pruned, complete, failed = [line for line in lines(capsys) if " trial " in line]
    assert pruned.startswith(
        "1/3 trial 1    pruned    epoch 1   accuracy  20.00%    500 parameters"
    )
    assert complete.startswith("2/3 trial 0    complete  epoch 3   accuracy  95.00%  7,919 param")
    assert complete.endswith("  c7919 A d10+")
    assert failed.startswith("3/3 trial 2    failed    epoch 0 ")
    assert "MemoryError: too large" in failed
    assert "nan" not in failed


def test_without_a_terminal_each_epoch_of_a_training_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with watching(3, 1, unit="epochs") as watch:
        kind, fields = rung(0, 3, 90)
        told = kind, fields | {"curve": [{"epoch": 3, "train_accuracy": 0.875}]}
        for record in (rung(0, 2, 80), told, end(0)):
            watch(*record)
    assert [line for line in lines(capsys) if "accuracy" in line] == [
        "2/3 epochs  accuracy 80.00%",
        "3/3 epochs  accuracy 90.00%, in training 87.50%",
    ]


def test_what_is_gone_on_with_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    """The size of a trial stands in its first record, which an earlier session wrote."""
    known = load_study(searched()[0] / "runs", "small")
    with watching(4, 2, known=known) as watch:
        watch(*end(2))
    trial = known.trials[2]
    line = lines(capsys)[-1]
    assert line.startswith("3/4 trial 2    complete  epoch 1 ")
    assert f"accuracy {trial.val_accuracy:7.2%} " in line
    assert line.endswith(f" {trial.cost['params']} parameters  {trial.notation}")


def test_who_wants_no_progress_sees_none(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(3, 0, show=False) as watch, decoding("mnist", show=False) as decoded:
        for record in SEARCH:
            watch(*record)
        decoded(1, 2)
    assert lines(capsys) == []


def test_decoding_is_told_once_and_only_where_it_happens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with decoding("mnist"):
        pass
    assert lines(capsys) == []
    with decoding("mnist") as decoded:
        for done in (20_000, 40_000, 60_000):
            decoded(done, 60_000)
    assert lines(capsys) == ["decoding 60,000 pictures of mnist, once for this machine"]


def test_a_terminal_shows_how_far_the_decoding_is(tmp_path: Path) -> None:
    program = (
        "from pennyweight.search.progress import decoding\n"
        "with decoding('mnist') as decoded:\n"
        "    decoded(30_000, 60_000)\n"
    )
    shown = in_terminal(program, tmp_path)
    assert (shown.status, shown.out) == (0, "")
    assert "30000/60000 pictures" in shown.screens[-1][-1]
    assert "decoding" in shown.screens[-1][-1]


def test_a_real_training_tells_its_epochs() -> None:
    told = trained()[1].err.splitlines()
    assert [line.split()[1] for line in told if " epochs " in line and "done," not in line] == [
        "1/2",
        "2/2",
    ]
