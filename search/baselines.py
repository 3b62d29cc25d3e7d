"""Baselines: classical models and networks of the zoo, on the split that a search has.

What was measured is recorded at once and not measured again, so a run can be stopped and repeated.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pennyweight.arch.budget import Budget, check_count
from pennyweight.arch.errors import UsageError
from pennyweight.arch.zoo import entry
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import RecordFile
from pennyweight.results.studies import find_study, load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.baseline_models import chosen, is_network, zoo_name
from pennyweight.search.output import busy
from pennyweight.search.progress import load_shown
from pennyweight.search.recording import study_record, task_again
from pennyweight.search.settings import DATA, check_name
from pennyweight.train.splits import Split, split, stratified_sample

if TYPE_CHECKING:
    from pennyweight.search.single import Training
    from pennyweight.train.data import Dataset

T = TypeVar("T")
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """What to measure on `data`, split by `seed`, and the study that records it.

    Raises UsageError for what does not exist or does not suit the data.
    """

    data: str
    models: tuple[str, ...]
    seed: int
    name: str
    runs: Path
    command: list[str]
    examples: int | None = None  # a stratified part of the training split, for classical models
    max_epochs: int | None = None  # of networks; by default what the zoo says
    test: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"--seed must be from 0 to {2**31 - 1}, but got {self.seed}.")
        if self.max_epochs is not None:
            check_count("--max-epochs", self.max_epochs)
        if self.examples is None:
            return
        check_count("--examples", self.examples)
        if networks := [model for model in self.models if is_network(model)]:
            raise UsageError(
                f"--examples is for classical models, but {networks[0]} is a network: leave one "
                "of the two out (--max-epochs shortens the training of networks)."
            )

    @classmethod
    def of(
        cls,
        *,
        data: str | None,
        models: Sequence[str],
        seed: int | None,
        study: str | None,
        runs: Path,
        **others: Any,
    ) -> Baselines:
        """In the study named, on its data and split; without one, in a study of their own."""
        if study is not None:
            known = load_study(runs, study)
            given = {"data": (data, known.data), "seed": (seed, known.settings["seed"])}
            for flag, (mine, its) in given.items():
                if mine not in (None, its):
                    raise UsageError(
                        f"--{flag} must be {its}, that of study {study}, but got {mine}: leave it "
                        "out, or leave out --study."
                    )
            data, seed = known.data, known.settings["seed"]
        data, seed = DATA if data is None else data, 0 if seed is None else seed
        usual = f"baselines-{_slug(data)}" + (f"-seed{seed}" if seed else "")
        name, named = usual if study is None else study, chosen(models, data)
        return cls(data=data, models=named, seed=seed, name=name, runs=runs, **others)

    def run(self, *, progress: bool = True) -> StudyRecords:
        """Measure what is not recorded yet; what the study's records then say."""
        folder, known = StudyFolder(self.runs / self.name), self._known()
        dataset = load_shown(self.data, known, show=progress)
        parts = split(dataset.labels, self.seed)
        if (self.examples or 0) > len(parts.train):
            raise UsageError(
                f"--examples must be at most {len(parts.train):,}, the training split of "
                f"{self.data}, but got {self.examples:,}."
            )
        if known is not None and not self._missing(known, parts):
            return known
        with folder.writing(), folder.locked(), RecordFile.open(folder.records) as records:
            known = self._known()  # again: who held the lock before may have measured some
            if known is None:
                told = self.name, self._settings(), dataset.fingerprint, self.command
                records.append("study", **study_record(*told))
                known = load_study(self.runs, self.name)
            for model in self._missing(known, parts):
                if is_network(model):
                    measured = self._network(model, parts, folder, progress)
                else:
                    measured = self._classical(model, dataset, parts, folder, progress)
                for record in measured:
                    records.append("baseline", **record)
                    _say(record, show=progress)
        return load_study(self.runs, self.name)

    def _known(self) -> StudyRecords | None:
        known = find_study(self.runs, self.name)
        if known is not None and (known.data, known.settings["seed"]) != (self.data, self.seed):
            raise UsageError(
                f"Study {self.name} exists, on {known.data} and of seed {known.settings['seed']}: "
                "choose another --runs."
            )
        return known

    def _settings(self) -> dict[str, Any]:
        unlimited = dict.fromkeys(asdict(Budget()))
        return {"data": self.data, "budget": unlimited, "seed": self.seed, "baselines": True}

    def _missing(self, known: StudyRecords, parts: Split) -> list[str]:
        """The models of which a part that is asked for was not measured yet."""
        wanted = {"validation", "test"} if self.test else {"validation"}
        return [
            model
            for model in self.models
            if wanted - {run.part for run in known.baselines if run.key == self._key(model, parts)}
        ]

    def _key(self, model: str, parts: Split) -> tuple[str, int, int, int | None]:
        epochs = self._epochs(model) if is_network(model) else None
        return model, self.examples or len(parts.train), self.seed, epochs

    def _epochs(self, model: str) -> int:
        return self.max_epochs or entry(zoo_name(model)).epochs

    def _classical(
        self, model: str, dataset: Dataset, parts: Split, folder: StudyFolder, progress: bool
    ) -> Iterator[Record]:
        """The records of a classical model, on each part that is asked for."""
        from pennyweight.train.classical import fit
        from pennyweight.train.door import open_test_set

        learned = parts.train
        if self.examples is not None:
            learned = learned[stratified_sample(dataset.labels[learned], self.examples, self.seed)]
        began = time.perf_counter()
        with _doing(f"{model}: fitting {len(learned):,} pictures", show=progress):
            images, labels = dataset.images[learned], dataset.labels[learned]
            fitted = patiently(lambda: fit(model, images, labels, self.seed))
        seconds = {"train": time.perf_counter() - began}
        about = {
            **dict(zip(_KEY, self._key(model, parts), strict=True)),
            "about": fitted.made_by,
            "identity": fitted.identity,
            "numbers": fitted.size.numbers,
            "trained": fitted.size.trained,
            "study": None,
        }
        measured = {
            "validation": (dataset.images[parts.validation], dataset.labels[parts.validation])
        }
        if self.test:
            pictures = open_test_set(
                self.data, purpose="baseline", model=fitted.identity, ledger=folder.readings
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

    def _network(
        self, model: str, parts: Split, folder: StudyFolder, progress: bool
    ) -> Iterator[Record]:
        """The records of a network, trained as `train` does, in a study of its own."""
        from pennyweight.train.evaluate import measure_on_test

        key = dict(zip(_KEY, self._key(model, parts), strict=True))
        training = self._training(model, self._epochs(model))
        if progress:
            print(f"{model}: trained as study {training.name}", file=sys.stderr, flush=True)
        study = training.run(progress=progress)
        trial, own = study.trials[0], StudyFolder(self.runs / training.name)
        about = key | {
            "about": trial.notation,
            "identity": f"{trial.fingerprint} {trial.seed}",
            "numbers": trial.cost["params"],
            "trained": True,
            "study": training.name,
        }
        counts = {"correct": trial.val_correct or 0, "total": trial.val_total or 1}
        yield about | counts | {"part": "validation", "seconds": trial.seconds_by_kind}
        if self.test:
            task, weights = task_again(study, trial, trial.seed), own.model(0, trial.kept_epoch)
            for ledger in (own.readings, folder.readings):  # both tell that the test set was read
                found = measure_on_test(
                    task, weights.read_bytes(), purpose="baseline", ledger=ledger
                )
            counts = {"correct": found.correct, "total": found.total}
            yield about | counts | {"part": "test", "seconds": {}}

    def _training(self, model: str, epochs: int) -> Training:
        from pennyweight.search.arguments import read_arch
        from pennyweight.search.single import Training

        name = f"{_slug(model)}-{_slug(self.data)}-epochs{epochs}-seed{self.seed}"
        return Training.of(
            read_arch(model),
            data=self.data,
            recipe=None,
            max_epochs=epochs,
            seed=self.seed,
            precision=None,
            whole=False,
            study=name,
            runs=self.runs,
            command=self.command,
        )


_KEY = ("model", "examples", "seed", "epochs")


def baselines(
    data: str | None = None,
    *,
    models: Sequence[str] = ("classical",),
    examples: int | None = None,
    max_epochs: int | None = None,
    seed: int | None = None,
    test: bool = False,
    study: str | None = None,
    runs: str | Path = "runs",
    progress: bool = True,
) -> StudyRecords:
    """Measure models made elsewhere, as `pennyweight baselines` does, and return their study.

    `pennyweight.results.baselines.baselines` makes rows of it. Raises UsageError for anything that
    cannot be.
    """
    wanted = Baselines.of(
        data=data,
        models=models,
        examples=examples,
        max_epochs=max_epochs,
        seed=seed,
        test=test,
        study=study,
        runs=Path(runs),
        command=["python"],
    )
    return wanted.run(progress=progress)


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


def _say(record: Record, *, show: bool) -> None:
    """One line on stderr for each measurement, as it is on the disk."""
    if show:
        share, seconds = record["correct"] / record["total"], sum(record["seconds"].values())
        line = f"{seconds:6.0f}s {record['model']}: {share:.2%} of {record['part']}"
        print(line, file=sys.stderr, flush=True)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
