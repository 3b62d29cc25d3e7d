"""Training one architecture: a study of one trial, so that whatever takes a study takes it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError
from pennyweight.results.models import load_data_of
from pennyweight.results.places import Place, place_of, store_in
from pennyweight.results.store import Records, Store
from pennyweight.results.studies import find_study, load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.arguments import Named, first_given
from pennyweight.search.launch import Found
from pennyweight.search.progress import Watcher, load_shown, watching
from pennyweight.search.recording import (
    rung_record,
    study_record,
    task_again,
    versions,
)
from pennyweight.search.settings import DATA, MAX_EPOCHS, check_name, relabelling
from pennyweight.search.starting import Start, what_to_train
from pennyweight.train.corrections import relabelled
from pennyweight.train.precision import PRECISION, Precision, check_precision
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung, warm_up

if TYPE_CHECKING:
    from pennyweight.train.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class Training:
    """One candidate to train on `data` for `epochs`, in the study `name`; resumed if it exists.

    Raises UsageError when the candidate does not suit the data, or the study holds another one.
    """

    candidate: Candidate
    data: str
    epochs: int
    name: str
    runs: Place
    command: list[str]
    precision: Precision = PRECISION
    whole: bool = False  # on the validation pictures too
    data_fingerprint: str | None = None  # that the data must have
    start: Start | None = None  # what it starts from instead of random weights

    def __post_init__(self) -> None:
        from pennyweight.train.data import describe

        check_name(self.name)
        Budget(max_epochs=self.epochs)
        check_precision(self.precision)
        info = describe(self.data)
        architecture = self.candidate.architecture
        here = (architecture.input_shape, architecture.classes)
        if here != (info.input_shape, info.classes):
            wanted = "x".join(map(str, info.input_shape)), info.classes
            raise UsageError(
                f"{self.data} has {wanted[0]} pictures in {wanted[1]} classes, but the "
                f"architecture takes {'x'.join(map(str, here[0]))} in {here[1]}: use other data."
            )
        batch = self.candidate.recipe.batch_size
        if info.train_examples * 4 // 5 < batch:
            raise UsageError(
                f"`batch_size` of the recipe must be at most the training split of {self.data} "
                f"(of {info.train_examples} pictures in all), but got {batch}."
            )

    @classmethod
    def of(
        cls,
        named: Named,
        start: Start | None = None,
        *,
        data: str | None,
        relabel: Path | None = None,
        recipe: Recipe | None,
        max_epochs: int | None,
        seed: int | None,
        precision: Precision | None,
        whole: bool,
        study: str | None,
        runs: Place,
        command: list[str],
    ) -> Training:
        """What is not given is as the record says that `named` is from, or as usual."""
        whole = whole or named.whole
        precision = first_given(precision, named.precision, PRECISION)
        seed = first_given(seed, named.seed, 0)
        if not 0 <= seed < 2**31:
            raise UsageError(f"--seed must be from 0 to {2**31 - 1}, but got {seed}.")
        usual = f"train-{named.architecture.fingerprint}-{seed}"
        usual += "" if precision == PRECISION else f"-{precision}"
        usual += "-whole" if whole else ""
        usual += "-relabelled" if relabel else ""
        usual += f"-from-{start.identity[-16:-8]}" if start else ""
        return cls(
            candidate=Candidate(
                architecture=named.architecture,
                recipe=first_given(recipe, named.recipe, Recipe()),
                seed=seed,
            ),
            data=relabelled(first_given(data, named.data, DATA), relabel),
            epochs=first_given(max_epochs, named.epochs, MAX_EPOCHS),
            name=usual if study is None else study,
            runs=runs,
            command=command,
            precision=precision,
            whole=whole,
            data_fingerprint=named.data_fingerprint if data is None and relabel is None else None,
            start=start,
        )

    def run(self, *, progress: bool = True) -> StudyRecords:
        """Train to the end, an epoch at a time; each is on the disk before the next begins."""
        store = store_in(self.runs, self.name)
        known = self._known()
        if known is not None and known.trials and known.trials[0].state != "running":
            return known
        dataset = load_shown(self.data, known, show=progress)
        if self.data_fingerprint not in (None, dataset.fingerprint):
            raise UsageError(
                f"The record was made with other pictures: {self.data} had the fingerprint "
                f"{self.data_fingerprint} and has {dataset.fingerprint} here. Bring back the old "
                "ones, or name --data to train on these."
            )
        with store.writing(), store.locked():
            known = self._known()  # again: who held the lock before may have gone on
            with store.open_records() as records:
                if known is None:
                    if self.start:
                        store.start.write(self.start.weights)
                    described = self._settings(), dataset.fingerprint, self.command
                    records.append("study", **study_record(self.name, *described))
                self._go_on(store, records, known, progress)
        return load_study(self.runs, self.name)

    def _known(self) -> StudyRecords | None:
        """What was recorded, None before the first record; UsageError if of something else."""
        known = find_study(self.runs, self.name)
        if known is None:
            return None
        if differences := self._differences(known):
            raise UsageError(
                f"Study {self.name} exists and is not this training ({'; '.join(differences)}): "
                "repeat that one, or choose another --study."
            )
        return known

    def _go_on(
        self, store: Store, records: Records, known: StudyRecords | None, progress: bool
    ) -> None:
        started = time.monotonic()
        trial = known.trials.get(0) if known else None
        if trial is None:
            records.append("trial", **self._asked())
        elif trial.state != "running":
            return
        records.append(
            "session", started=time.time(), workers=1, versions=versions(), pid=os.getpid()
        )
        start = trial.epochs if trial else 0
        diverged = trial is not None and bool(trial.rungs) and trial.rungs[-1].diverged
        if start and not diverged and not store.state(0, start).exists():
            start = 0  # a lost state is trained again; what is recorded twice counts once
        known = load_study(self.runs, self.name)  # with its trial
        shown = watching(self.epochs, start, unit="epochs", known=known, show=progress)
        try:
            with shown as watch:
                warm_up(self.data, self.candidate.seed, self.whole)
                self._train(store, records, start, diverged, watch)
        finally:
            records.append("ledger", seconds={}, wall_s=time.monotonic() - started)

    def _settings(self) -> dict[str, Any]:
        budget = Budget(max_params=cost(self.candidate.architecture).params, max_epochs=self.epochs)
        usual = {"data": self.data, "budget": asdict(budget), "seed": self.candidate.seed}
        usual |= {} if self.precision == PRECISION else {"precision": self.precision}
        usual |= {"whole": True} if self.whole else {}
        usual |= relabelling(self.data)
        return usual | ({"start": self.start.to_json()} if self.start else {})

    def _asked(self) -> dict[str, Any]:
        architecture = self.candidate.architecture
        return {
            "trial": 0,
            "proposer": "user",
            "share": 1.0,
            "genome": {},
            "architecture": architecture.to_json(),
            "notation": architecture.notation,
            "fingerprint": architecture.fingerprint,
            "recipe": self.candidate.recipe.to_json(),
            "seed": self.candidate.seed,
            "cost": cost(architecture).to_json(),
        }

    def _train(
        self, store: Store, records: Records, epoch: int, diverged: bool, watch: Watcher
    ) -> None:
        while epoch < self.epochs and not diverged:
            state = store.state(0, epoch).read_bytes() if epoch else None
            outcome = train_rung(
                Task(
                    source=self.data,
                    split_seed=self.candidate.seed,
                    candidate=self.candidate,
                    epochs=self.epochs,
                    from_epoch=epoch,
                    to_epoch=epoch + 1,
                    state=state,
                    precision=self.precision,
                    whole=self.whole,
                    start=self.start.weights if self.start else None,
                )
            )
            epoch += 1
            store.state(0, epoch).write(outcome.state)
            store.model(0, epoch).write(outcome.model)
            fields = rung_record(0, outcome)
            records.append("rung", **fields)
            watch("rung", fields)
            store.clear(0, keep=epoch, running=True)
            diverged = outcome.curve[-1].diverged
        end = {
            "trial": 0,
            "state": "diverged" if diverged else "complete",
            "reason": "its loss was not finite" if diverged else None,
        }
        records.append("end", **end)
        watch("end", end)
        store.clear(0, keep=epoch, running=False)

    def _differences(self, known: StudyRecords) -> list[str]:
        """How the recorded training differs from this one, a clause each."""
        if "sampler" in known.settings:
            return ["it is a search"]
        here = {"data": self.data, "max_epochs": self.epochs, "seed": self.candidate.seed}
        started = self.start.to_json() if self.start else None
        here |= {"precision": self.precision, "whole": self.whole, "start": _told(started)}
        here |= relabelling(self.data).get("relabel", {})
        there = {
            "data": known.data,
            "max_epochs": known.budget["max_epochs"],
            "seed": known.settings["seed"],
            "precision": known.precision,
            "whole": known.whole,
            "start": _told(known.start),
            **known.settings.get("relabel", {}),
        }
        if trial := known.trials.get(0):
            here |= {"network": self.candidate.architecture.notation}
            here |= self.candidate.recipe.to_json()
            there |= {"network": trial.notation} | dict(trial.recipe)
        return [
            f"{name} is {there.get(name)} there and {here.get(name)} here"
            for name in here | there
            if here.get(name) != there.get(name)
        ]


def _told(start: Mapping[str, Any] | None) -> str:
    """What a training started from: the same weights may have had another name."""
    return f"the weights {start['identity']}" if start else "random weights"


def train(
    arch: str | Architecture | None = None,
    data: str | None = None,
    *,
    start: str | None = None,
    relabel: str | Path | None = None,
    recipe: Recipe | None = None,
    max_epochs: int | None = None,
    seed: int | None = None,
    precision: Precision | None = None,
    whole: bool = False,
    study: str | None = None,
    runs: str | Path = "runs",
    storage: str | None = None,
    progress: bool = True,
) -> Found:
    """Train one network, as `pennyweight train` does; go on with it if the study exists.

    `arch` may be a notation, zoo:NAME, pretrained:NAME or a JSON file such as a record, whose data,
    recipe, epochs and seed then hold where nothing else is given. Instead of it, `start` is a
    trained network (a study, a bundle, pretrained:NAME) from whose weights the training starts.
    `relabel` is a CSV file that corrects labels of training pictures.
    Raises UsageError for anything that cannot be.
    """
    place = place_of(Path(runs), storage)
    begun = what_to_train(arch, start, data=data, seed=seed, whole=whole, runs=place)
    training = Training.of(
        *begun,
        data=data,
        relabel=None if relabel is None else Path(relabel),
        recipe=recipe,
        max_epochs=max_epochs,
        seed=seed,
        precision=precision,
        whole=whole,
        study=study,
        runs=place,
        command=["python"],
    )
    return Found(training.run(progress=progress), training.runs, training.name)


def measure_trained(runs: Place, name: str) -> Evaluation:
    """The trained network on the test set; the reading is written down with the study."""
    from pennyweight.train.evaluate import measure_on_test

    study, store = load_study(runs, name), store_in(runs, name)
    load_data_of(study)  # refused where they have changed
    trial = study.trials[0]
    task = task_again(study, trial, trial.seed, whole=study.whole)
    weights = store.model(0, trial.epochs).read_bytes()
    return measure_on_test(task, weights, purpose="evaluate", ledger=store.readings)
