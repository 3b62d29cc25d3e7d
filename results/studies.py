"""What the records of a study say when read."""

import contextlib
import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pennyweight.arch.errors import UsageError, close_names
from pennyweight.results.places import Place, store_in, study_names
from pennyweight.results.record_form import check_fields
from pennyweight.results.records import FIELDS
from pennyweight.results.store import Store
from pennyweight.results.study_records import (
    BaselineRun,
    CurvePoint,
    FreshRun,
    Rung,
    StudyRecords,
    TrialRecord,
)


def load_study(place: Place, name: str) -> StudyRecords:
    """What the records of the study called `name` say; its coordinator may be at work meanwhile.

    Raises `UsageError` if there is no such study, or its records cannot be read, are damaged or of
    a newer version.
    """
    known = study_names(place)
    if name not in known:
        raise UsageError(f"There is no study {name!r} in {place}: {close_names(name, known)}")
    return read_study(store_in(place, name))


def read_study(store: Store) -> StudyRecords:
    """As `load_study`; who holds a `store` reads through it, and so waits for a restart."""
    try:
        with _no_garbage_collection():
            records, where = store.read_records(), store.where
            _check_start(records, where)
            for number, record in enumerate(records, 1):
                check_fields(record, where, number)
            return fold_records(records)
    except OSError as error:
        raise UsageError(
            f"{store.where} must be readable, but: {error.strerror}. Check the file and its "
            "permissions."
        ) from error


def find_study(place: Place, name: str) -> StudyRecords | None:
    """As `load_study`, but None where the study has not begun."""
    return load_study(place, name) if store_in(place, name).has_begun() else None


def fold_records(records: Iterable[Mapping[str, Any]]) -> StudyRecords:
    """The study that `records` tell of, the first of which describes it.

    What is recorded twice (a coordinator died between the record and telling the sampler, and its
    successor did both again) counts once, the first time. What belongs to a trial whose own line is
    missing (deleted, because it was damaged) does not count, and neither do kinds that this version
    does not know.
    """
    by_kind: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        by_kind[record["kind"]].append(record)
    rungs: defaultdict[int, dict[int, Rung]] = defaultdict(dict)
    for record in by_kind["rung"]:
        rungs[record["trial"]].setdefault(record["epoch"], _rung(record))
    ends: dict[int, Mapping[str, Any]] = {}
    for record in by_kind["end"]:
        ends.setdefault(record["trial"], record)
    trials: dict[int, TrialRecord] = {}
    frames: dict[int, str] = {}
    for record in by_kind["group"]:
        for number in record["trials"]:
            frames.setdefault(number, record["frame"])
    study = by_kind["study"][0]
    keeps_best = study["settings"].get("stopping", {}).get("keep") == "best"
    for record in by_kind["trial"]:
        number = record["trial"]
        trial = _trial(record, rungs[number], ends.get(number), frames.get(number))
        trials.setdefault(number, replace(trial, keeps_best=keeps_best) if keeps_best else trial)
    return StudyRecords(
        **{name: study[name] for name in FIELDS["study"] - {"version"}},
        sessions=tuple(by_kind["session"]),
        trials=dict(sorted(trials.items())),
        ledgers=tuple(by_kind["ledger"]),
        lanes=tuple(by_kind["lanes"]),
        fresh_runs=tuple(_fresh_runs(by_kind["fresh"], trials)),
        baselines=tuple(_baselines(by_kind["baseline"])),
    )


def _baselines(records: Iterable[Mapping[str, Any]]) -> Iterator[BaselineRun]:
    seen = set()
    for record in records:
        run = BaselineRun(**{name: record[name] for name in FIELDS["baseline"]})
        if (key := (run.key, run.part)) not in seen:
            seen.add(key)
            yield run


def _fresh_runs(
    records: Iterable[Mapping[str, Any]], trials: Mapping[int, TrialRecord]
) -> Iterator[FreshRun]:
    seen = set()
    for record in records:
        key = record["trial"], record["seed"], record["part"]
        if record["trial"] in trials and key not in seen:
            seen.add(key)
            yield FreshRun(**{name: record[name] for name in FIELDS["fresh"]})


def _rung(record: Mapping[str, Any]) -> Rung:
    curve = tuple(
        CurvePoint(
            point["epoch"],
            point["train_loss"],
            point["val_accuracy"],
            point["val_log_loss"],
            point.get("train_accuracy"),
        )
        for point in record["curve"]
    )
    fields = {name: record[name] for name in FIELDS["rung"] - {"trial", "curve"}}
    return Rung(**fields, curve=curve)


def _trial(
    record: Mapping[str, Any],
    rungs: Mapping[int, Rung],
    end: Mapping[str, Any] | None,
    frame: str | None,
) -> TrialRecord:
    return TrialRecord(
        **{name: record[name] for name in FIELDS["trial"]},
        rungs=tuple(rungs[epoch] for epoch in sorted(rungs)),
        state=end["state"] if end else "running",
        reason=end["reason"] if end else None,
        frame=frame,
    )


def _check_start(records: list[dict[str, Any]], where: str) -> None:
    if not records:
        raise UsageError(
            f"{where} must hold a record, but is empty (the study stopped at its start): launch it "
            "again."
        )
    if records[0]["kind"] != "study":
        raise UsageError(
            f"{where}:1: the first record must be of the study, but is of a {records[0]['kind']}: "
            "restore the file from a copy."
        )


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Loading makes many values and no garbage; searching for it takes two fifths of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
