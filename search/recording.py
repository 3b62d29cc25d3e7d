"""Between candidates and records: what is written of a trial and a rung, and read back."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import count, islice
from typing import Any, cast

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search.genome import Genome
from pennyweight.train.evaluate import Evaluation
from pennyweight.train.native import native_digest
from pennyweight.train.precision import Precision
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Outcome, Task


def study_record(
    name: str, settings: dict[str, Any], data_fingerprint: str, command: Sequence[str]
) -> dict[str, Any]:
    """The fields of a study's first record, made now and here."""
    return {
        "study": name,
        "settings": settings,
        "data_fingerprint": data_fingerprint,
        "versions": versions(),
        "command": command,
        "created": time.time(),
    }


def rung_record(trial: int, outcome: Outcome) -> dict[str, Any]:
    """The fields of the record of what a rung gave."""
    last = outcome.curve[-1]
    return {
        "trial": trial,
        "epoch": last.epoch,
        "curve": [
            {
                "epoch": point.epoch,
                "train_loss": point.train_loss,
                "val_accuracy": point.val_accuracy,
                "val_log_loss": point.val_log_loss,
                "train_accuracy": point.train_accuracy,
            }
            for point in outcome.curve
        ],
        "val_correct": last.val_correct,
        "val_total": outcome.val_total,
        "seconds": outcome.seconds,
        "worker": outcome.worker,
    }


def fresh_record(
    trial: int, seed: int, part: str, outcome: Outcome, measured: Evaluation
) -> dict[str, Any]:
    """The fields of the record of a candidate trained again, and `measured` on `part`."""
    return {
        "trial": trial,
        "seed": seed,
        "part": part,
        "epochs": outcome.curve[-1].epoch,
        "train_loss": outcome.curve[-1].train_loss,
        "correct": measured.correct,
        "total": measured.total,
        "log_loss": measured.log_loss,
        "seconds": outcome.seconds,
        "worker": outcome.worker,
    }


def trial_record(genome: Genome, candidate: Candidate) -> dict[str, Any]:
    """The fields of the record of what was asked, but for its number and its proposer."""
    architecture = candidate.architecture
    return {
        "share": genome.share,
        "genome": genome.to_json(),
        "architecture": architecture.to_json(),
        "notation": architecture.notation,
        "fingerprint": architecture.fingerprint,
        "recipe": candidate.recipe.to_json(),
        "seed": candidate.seed,
        "cost": cost(architecture).to_json(),
    }


def recorded_candidate(record: TrialRecord) -> Candidate:
    """The candidate of a recorded trial."""
    return Candidate(
        architecture=Architecture.from_json(record.architecture),
        recipe=Recipe.from_json(dict(record.recipe)),
        seed=record.seed,
    )


def task_again(
    study: StudyRecords,
    trial: TrialRecord,
    seed: int,
    *,
    whole: bool = False,
    start: bytes | None = None,
) -> Task:
    """The training of a recorded trial's candidate from another seed, to the epoch limit.

    A study that started from trained weights has them in its folder's file `start`.
    """
    epochs = study.budget["max_epochs"] or 1
    return Task(
        source=study.data,
        split_seed=study.settings["seed"],
        candidate=replace(recorded_candidate(trial), seed=seed),
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
        precision=cast(Precision, study.precision),
        whole=whole,
        start=start,
    )


def fresh_seeds(study: StudyRecords, first: int, number: int) -> list[int]:
    """Seeds from `first` on that no trial of the study was trained from."""
    used = {trial.seed for trial in study.trials.values()}
    return list(islice((seed for seed in count(first) if seed not in used), number))


def identity(candidate: Candidate) -> str:
    """Equal for candidates that differ in their seeds alone."""
    return f"{candidate.architecture.fingerprint} {candidate.recipe}"


def versions() -> dict[str, str]:
    """The versions that a result depends on, the machine's kind, its cores and its kernels.

    Its `kernels` are those in C, for a CPU and float32; without, XLA's operations do it.
    """
    names = ("pennyweight", "jax", "jaxlib", "flax", "optax", "optuna", "numpy")
    kernels = native_digest()
    return {name: version(name) for name in names} | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
        **({} if kernels is None else {"kernels": kernels}),
    }
