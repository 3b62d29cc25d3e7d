"""Where one can have a study told live: each a small class over its own client library.

A trial is a run of its own, known by its study's key; one that is gone on with is found again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """Is told of trials in their order; may raise whatever it likes."""

    def begin(self, trial: int, about: Mapping[str, Any]) -> int:
        """A trial was asked for, or is gone on with; the last epoch that need not be told again."""
        ...

    def log(self, trial: int, epoch: int, measured: Mapping[str, float]) -> None:
        """What an epoch of a trial gave."""
        ...

    def end(self, trial: int, state: str) -> None:
        """A trial came to its end."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class TensorBoard:
    """Event files below `place`/key/trial-N, with the trials' settings for the HParams page."""

    def __init__(self, place: str, study: str, key: str) -> None:
        self._key, self._folder = key, Path(place) / key
        self._writers: dict[int, Any] = {}

    def begin(self, trial: int, about: Mapping[str, Any]) -> int:
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer = EventFileWriter(str(self._folder / f"trial-{trial}"))
        self._writers[trial] = writer
        # Runs with one `trial_id` are shown as one, whatever their folders.
        self._add(trial, 0, summary_v2.hparams_pb(dict(about), trial_id=f"{self._key}-{trial}"))
        messages = _messages("compat.proto.event_pb2")
        start = messages.SessionLog(status=messages.SessionLog.START)
        # Readers drop what files before this one have from step 1 on: all is told again.
        writer.add_event(messages.Event(wall_time=time.time(), step=1, session_log=start))
        return 0

    def log(self, trial: int, epoch: int, measured: Mapping[str, float]) -> None:
        kind = _messages("compat.proto.summary_pb2").Summary
        values = [kind.Value(tag=name, simple_value=value) for name, value in measured.items()]
        self._add(trial, epoch, kind(value=values))
        self._writers[trial].flush()

    def end(self, trial: int, state: str) -> None:
        from tensorboard.plugins.hparams import metadata

        kind = _messages("compat.proto.summary_pb2").Summary
        page = _messages("plugins.hparams.plugin_data_pb2")
        fate = "FAILURE" if state in ("failed", "diverged") else "SUCCESS"
        status = getattr(_messages("plugins.hparams.api_pb2"), f"STATUS_{fate}")
        # Its own function for this needs TensorFlow.
        ended = page.SessionEndInfo(status=status, end_time_secs=time.time())
        told = metadata.create_summary_metadata(page.HParamsPluginData(session_end_info=ended))
        tag, empty = metadata.SESSION_END_INFO_TAG, metadata.NULL_TENSOR
        self._add(trial, 0, kind(value=[kind.Value(tag=tag, metadata=told, tensor=empty)]))
        self._writers.pop(trial).close()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _add(self, trial: int, epoch: int, summary: Any) -> None:
        kind = _messages("compat.proto.event_pb2").Event
        self._writers[trial].add_event(kind(wall_time=time.time(), step=epoch, summary=summary))


def _messages(module: str) -> Any:
    """TensorBoard's generated modules, in which a type checker finds nothing."""
    return import_module(f"tensorboard.{module}")


class MLflow:
    """A run for each trial in the experiment that is called as the study, at the server `place`."""

    def __init__(self, place: str, study: str, key: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nobody asked for that
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 take minutes
        from mlflow import MlflowClient

        # They tell how they make a database, and of each retry; what fails is raised too.
        for name in ("mlflow", "alembic", "urllib3"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._key = key
        self._client = MlflowClient(tracking_uri=place)
        known = self._client.get_experiment_by_name(study)
        self._experiment = known.experiment_id if known else self._client.create_experiment(study)
        self._runs: dict[int, str] = {}

    def begin(self, trial: int, about: Mapping[str, Any]) -> int:
        from mlflow.entities import Param

        tags = {"study": self._key, "trial": str(trial)}
        known = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
        before = self._client.search_runs([self._experiment], filter_string=known, max_results=1)
        if before:
            self._runs[trial] = before[0].info.run_id
            return self._last_epoch(before[0])
        run = self._client.create_run(self._experiment, run_name=f"trial {trial}", tags=tags)
        self._runs[trial] = run.info.run_id
        params = [Param(name, str(value)) for name, value in about.items()]
        self._client.log_batch(run.info.run_id, params=params)
        return 0

    def _last_epoch(self, run: Any) -> int:
        histories = (self._client.get_metric_history(run.info.run_id, n) for n in run.data.metrics)
        return max((point.step for points in histories for point in points), default=0)

    def log(self, trial: int, epoch: int, measured: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now_ms = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now_ms, epoch) for name, value in measured.items()]
        self._client.log_batch(self._runs[trial], metrics)  # at once: no epoch is told by half

    def end(self, trial: int, state: str) -> None:
        run = self._runs.pop(trial)
        self._client.set_tag(run, "state", state)
        fates = {"complete": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}
        self._client.set_terminated(run, fates.get(state, "KILLED"))

    def close(self) -> None:
        pass


class WandB:
    """A run for each trial in the project `place`, in a group that is called as the study.

    Where it goes, and whether at once, is as its own environment says (WANDB_MODE=offline).
    """

    def __init__(self, place: str, study: str, key: str) -> None:
        self._project, self._study, self._key = place, study, key
        self._runs: dict[int, Any] = {}

    def begin(self, trial: int, about: Mapping[str, Any]) -> int:
        import wandb

        run = wandb.init(
            project=self._project,
            group=self._study,
            id=f"{self._key}-{trial}",
            name=f"trial {trial}",
            config=dict(about),
            resume="allow",
            reinit="create_new",  # several trials train at a time
            settings=wandb.Settings(silent=True, console="off"),  # stdout is the result's
        )
        self._runs[trial] = run
        return max(0, run.starting_step - 1)  # which is after what a resumed run has

    def log(self, trial: int, epoch: int, measured: Mapping[str, float]) -> None:
        self._runs[trial].log(dict(measured), step=epoch)

    def end(self, trial: int, state: str) -> None:
        run = self._runs.pop(trial)
        run.summary["state"] = state
        run.finish(exit_code=int(state in ("failed", "diverged")))

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()


@dataclass(frozen=True, kw_only=True)
class Known:
    """A kind of tracker, and what is said where it cannot be had."""

    make: Callable[[str, str, str], Tracker]  # of a place, a study and its key
    package: str
    called: str
    takes: str
    such_as: str


TRACKERS: Mapping[str, Known] = {
    "tensorboard": Known(
        make=TensorBoard,
        package="tensorboard",
        called="TensorBoard",
        takes="a folder",
        such_as="--track tensorboard:logs",
    ),
    "mlflow": Known(
        make=MLflow,
        package="mlflow",
        called="MLflow",
        takes="a tracking URI",
        such_as="--track mlflow:sqlite:///mlflow.db",
    ),
    "wandb": Known(
        make=WandB,
        package="wandb",
        called="Weights & Biases",
        takes="a project",
        such_as="--track wandb:digits",
    ),
}
