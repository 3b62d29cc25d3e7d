"""What each field of a record may hold.

A line's checksum says that it is as it was written, not by whom: a study may be a stranger's. What
is counted, compared, added or printed is checked here once, so that nobody else has to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args

from pennyweight.arch.cost import Cost
from pennyweight.arch.errors import UsageError, shown
from pennyweight.results.study_records import STATES
from pennyweight.train.precision import Precision

Rule = Callable[[Any], bool]

COSTS = tuple(field.name for field in fields(Cost))
_LARGEST = 2**63  # of a number: larger ones are no floats


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _positive(value: Any) -> bool:
    return _count(value) and value > 0


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST  # no NaN is


def _name(value: Any) -> bool:
    """Text that a terminal shows as it is."""
    return isinstance(value, str) and value.isprintable()


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _seed(value: Any) -> bool:
    return _count(value) and value < 2**32


def _named(rule: Rule) -> Rule:
    """An object whose values keep to `rule`; their names are printed too."""
    return lambda value: (
        isinstance(value, dict) and all(map(_name, value)) and all(map(rule, value.values()))
    )


def _listed(rule: Rule) -> Rule:
    return lambda value: isinstance(value, list) and all(map(rule, value))


def _or_null(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _one_of(*known: Any) -> Rule:
    return lambda value: type(value) in map(type, known) and value in known


def _anything(_: Any) -> bool:
    return True


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _settings(value: Any) -> bool:
    """Those that are looked at without being asked for again; the others are compared as text."""
    if not isinstance(value, dict) or not {"data", "budget", "seed"} <= value.keys():
        return False
    wanted: dict[str, Rule] = {
        "data": _name,
        "budget": _budget,
        "seed": _seed,
        "precision": _one_of(*get_args(Precision)),
        "whole": _one_of(True, False),
        "relabel": _relabel,
        "stopping": _stopping,
        "start": _or_null(_object),
        "after": _listed(_name),
        "first": _named(_object),
        "refine": _or_null(_name),
        "ranges": _object,
    }
    return all(rule(value[name]) for name, rule in wanted.items() if name in value)


def _budget(value: Any) -> bool:
    return _named(_or_null(_count))(value) and {"max_params", "max_epochs"} <= value.keys()


def _relabel(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _count(value.get("corrections"))
        and _name(value.get("corrections_file"))
    )


def _stopping(value: Any) -> bool:
    wanted = {"patience": _positive, "keep": _one_of("last", "best"), "target_accuracy": _number}
    return isinstance(value, dict) and all(
        name in wanted and wanted[name](each) for name, each in value.items()
    )


def _cost(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_count, map(value.get, COSTS)))


def _curve(value: Any) -> bool:
    """At least one point: its epoch, and what was measured, where it was a number."""
    return bool(value) and isinstance(value, list) and all(map(_point, value))


def _point(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() >= _ALWAYS
        and _positive(value.get("epoch"))
        and all(map(_number_or_null, map(value.get, _MEASURES)))
    )


def _worker(value: Any) -> bool:
    return _count(value) or _name(value)


def _moment(value: Any) -> bool:
    return _number(value) or _name(value)


def _command(value: Any) -> bool:
    return isinstance(value, str) or _listed(_text)(value)


_ALWAYS = {"train_loss", "val_accuracy", "val_log_loss"}  # of a point of a curve
_MEASURES = (*_ALWAYS, "train_accuracy")
_number_or_null = _or_null(_number)
_SECONDS = _named(_number)
_MEASURED: dict[str, Rule] = {"correct": _count, "total": _positive, "seconds": _SECONDS}

RULES: dict[str, dict[str, Rule]] = {
    "study": {
        "version": _count,
        "study": _name,
        "settings": _settings,
        "data_fingerprint": _name,
        "versions": _named(_name),
        "command": _command,
        "created": _moment,
    },
    "session": {"started": _moment, "workers": _anything, "versions": _named(_name), "pid": _count},
    "trial": {
        "trial": _count,
        "proposer": _name,
        "share": _number,
        "genome": _object,
        "architecture": _object,
        "notation": _name,
        "fingerprint": _name,
        "recipe": _object,
        "seed": _seed,
        "cost": _cost,
    },
    "group": {"trials": _listed(_count), "frame": _or_null(_name)},
    "lanes": {"device": _name, "lanes": _positive, "pictures_per_s": _named(_number)},
    "rung": {
        "trial": _count,
        "epoch": _positive,
        "curve": _curve,
        "val_correct": _or_null(_count),
        "val_total": _positive,
        "seconds": _SECONDS,
        "worker": _worker,
    },
    "end": {"trial": _count, "state": _one_of(*STATES), "reason": _or_null(_text)},
    "fresh": {
        "trial": _count,
        "seed": _seed,
        "part": _one_of("validation", "test"),
        "epochs": _count,
        "train_loss": _number_or_null,
        "log_loss": _number_or_null,
        "worker": _worker,
        **_MEASURED,
    },
    "baseline": {
        "model": _name,
        "about": _name,
        "identity": _name,
        "examples": _count,
        "seed": _seed,
        "epochs": _or_null(_count),
        "part": _one_of("validation", "test"),
        "numbers": _count,
        "trained": _one_of(True, False),
        "study": _or_null(_name),
        **_MEASURED,
    },
    "ledger": {"seconds": _SECONDS, "wall_s": _number},
}
"""For each field of each kind, what it must be; other kinds and fields may hold anything."""

_SHARES = {
    "rung": [("val_correct", "val_total")],
    "fresh": [("correct", "total")],
    "baseline": [("correct", "total")],
}
"""Which fields count a part of what others count."""


def check_fields(record: Mapping[str, Any], where: str, number: int) -> None:
    """Raise UsageError where a field of the record in line `number` cannot be what it says."""
    kind = record["kind"]
    for name, holds in RULES.get(kind, {}).items():
        if not holds(record[name]):
            raise _wrong(where, number, kind, name, shown(record[name]))
    for right, all_ in _SHARES.get(kind, ()):
        if (record[right] or 0) > record[all_]:
            raise _wrong(where, number, kind, right, f"{record[right]} of {record[all_]}")


def _wrong(where: str, number: int, kind: str, name: str, value: str) -> UsageError:
    return UsageError(
        f"{where}:{number}: `{name}` of the {kind} record cannot be {value}: restore the file from "
        "a copy, or delete the line and do without what it recorded."
    )
