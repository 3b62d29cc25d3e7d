"""Studies for tests of the report: of every state, with as many trials as one likes, hostile."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pennyweight.arch.cost import cost
from pennyweight.arch.notation import parse
from pennyweight.results.folder import StudyFolder
from pennyweight.results.report import Missing, Report, collect
from pennyweight.results.study_records import (
    STATES,
    CurvePoint,
    FreshRun,
    Rung,
    State,
    StudyRecords,
    TrialRecord,
)
from pennyweight.train.recipe import Recipe

TOTAL = 288  # validation pictures
HOSTILE = (
    "</script></style><script>document.title = 'broken'</script>"
    "<img src=x onerror=\"document.title = 'broken'\"><a href='https://example.com'>$x$ {{ 7 * 7 }}"
    " %{x} &lt;b&gt;\u202e\0"
)
NETWORK = parse("c4br m2 (c4r) A d10+", (8, 8, 1), 10)


def trial(
    number: int, state: State = "complete", rungs: int = 2, correct: int = 250, text: str = "plain"
) -> TrialRecord:
    """A trial that came to so many rungs, of two epochs each; `text` is what a stranger wrote."""
    return TrialRecord(
        trial=number,
        proposer=text,
        share=1.0,
        genome={},
        architecture=NETWORK.to_json(),
        notation=NETWORK.notation if text == "plain" else text,
        fingerprint=NETWORK.fingerprint,
        recipe=Recipe().to_json() | {text: text},
        seed=number,
        cost=cost(NETWORK).to_json() | {"params": 100 + number},
        rungs=tuple(_rung(2 * n, correct, text) for n in range(1, rungs + 1)),
        state=state,
        reason=None if state == "complete" else f"why: {text}",
        frame=text,
    )


def _rung(epoch: int, correct: int, text: str) -> Rung:
    points = [CurvePoint(e, 1 / e, correct / TOTAL, 0.5 / e) for e in (epoch - 1, epoch)]
    seconds = {"train": 1.5, text: 0.5}
    return Rung(
        epoch=epoch,
        curve=tuple(points),
        val_correct=correct,
        val_total=TOTAL,
        seconds=seconds,
        worker=0,
    )


def study(*trials: TrialRecord, text: str = "plain", data: str = "digits") -> StudyRecords:
    """A study of these trials."""
    versions: Mapping[str, Any] = {"jax": text, text: "1"}
    return StudyRecords(
        study=text,
        settings={"data": data, "budget": {"max_params": 500, "max_epochs": 4}, "seed": 0},
        data_fingerprint=text,
        versions=versions,
        command=["pennyweight", "search", text],
        created=0.0,
        sessions=({"started": 0.0, "workers": 2, "versions": versions, "pid": 1},),
        trials={each.trial: each for each in trials},
        ledgers=({"seconds": {"wait": 4.0, text: 1.0}, "wall_s": 5.0},),
        fresh_runs=tuple(
            _fresh(each.trial, seed) for each in trials[:1] for seed in (7, 8) if each.rungs
        ),
    )


def _fresh(trial: int, seed: int) -> FreshRun:
    return FreshRun(
        trial=trial,
        seed=seed,
        part="test",
        epochs=4,
        train_loss=0.1,
        correct=340 + seed,
        total=360,
        log_loss=0.1,
        seconds={"train": 2.0},
        worker=0,
    )


def of_every_state(text: str = "plain") -> StudyRecords:
    """A study with a trial of each state, and one that has only begun."""
    trials = [
        trial(number, state, rungs=1 + (state == "complete"), correct=200 + number, text=text)
        for number, state in enumerate(STATES)
    ]
    return study(*trials, trial(len(STATES), "running", rungs=0, text=text), text=text)


def report_of(records: StudyRecords, folder: Path) -> Report:
    """Its report, in a folder where no weights are."""
    return collect(StudyFolder(folder), records, Missing("nobody asked"))
