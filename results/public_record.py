"""A confirmed network as one JSON file to publish: what it is, how it was found, what it reached.

`pennyweight train FILE --seed S --test` repeats one of its seeds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pennyweight.arch.errors import UsageError
from pennyweight.results.confirmed import Confirmed, race_results
from pennyweight.results.folder import write_whole
from pennyweight.results.study_records import StudyRecords

FORMAT = "pennyweight-record/1"


def write_record(
    path: Path, study: StudyRecords, found: Confirmed, *, command: Sequence[str]
) -> None:
    """Write what was `found` in `study`; UsageError where `path` cannot be written."""
    text = json.dumps(_record(study, found, command), indent=1, allow_nan=False)
    try:
        write_whole(path, f"{text}\n".encode())
    except OSError as error:
        raise UsageError(
            f"The record {path} cannot be written: {error.strerror or error}. Name another file, "
            "and the same command writes it without training again."
        ) from error


def _record(study: StudyRecords, found: Confirmed, command: Sequence[str]) -> dict[str, Any]:
    trial = study.trials[found.trial]
    tested = [run for run in study.fresh_runs if (run.trial, run.part) == (found.trial, "test")]
    tested.sort(key=lambda run: run.seed)
    raced = race_results(study.fresh_runs)
    return {
        "format": FORMAT,
        "data": study.data,
        "data_fingerprint": study.data_fingerprint,
        "notation": trial.notation,
        "cost": dict(trial.cost),
        "architecture": dict(trial.architecture),
        "recipe": dict(trial.recipe),
        "precision": study.precision,
        "epochs": study.budget["max_epochs"],
        "whole": True,  # trained on training and validation pictures
        "seed": found.seeds[0],
        "test": {
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "total": tested[0].total,
            "seeds": found.seeds,
            "correct": [run.correct for run in tested],
            "log_loss": [run.log_loss for run in tested],
            "train_loss": [run.train_loss for run in tested],
        },
        "race": [
            {
                "trial": number,
                "notation": study.trials[number].notation,
                "validation_accuracy": [run.accuracy for run in runs],
            }
            for number, runs in raced.items()
        ],
        "tied_with": found.tied_with,
        "search": {
            "study": study.study,
            "trial": found.trial,
            "proposer": trial.proposer,
            "genome": dict(trial.genome),
            "settings": dict(study.settings),
            "trials": study.counts,
            "validation_accuracy": trial.val_accuracy,
            "curve": [list(point) for point in trial.curve],
            "command": study.command,
        },
        "command": list(command),
        "seconds": {"wall": round(study.wall_s, 1)}  # of the search and the confirmation
        | {kind: round(value, 1) for kind, value in study.worker_seconds.items()},
        "versions": dict(study.sessions[-1]["versions"]),
    }
