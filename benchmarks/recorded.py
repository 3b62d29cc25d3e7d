"""A committed record's training once more, from its seeds or with another network or recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from pennyweight.arch.architecture import Architecture
from pennyweight.search.executors import LocalExecutor
from pennyweight.train.evaluate import Evaluation, measure_on_test
from pennyweight.train.native import xla_kernels
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Outcome, Task, train_rung, warm_up


def recorded_task(
    record: dict[str, Any],
    seed: int,
    *,
    architecture: Architecture | None = None,
    recipe: Recipe | None = None,
) -> Task:
    """What trained `record` from `seed`; the network and the recipe are its own if not given."""
    candidate = Candidate(
        architecture=architecture or Architecture.from_json(record["architecture"]),
        recipe=recipe or Recipe.from_json(record["recipe"]),
        seed=seed,
    )
    return Task(
        source=record["data"],
        split_seed=record["search"]["settings"]["seed"],
        candidate=candidate,
        epochs=record["epochs"],
        from_epoch=0,
        to_epoch=record["epochs"],
        precision=record["precision"],
        whole=record["whole"],
    )


def tested(
    record: dict[str, Any], tasks: Sequence[Task], ledger: Path, *, as_recorded: bool
) -> Iterator[tuple[int, Outcome, Evaluation]]:
    """(place, what training gave, the test set's one reading) of each task of `record` as it ends.

    Unless not `as_recorded`, kernels are of the kind that trained the record: C, or XLA's. The
    readings are in `ledger`. Raises UsageError where the data is not the record's.
    """
    warm = partial(
        warm_up,
        record["data"],
        record["search"]["settings"]["seed"],
        record["whole"],
        fingerprint=record["data_fingerprint"],
    )
    of_xla = as_recorded and "kernels" not in record["versions"]
    with xla_kernels() if of_xla else nullcontext(), LocalExecutor(warm=warm) as executor:
        places = {executor.submit(train_rung, task): n for n, task in enumerate(tasks)}
        for future in as_completed(places):
            place, outcome = places[future], future.result()
            measured = measure_on_test(tasks[place], outcome.model, ledger, purpose="confirm")
            yield place, outcome, measured
