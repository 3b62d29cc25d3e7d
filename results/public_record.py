"""A confirmed network as one JSON file to publish: what it is, how it was found, what it reached.

`pennyweight train FILE --seed S --test` repeats one of its seeds.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pennyweight.arch.errors import UsageError
from pennyweight.results.confirmed import Confirmed, confirmed, race_results
from pennyweight.results.folder import write_whole
from pennyweight.results.study_records import StudyRecords

FORMAT = "pennyweight-record/1"


def write_record(path: Path, study: StudyRecords, *, command: Sequence[str]) -> None:
    """Write the network that was confirmed last; UsageError where `path` cannot be written."""
    text = json.dumps(_record(study, confirmed(study)[0], command), indent=1, allow_nan=False)
    try:
        write_whole(path, f"{text}\n".encode())
    except OSError as error:
        raise UsageError(
            f"The record {path} cannot be written: {error.strerror or error}. Name another file, "
            "and the same command writes it without training again."
        ) from error


def _record(study: StudyRecords, best: Confirmed, command: Sequence[str]) -> dict[str, Any]:
    trial = study.trials[best.trial]
    runs = [run for run in study.fresh_runs if (run.trial, run.part) == (best.trial, "test")]
    raced = race_results(study)
    return {
        "format": FORMAT,
        "data": study.data,
        "data_fingerprint": study.data_fingerprint,
        "notation": trial.notation,
        "cost": dict(trial.cost),
        "architecture": dict(trial.architecture),
        "recipe": dict(trial.recipe),
        "precision": study.precision,
        "epochs": runs[0].epochs,
        "whole": True,  # trained on training and validation pictures
        "seed": best.seeds[0],
        "test": {
            "mean": best.mean,
            "low": best.low,
            "high": best.high,
            "total": runs[0].total,
            "seeds": best.seeds,
            "correct": [run.correct for run in runs],
            "log_loss": [run.log_loss for run in runs],
            "train_loss": [run.train_loss for run in runs],
        },
        "race": {
            "validation_accuracy": {str(number): raced[number] for number in raced},
            "notation": {str(number): study.trials[number].notation for number in raced},
            "tied_with": best.tied_with,
        },
        "search": {
            "study": study.study,
            "trial": best.trial,
            "proposer": trial.proposer,
            "settings": dict(study.settings),
            "trials": study.counts,
            "validation_accuracy": trial.val_accuracy,
            "curve": [list(point) for point in trial.curve],
            "command": study.command,
            "wall_s": round(study.wall_s, 1),
        },
        "command": list(command),
        "seconds": {kind: round(value, 1) for kind, value in study.worker_seconds.items()},
        "versions": dict(study.sessions[-1]["versions"]),
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
    }
