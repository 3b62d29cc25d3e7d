"""Training one architecture: a study of one trial, so that whatever takes a study takes it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.results.models import load_data_of
from pennyweight.results.places import Place, place_of, store_in
from pennyweight.results.studies import find_study, load_study, read_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.arguments import Named, first_given
from pennyweight.search.launch import Found
from pennyweight.search.progress import load_shown
from pennyweight.search.recording import study_record, task_again
from pennyweight.search.settings import DATA, MAX_EPOCHS, check_name
from pennyweight.search.single_records import differences_from, settings_of
from pennyweight.search.single_run import go_on
from pennyweight.search.starting import Start, what_to_train
from pennyweight.search.tracking import check_trackers, say_finished
from pennyweight.train.cores import compute_in_one_thread
from pennyweight.train.corrections import relabelled
from pennyweight.train.native import native_digest, use_all_cores, xla_kernels
from pennyweight.train.precision import PRECISION, Precision, check_precision
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.splits import validation_size
from pennyweight.train.stopping import Keep, Stopping

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
    kernels: str | None = None  # in C, that it was trained with, where data are to be the same
    start: Start | None = None  # what it starts from instead of random weights
    stopping: Stopping = field(default_factory=Stopping)
    track: tuple[str, ...] = ()  # where it is told live: see `tracking.py`

    def __post_init__(self) -> None:
        from pennyweight.train.data import describe

        check_name(self.name)
        Budget(max_epochs=self.epochs)
        check_precision(self.precision)
        check_trackers(self.track)
        info = describe(self.data)
        architecture = self.candidate.architecture
        here = (architecture.input_shape, architecture.classes)
        if here != (info.input_shape, info.classes):
            wanted = "x".join(map(str, info.input_shape)), info.classes
            raise UsageError(
                f"{self.data} has {wanted[0]} pictures in {wanted[1]} classes, but the "
                f"architecture takes {'x'.join(map(str, here[0]))} in {here[1]}: use other data."
            )
        step, total = self.candidate.recipe.step_size, info.train_examples
        learned = total if self.whole else total - validation_size(total)
        if step > learned:
            times = " times `accumulation`" if self.candidate.recipe.accumulation > 1 else ""
            raise UsageError(
                f"`batch_size`{times} of the recipe must be at most {learned}, the training "
                f"pictures of {self.data}, but got {step}."
            )
        if self.whole and self.stopping:
            raise UsageError(
                "--whole trains on the validation pictures too, and then they can decide nothing: "
                "leave out --patience, --keep and --target-accuracy."
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
        patience: int | None = None,
        keep: Keep | None = None,
        target_accuracy: float | None = None,
        track: Sequence[str] = (),
    ) -> Training:
        """What is not given is as the record says that `named` is from, or as usual."""
        whole = whole or named.whole
        given = {"patience": patience, "keep": keep, "target_accuracy": target_accuracy}
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
            kernels=named.kernels,
            start=start,
            stopping=Stopping.of(given),
            track=tuple(track),
        )

    def run(self, *, progress: bool = True) -> StudyRecords:
        """Train to the end, an epoch at a time; each is on the disk before the next begins."""
        known = self._known()
        if known is not None and self.data_fingerprint not in (None, known.data_fingerprint):
            raise UsageError(
                f"Study {self.name} learned from other pictures: {self.data} had the fingerprint "
                f"{known.data_fingerprint} there, but {self.data_fingerprint} is asked for: move "
                "its folder away, or choose other --runs."
            )
        if known is not None and known.trials and known.trials[0].state != "running":
            say_finished(self.track, self.name)
            return known
        # What is recorded was trained by workers of one thread: more would round otherwise.
        if self.data_fingerprint is not None and "jax" not in sys.modules:
            compute_in_one_thread()
            use_all_cores()
        with self._kernels_of_record(say=progress):
            return self._run(known, progress)

    def _run(self, known: StudyRecords | None, progress: bool) -> StudyRecords:
        dataset = load_shown(self.data, known, show=progress)
        if self.data_fingerprint not in (None, dataset.fingerprint):
            raise UsageError(
                f"The record was made with other pictures: {self.data} had the fingerprint "
                f"{self.data_fingerprint} and has {dataset.fingerprint} here. Bring back the old "
                "ones, or name --data to train on these."
            )
        store = store_in(self.runs, self.name)
        with store.writing(), store.locked(settles=True):
            known = self._known()  # again: who held the lock before may have gone on
            with store.open_records() as records:
                if known is None:
                    if self.start:
                        store.start.write(self.start.weights)
                    described = settings_of(self), dataset.fingerprint, self.command
                    records.append("study", **study_record(self.name, *described))
                go_on(self, store, records, known, progress)
            return read_study(store)

    @contextlib.contextmanager
    def _kernels_of_record(self, *, say: bool) -> Iterator[None]:
        """Train as what is recorded was trained: its numbers come out to the picture so."""
        if self.data_fingerprint is None:
            yield
        elif self.kernels is None:
            with xla_kernels():
                yield
        else:
            if say and self.kernels != native_digest():
                print(
                    "The record was trained with kernels of another version, C compiler or "
                    "processor: rounding differs, and so may a few pictures.",
                    file=sys.stderr,
                )
            yield

    def _known(self) -> StudyRecords | None:
        """What was recorded, None before the first record; UsageError if of something else."""
        known = find_study(self.runs, self.name)
        if known is None:
            return None
        if differences := differences_from(self, known):
            raise UsageError(
                f"Study {self.name} exists and is not this training ({'; '.join(differences)}): "
                "repeat that one, or choose another --study."
            )
        return known


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
    patience: int | None = None,
    keep: Keep | None = None,
    target_accuracy: float | None = None,
    track: Sequence[str] = (),
    study: str | None = None,
    runs: str | Path = "runs",
    storage: str | None = None,
    progress: bool = True,
) -> Found:
    """Train one network, as `pennyweight train` does; go on with it if the study exists.

    `arch` may be a notation, zoo:NAME, pretrained:NAME or a JSON file such as a record, whose data,
    recipe, epochs and seed then hold where nothing else is given. Instead of it, `start` is a
    trained network (a study, a bundle, pretrained:NAME) from whose weights the training starts. A
    record is trained in one thread on its own data, as it was made, unless JAX is imported already;
    then its number comes out to the picture on one kind of machine.
    `relabel` is a CSV file that corrects labels of training pictures.
    The training ends before `max_epochs` after `patience` epochs without a better accuracy on
    validation pictures, or where it reaches `target_accuracy`, a share. With `keep` "best" the most
    accurate epoch's weights are its own, otherwise the last one's.
    `track` names where it is told live: "tensorboard:FOLDER", "mlflow:URI", "wandb:PROJECT".
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
        patience=patience,
        keep=keep,
        target_accuracy=target_accuracy,
        track=track,
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
    weights = store.model(0, trial.kept_epoch).read_bytes()
    return measure_on_test(task, weights, store.readings, purpose="evaluate")
