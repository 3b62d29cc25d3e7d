"""How baselines are measured: a classical model fitted here, a network in a study of its own."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pennyweight.results.places import store_in
from pennyweight.results.store import Store
from pennyweight.search.output import busy
from pennyweight.search.recording import task_again
from pennyweight.train.cores import own_seconds
from pennyweight.train.splits import Split, stratified_sample

if TYPE_CHECKING:
    from pennyweight.search.baselines import Baselines
    from pennyweight.search.single import Training
    from pennyweight.train.data import Dataset

T = TypeVar("T")
Record = dict[str, Any]

_LONGEST_SLUG = 40
_KEY = ("model", "examples", "seed", "epochs")


def classical(
    wanted: Baselines,
    model: str,
    dataset: Dataset,
    parts: Split,
    store: Store,
    progress: bool,
) -> Iterator[Record]:
    """The records of a classical model, on each part that is asked for."""
    from pennyweight.train.classical import fit
    from pennyweight.train.door import open_test_set

    learned = parts.train
    if wanted.examples is not None:
        learned = learned[stratified_sample(dataset.labels[learned], wanted.examples, wanted.seed)]
    began = time.perf_counter()
    with _doing(f"{model}: fitting {len(learned):,} pictures", show=progress):
        images, labels = dataset.images[learned], dataset.labels[learned]
        fitted = patiently(lambda: fit(model, images, labels, wanted.seed))
    seconds = {"train": time.perf_counter() - began}
    about = {
        **dict(zip(_KEY, wanted.key(model, parts), strict=True)),
        "about": fitted.made_by,
        "identity": fitted.identity,
        "numbers": fitted.size.numbers,
        "trained": fitted.size.trained,
        "study": None,
    }
    measured = {"validation": (dataset.images[parts.validation], dataset.labels[parts.validation])}
    if wanted.test:
        pictures = open_test_set(
            wanted.data, purpose="baseline", model=fitted.identity, ledger=store.readings
        )
        measured["test"] = pictures.images, pictures.labels
    for part, (images, labels) in measured.items():
        began = time.perf_counter()
        with _doing(f"{model}: predicting {len(labels):,} pictures", show=progress):
            predicted = patiently(lambda seen=images: fitted.predict(seen))
        seconds |= {"evaluate": time.perf_counter() - began}
        counts = {"correct": int((predicted == labels).sum()), "total": len(labels)}
        yield about | counts | {"part": part, "seconds": seconds}
        seconds = {}  # of the training are counted once


def network(
    wanted: Baselines, model: str, training: Training, parts: Split, store: Store, progress: bool
) -> Iterator[Record]:
    """The records of a network, trained as `train` does, in a study of its own."""
    from pennyweight.train.evaluate import measure_on_test

    key = dict(zip(_KEY, wanted.key(model, parts), strict=True))
    if progress:
        print(f"{model}: trained as study {training.name}", file=sys.stderr, flush=True)
    study = training.run(progress=progress)
    trial, own = study.trials[0], store_in(wanted.runs, training.name)
    about = key | {
        "about": trial.notation + ("" if trial.state == "complete" else f" ({trial.state})"),
        "identity": f"{trial.fingerprint} {trial.seed}",
        "numbers": trial.cost["params"],
        "trained": True,
        "study": training.name,
    }
    counts = {"correct": trial.val_correct or 0, "total": trial.val_total or 1}
    yield about | counts | {"part": "validation", "seconds": trial.seconds_by_kind}
    if wanted.test:
        task, weights = task_again(study, trial, trial.seed), own.model(0, trial.kept_epoch)
        ledgers = own.readings, store.readings  # both tell that the test set was read
        found = measure_on_test(task, weights.read_bytes(), *ledgers, purpose="baseline")
        counts = {"correct": found.correct, "total": found.total}
        yield about | counts | {"part": "test", "seconds": {}}


def training_of(wanted: Baselines, model: str, data_fingerprint: str) -> Training:
    """How a network is trained, on these pictures alone; UsageError where that cannot be."""
    from pennyweight.search.arguments import read_arch
    from pennyweight.search.single import Training

    epochs = wanted.epochs(model)
    name = f"{slug(model)}-{slug(wanted.data)}-epochs{epochs}-seed{wanted.seed}"
    return Training.of(
        replace(read_arch(model), data=wanted.data, data_fingerprint=data_fingerprint),
        data=None,
        recipe=None,
        max_epochs=epochs,
        seed=wanted.seed,
        precision=None,
        whole=False,
        study=name,
        runs=wanted.runs,
        command=wanted.command,
    )


def patiently(call: Callable[[], T]) -> T:
    """What `call` returns, from a thread, so that Ctrl-C need not wait for the end of C code."""
    returned: list[T] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            returned.append(call())
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.2)
    if raised:
        raise raised[0]
    return returned[0]


def _doing(what: str, *, show: bool) -> AbstractContextManager[object]:
    """A sign of life: in a terminal as long as it takes, elsewhere a line before it begins."""
    if show and not sys.stderr.isatty():
        print(what, file=sys.stderr, flush=True)
    return busy(what) if show else nullcontext()


def say(record: Record, *, show: bool) -> None:
    """One line on stderr for each measurement, as it is on the disk."""
    if show:
        share, seconds = record["correct"] / record["total"], own_seconds(record["seconds"])
        line = f"{seconds:6.0f}s {record['model']}: {share:.2%} of {record['part']}"
        print(line, file=sys.stderr, flush=True)


def slug(text: str) -> str:
    """`text`, or of a long one its end, as a part of a study's name.

    >>> slug("csv:~/rows/train.csv")
    'csv-rows-train.csv'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[-_LONGEST_SLUG:].lstrip("-.")
