"""Baselines: classical models and networks of the zoo, on the split that a search has.

What was measured is recorded at once and not measured again, so a run can be stopped and repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pennyweight.arch.budget import Budget, check_count
from pennyweight.arch.errors import UsageError
from pennyweight.arch.zoo import entry
from pennyweight.results.places import Place, place_of, store_in
from pennyweight.results.studies import find_study, load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.baseline_models import chosen, is_network, zoo_name
from pennyweight.search.baseline_runs import classical, network, say, slug, training_of
from pennyweight.search.progress import load_shown
from pennyweight.search.recording import study_record
from pennyweight.search.settings import DATA, check_name
from pennyweight.train.data import check_test_set
from pennyweight.train.splits import Split


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """What to measure on `data`, split by `seed`, and the study that records it.

    Raises UsageError for what does not exist or does not suit the data.
    """

    data: str
    models: tuple[str, ...]
    seed: int
    name: str
    runs: Place
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
        if self.test:
            check_test_set(self.data)
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
        runs: Place,
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
        usual = f"baselines-{slug(data)}" + (f"-seed{seed}" if seed else "")
        name, named = usual if study is None else study, chosen(models, data)
        return cls(data=data, models=named, seed=seed, name=name, runs=runs, **others)

    def run(self, *, progress: bool = True) -> StudyRecords:
        """Measure what is not recorded yet; what the study's records then say."""
        store, known = store_in(self.runs, self.name), self._known()
        dataset = load_shown(self.data, known, show=progress)
        parts = dataset.split(self.seed)
        if (self.examples or 0) > len(parts.train):
            raise UsageError(
                f"--examples must be at most {len(parts.train):,}, the training split of "
                f"{self.data}, but got {self.examples:,}."
            )
        if known is not None and not self._missing(known, parts):
            return known
        trainings = {
            model: training_of(self, model, dataset.fingerprint)
            for model in self.models
            if is_network(model)
        }
        with store.writing(), store.locked(), store.open_records() as records:
            known = self._known()  # again: who held the lock before may have measured some
            if known is None:
                told = self.name, self._settings(), dataset.fingerprint, self.command
                records.append("study", **study_record(*told))
                known = load_study(self.runs, self.name)
            for model in self._missing(known, parts):
                if is_network(model):
                    measured = network(self, model, trainings[model], parts, store, progress)
                else:
                    measured = classical(self, model, dataset, parts, store, progress)
                for record in measured:
                    records.append("baseline", **record)
                    say(record, show=progress)
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
            if wanted - {run.part for run in known.baselines if run.key == self.key(model, parts)}
        ]

    def key(self, model: str, parts: Split) -> tuple[str, int, int, int | None]:
        """Which training, as `BaselineRun.key`."""
        epochs = self.epochs(model) if is_network(model) else None
        return model, self.examples or len(parts.train), self.seed, epochs

    def epochs(self, model: str) -> int:
        """How long a network is trained."""
        return self.max_epochs or entry(zoo_name(model)).epochs


def baselines(
    data: str | None = None,
    *,
    models: str | Sequence[str] = ("classical",),
    examples: int | None = None,
    max_epochs: int | None = None,
    seed: int | None = None,
    test: bool = False,
    study: str | None = None,
    runs: str | Path = "runs",
    storage: str | None = None,
    progress: bool = True,
) -> StudyRecords:
    """Measure models made elsewhere, as `pennyweight baselines` does, and return their study.

    `pennyweight.results.baselines.baselines` makes rows of it. Raises UsageError for anything that
    cannot be.
    """
    wanted = Baselines.of(
        data=data,
        models=[models] if isinstance(models, str) else models,
        examples=examples,
        max_epochs=max_epochs,
        seed=seed,
        test=test,
        study=study,
        runs=place_of(Path(runs), storage),
        command=["python"],
    )
    return wanted.run(progress=progress)
