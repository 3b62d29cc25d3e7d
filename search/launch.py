"""A search from Python: what the command line calls, for notebooks and scripts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.arch.budget import Budget, check_count
from pennyweight.arch.errors import UsageError
from pennyweight.results.leaderboard import Row, arrange, rows
from pennyweight.results.places import Place, place_of, store_in
from pennyweight.results.store import Records, Store
from pennyweight.results.studies import fold_records, read_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.device import CPU, Asked, Device
from pennyweight.search.earlier import best_genomes, refined
from pennyweight.search.engine import EXECUTOR, LOCAL, Engine
from pennyweight.search.guard import refuse_nested
from pennyweight.search.output import command_line
from pennyweight.search.progress import load_shown, say_where_slow, watching
from pennyweight.search.settings import (
    DATA,
    MAX_EPOCHS,
    MAX_PARAMS,
    TRIALS,
    Sampler,
    Settings,
    check_name,
)
from pennyweight.search.tracking import check_trackers, say_finished, tracked
from pennyweight.train.corrections import relabelled
from pennyweight.train.precision import PRECISION, Precision

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.examine import Part
    from pennyweight.results.export import Exported
    from pennyweight.results.predictions import Predictions
    from pennyweight.train.data import DataInfo, Dataset

SHOWN = 20  # rows of a leaderboard, unless asked for more


@dataclass(frozen=True)
class Found:
    """What a search or a training has found so far; in a notebook it shows the leaderboard."""

    study: StudyRecords
    runs: Place
    name: str  # of the study there

    @property
    def rows(self) -> list[Row]:
        """The leaderboard: one row for each trial asked, the best first."""
        return rows(self.study)

    @property
    def best(self) -> Row:
        """Rank 1. Raises UsageError when no trial was asked yet."""
        if not self.study.trials:
            raise UsageError(
                f"Study {self.study.study} has no trial yet: give its search more time."
            )
        return self.rows[0]

    def export(
        self, folder: str | Path, *, forms: Sequence[str] = (), force: bool = False
    ) -> Exported:
        """Write rank 1 as a bundle into `folder`, as Flax source and in the `forms` named."""
        from pennyweight.results.models import export_model, find_model

        model = find_model(self.runs, self.name)
        return export_model(model, Path(folder), command=_command(), forms=forms, force=force)

    def examine(self, part: Part = "validation") -> tuple[Predictions, np.ndarray]:
        """What rank 1 says of a part of its data, and the pictures (n, h, w, c).

        Each reading of the test set is written down. Of a confirmed study it is the confirmed one.
        """
        from pennyweight.results.examine import examine
        from pennyweight.results.loaded import load_model

        return examine(load_model(self.runs, self.name), part=part)

    def __repr__(self) -> str:
        asked = len(self.study.trials)
        return f"<Found: study {self.name}, {asked} trial{'' if asked == 1 else 's'}>"

    def __str__(self) -> str:
        """The leaderboard as plain text."""
        from pennyweight.results.terminal import as_text

        return as_text(self.__rich__())

    def __rich__(self) -> Any:
        from pennyweight.results.terminal import as_table

        readings = store_in(self.runs, self.name).count_readings()
        return as_table(self.study, arrange(self.rows, top=SHOWN), test_readings=readings)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.__rich__()._repr_mimebundle_([], [])


def search(
    data: str = DATA,
    *,
    max_params: int = MAX_PARAMS,
    max_epochs: int = MAX_EPOCHS,
    max_macs: int | None = None,
    max_activation_bytes: int | None = None,
    trials: int = TRIALS,
    timeout_s: float | None = None,
    sampler: Sampler = "tpe",
    workers: int | None = None,
    executor: str = EXECUTOR,
    group: int | None = None,
    device: Asked = "auto",
    rung_timeout_s: float | None = None,
    study: str | None = None,
    runs: str | Path = "runs",
    storage: str | None = None,
    seed: int = 0,
    precision: Precision = PRECISION,
    after: Sequence[str] = (),
    relabel: str | Path | None = None,
    refine: str | None = None,
    track: Sequence[str] = (),
    progress: bool = True,
) -> Found:
    """Search for the most accurate small networks within a budget; resume the study if it exists.

    Every network proposed is within every limit. `trials` is the study's total: a finished study is
    returned as it is. After `timeout_s` seconds no new rung of a group starts; the study can be
    gone on with. A worker whose rung takes longer than `rung_timeout_s` is replaced; by default ten
    times as long as comparable rungs took.
    `workers` processes train side by side, one per core by default, so a script must make this call
    under `if __name__ == "__main__":`. The `executor` "dask:tcp://HOST:8786" is a Dask cluster
    (docs/cluster.md). Trials in groups of `group` share a structure and what is compiled; by
    default as many as pay. `device` is where: "cpu", "gpu", "tpu", or "auto" for an
    accelerator if JAX has one here. There one worker trains a group's trials side by side.
    The best networks of the studies `after` are asked first, scaled to this budget, and so are
    bundles and pretrained:NAME.
    With `refine`, every gene keeps to where it is among the best of that study.
    With `storage`, such as "postgresql+psycopg://USER@HOST/DATABASE", the study is kept in that
    database; while another coordinator runs it, this one stands by and takes over when that ends.
    `relabel` is a CSV file that corrects labels of training pictures, never of the test set.
    `track` names where it is told live: "tensorboard:FOLDER", "mlflow:URI", "wandb:PROJECT".
    With the `precision` "bfloat16", matrix products take rounded values; sums, weights and
    everything else stay float32.

    Raises UsageError, one line that says what to change, for anything that cannot be: then nothing
    was written.
    """
    refuse_nested()
    budget = Budget(
        max_params=max_params,
        max_epochs=max_epochs,
        max_macs=max_macs,
        max_activation_bytes=max_activation_bytes,
    )
    settings = Settings(
        data=relabelled(data, None if relabel is None else Path(relabel)),
        budget=budget,
        sampler=sampler,
        seed=seed,
        precision=precision,
        after=tuple(after),
        refine=refine,
    )
    plan = Plan.of(
        settings,
        group=group,
        trials=trials,
        study=study,
        runs=place_of(Path(runs), storage),
        device=device,
        executor=executor,
    )
    return plan.run(
        workers=workers,
        timeout_s=timeout_s,
        rung_timeout_s=rung_timeout_s,
        progress=progress,
        track=track,
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A search whose input was checked, and that can start; raises UsageError when it cannot."""

    settings: Settings
    trials: int
    study: str | None = None  # the study's name; by default what the settings suggest
    runs: Place
    device: Device = CPU
    engine: Engine = LOCAL
    group: int | None = None  # what was asked for; by default as the study has it
    info: DataInfo = field(init=False)

    def __post_init__(self) -> None:
        from pennyweight.search.decode import smallest_within
        from pennyweight.train.data import describe

        object.__setattr__(self, "info", describe(self.settings.data))
        check_name(self.name)
        check_count("--trials", self.trials)
        smallest_within(self.settings.budget, self.info.input_shape, self.info.classes)
        _check_examples(self.info)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        group: int | None,
        trials: int,
        study: str | None,
        runs: Place,
        device: Asked,
        executor: str = EXECUTOR,
    ) -> Plan:
        """The plan with groups of `group`; without it as the study has them, or as it pays."""
        from pennyweight.search.grouping import usual_group

        engine = Engine.of(executor)
        where = engine.device(device)
        plan = cls(
            settings=settings,
            trials=trials,
            study=study,
            runs=runs,
            device=where,
            engine=engine,
            group=group,
        )
        usual = usual_group(settings.budget, plan.info, trials, where)
        settings = replace(settings, group=usual if group is None else group)
        known = plan.recorded
        if known is None:
            if settings.after:
                first = best_genomes(runs, settings.after, settings.data)
                settings = replace(settings, first=first)
            elif settings.refine:
                settings = refined(settings, runs, settings.refine)
        plan = replace(plan, settings=settings)
        return replace(plan, settings=plan.settled(known))

    def settled(self, known: StudyRecords | None) -> Settings:
        """The settings; those that stay as in what is `known`, which another may have begun."""
        if known is None:
            return self.settings
        settings = self.settings.gone_on_with(known.settings)
        if self.group is None:
            settings = replace(settings, group=known.settings.get("group", settings.group))
        return settings

    @property
    def name(self) -> str:
        """The study's name."""
        return self.settings.name if self.study is None else self.study

    @cached_property
    def store(self) -> Store:
        """Where the study is, or will be, kept."""
        return store_in(self.runs, self.name)

    @property
    def recorded(self) -> StudyRecords | None:
        """What the study's records say, None before it began."""
        return read_study(self.store) if self.store.has_begun() else None

    @property
    def known(self) -> StudyRecords | None:
        """The same; UsageError if the study's settings differ from these."""
        return self._agreeing(self.settings, self.recorded)

    def _agreeing(self, settings: Settings, known: StudyRecords | None) -> StudyRecords | None:
        if known is None:
            return None
        if differences := settings.differences(known.settings):
            raise UsageError(
                f"Study {self.name} exists with other settings ({'; '.join(differences)}): "
                "repeat those, or choose another --study."
            )
        return known

    def _agreed(self) -> tuple[Settings, StudyRecords | None]:
        known = self.recorded
        settings = self.settled(known)
        return settings, self._agreeing(settings, known)

    def run(
        self,
        *,
        workers: int | None,
        timeout_s: float | None,
        rung_timeout_s: float | None = None,
        progress: bool,
        track: Sequence[str] = (),
    ) -> Found:
        """Search until `trials` have come to their end, or for `timeout_s` seconds."""
        check_trackers(track)
        if rung_timeout_s is not None and not rung_timeout_s > 0:
            raise UsageError(f"--rung-timeout must be above 0 s, but got {rung_timeout_s:g} s.")
        if timeout_s is not None and not timeout_s > 0:  # NaN included
            raise UsageError(f"--timeout must be above 0 s, but got {timeout_s:g} s.")
        if workers is not None:
            check_count("--workers", workers)
        self.engine.check(workers, self.device)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        settings, known = self._agreed()
        if known is None or _unfinished(known, self.trials):
            self._dataset(settings, known, progress)  # what a standby lacks is told as it begins
        with self.store.standing_by():
            settings, known = self._agreed()
            # Who was cut short may not have told Optuna of the last trial, though all have ended.
            cut_short = self.store.was_left()
            if known is None or cut_short or _unfinished(known, self.trials):
                self._run(settings, known, workers, deadline, rung_timeout_s, progress, track)
            else:
                say_finished(track, self.name)
            return Found(read_study(self.store), self.runs, self.name)

    def _run(
        self,
        settings: Settings,
        known: StudyRecords | None,
        workers: int | None,
        deadline: float | None,
        rung_timeout_s: float | None,
        progress: bool,
        track: Sequence[str],
    ) -> None:
        from pennyweight.search.side_by_side import check_device
        from pennyweight.search.study import Coordinator
        from pennyweight.train.rung import warm_up

        dataset = self._dataset(settings, known, progress)
        warm = partial(warm_up, settings.data, settings.seed, fingerprint=dataset.fingerprint)
        with ExitStack() as stack:
            opened = self.engine.open(workers, warm=warm, device=self.device, show=progress)
            executor = stack.enter_context(opened)
            if self.device.accelerates:
                check_device(executor)  # before anything is written
            stack.enter_context(self.store.writing())
            stack.enter_context(self.store.locked(settles=True))
            records = stack.enter_context(self.store.open_records())
            # Read again, under the lock: another coordinator may have been at work meanwhile.
            known = self._agreeing(settings, self.recorded)
            known = known or self._begin(settings, records, dataset.fingerprint)
            ended = sum(trial.state != "running" for trial in known.trials.values())
            shown = watching(self.trials, ended, known=known, deadline=deadline, show=progress)
            with shown as watch, tracked(watch, track, self.name, known) as note:
                Coordinator(
                    store=self.store,
                    settings=settings,
                    info=self.info,
                    executor=executor,
                    slots=lambda: executor.workers,
                    trials=self.trials,
                    watch=note,
                    deadline=deadline,
                    side_by_side=self.device.accelerates,
                    rung_timeout_s=rung_timeout_s,
                ).run(records, known, _session(executor.workers))

    def _dataset(self, settings: Settings, known: StudyRecords | None, progress: bool) -> Dataset:
        """What is learned, decoded once, not by every worker.

        Refused here, before anything is written, where it changed, or the sampler lacks PyTorch.
        """
        from pennyweight.search.sampling import make_sampler

        make_sampler(settings.sampler, settings.seed, 0)
        if progress and not self.device.accelerates:
            say_where_slow()
        return load_shown(settings.data, known, show=progress)

    def _begin(self, settings: Settings, records: Records, fingerprint: str) -> StudyRecords:
        from pennyweight.search.recording import study_record

        first = study_record(self.name, settings.to_json(), fingerprint, _command())
        records.append("study", **first)
        return fold_records([{"kind": "study", **first}])


def _session(workers: int) -> dict[str, Any]:
    from pennyweight.search.recording import versions

    return {
        "started": time.time(),
        "workers": workers,
        "versions": versions(),
        "pid": os.getpid(),
    }


def _unfinished(known: StudyRecords, trials: int) -> bool:
    running = any(trial.state == "running" for trial in known.trials.values())
    return running or len(known.trials) < trials


def _check_examples(info: DataInfo) -> None:
    from pennyweight.search.genome import choices

    largest = max(choices()["batch_size"] or ())
    # A fifth at most goes to validation.
    if info.train_examples * 4 // 5 < int(largest):
        raise UsageError(
            f"A search needs at least one batch of {largest} training pictures beside the "
            f"validation split, but {info.name} has {info.train_examples} in all: use more data."
        )


def _command() -> Sequence[str]:
    return command_line() if sys.argv[0].endswith("pennyweight") else ["python"]
