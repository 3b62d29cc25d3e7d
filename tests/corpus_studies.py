"""Malformed studies: damaged records, sealed ones of a stranger's making, weights and databases."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from corpus import Case, Put, damages, flipped, folder, link, picture, pipe

RECORDS, BEST = "runs/small/records.jsonl", "runs/small/confirmed/000002-2000.safetensors"
LEADERBOARD = ("leaderboard", "small")
SEARCH = ("search", "--max-params", "60", "--max-epochs", "1", "--workers", "1", "--study", "small")

_BUDGET = {"max_params": 60, "max_epochs": 1}
_POINT = {"epoch": 1, "train_loss": 1.0, "val_accuracy": 0.5, "val_log_loss": 1.0}

# What a stranger may have written where a number, a name or a part of a record stands.
WRONG: dict[str, Any] = {
    "settings": [
        None,
        [],
        "digits",
        {},
        {"data": 1, "budget": {}},
        {"data": "digits", "budget": 8},
        *(
            {"data": "digits", "budget": _BUDGET, "seed": 0, "stopping": wrong}
            for wrong in (None, "early", {"keep": "first"}, {"patience": -1}, {"until": 3})
        ),
    ],
    "study": [None, 1, "\x1b[2J"],
    "command": [None, 1, {"a": 1}],
    "created": [None, [], 10**400],
    "versions": [None, [], 1],
    "trial": [None, -1, 1.5, "0", [0], {}, 10**400],
    "notation": [None, 1, ["c4"], "\x1b[2Jc4"],
    "proposer": [None, 1, []],
    "share": [None, "1", [], float("nan")],
    "genome": [None, [], "x"],
    "architecture": [None, [], "c4r A d10+"],
    "recipe": [None, [], "adamw"],
    "seed": [None, -1, "7", 1.5, 10**400],
    "cost": [None, [], {}, {"params": 1}, {"params": "many"}],
    "epoch": [None, -1, "1", [1], 10**400],
    "curve": [
        None,
        [],
        {},
        [1],
        [{}],
        [{"epoch": 1, "train_loss": "low"}],
        [_POINT | {"train_accuracy": "high"}],
    ],
    "val_correct": [-1, "9", 1.5, 10**9, 10**400],
    "val_total": [None, 0, -1, "288"],
    "seconds": [None, [], {"train": "long"}, {"train": None}, 1],
    "worker": [None, [], {}],
    "state": [None, "finished", 1, ["complete"]],
    "reason": [1, ["no reason"]],
    "wall_s": [None, "1", [], 10**400],
    "part": [None, "train", ["test"]],
    "total": [None, 0, -1],
    "correct": [None, -1, 10**9],
}
OF_KIND = {
    "study": ("settings", "study", "command", "created", "versions"),
    "trial": (
        "trial",
        "notation",
        "proposer",
        "share",
        "genome",
        "architecture",
        "recipe",
        "seed",
        "cost",
    ),
    "rung": ("trial", "epoch", "curve", "val_correct", "val_total", "seconds", "worker"),
    "end": ("trial", "state", "reason"),
    "ledger": ("seconds", "wall_s"),
    "fresh": ("trial", "seed", "part", "correct", "total", "seconds"),
}


def cases(made: Path) -> list[Case]:
    content = (made / "runs" / "small" / "records.jsonl").read_bytes()
    lines = [json.loads(line) for line in content.splitlines()]
    return [
        *_damaged(content),
        *_sealed(lines),
        *_later(made, lines),
        *_gone_on_with(lines),
        *_weights(made),
        *_databases(made),
        *_ledgers(made),
    ]


def sealed(record: dict[str, Any]) -> bytes:
    """A line with the checksum that it must have, so that only its content can be refused."""
    bare = {key: value for key, value in record.items() if key != "crc"}
    content = json.dumps(bare, separators=(",", ":")).encode()
    return content[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(content)


def file_of(records: list[dict[str, Any]]) -> bytes:
    """The file with these records."""
    return b"".join(map(sealed, records))


def _damaged(content: bytes) -> Iterator[Case]:
    for name, damaged in damages(content):
        whole = damaged[: damaged.rfind(b"\n") + 1]
        if whole and content.startswith(whole):
            continue  # a torn end is no damage
        yield Case(f"records: {name}", LEADERBOARD, {RECORDS: damaged})
    places: dict[str, Put] = {
        "a folder": folder,
        "a pipe": pipe,
        "no end": link("/dev/zero"),
        "in a circle": link("records.jsonl"),
        "a million lists deep": b"[" * 1_000_000 + b"\n",
        "a million objects deep": b'{"kind":' * 500_000 + b"\n",
        "not a line": b"\n",
        "another program's": b'{"event": "start"}\n',
        "in UTF-16": content.decode().encode("utf-16"),
        "with DOS lines": content.replace(b"\n", b"\r\n"),
        "a pickle": b"cos\nsystem\n(S'touch run'\ntR.\n",
    }
    for name, put in places.items():
        yield Case(f"records: {name}", LEADERBOARD, {RECORDS: put})
    yield Case("records: turned, to be searched on", SEARCH, {RECORDS: flipped(content, 99)})
    yield Case(
        "records: turned, for a report", ("report", "small"), {RECORDS: flipped(content, 99)}
    )


def _sealed(lines: list[dict[str, Any]]) -> Iterator[Case]:
    """Each kind of record with one field wrong and the checksum right."""
    for kind, names in OF_KIND.items():
        at = next(number for number, line in enumerate(lines) if line["kind"] == kind)
        for name in names:
            for number, wrong in enumerate(WRONG[name]):
                changed = [*lines[:at], lines[at] | {name: wrong}, *lines[at + 1 :]]
                told = f"sealed: {name} {number} of a {kind} {repr(wrong)[:24]}"
                yield Case(told, LEADERBOARD, {RECORDS: file_of(changed)})
        lacking = [*lines[:at], {k: v for k, v in lines[at].items() if k != names[0]}]
        yield Case(f"sealed: no {names[0]} of a {kind}", LEADERBOARD, {RECORDS: file_of(lacking)})
    yield Case("sealed: the study last", LEADERBOARD, {RECORDS: file_of(lines[::-1])})
    for kind in (None, 1, ["study"], {"a": 1}):
        content = file_of([*lines, {"kind": kind}])
        yield Case(f"sealed: a kind that is {kind!r}", LEADERBOARD, {RECORDS: content})
    for version in (2, 10**30):
        content = file_of([lines[0] | {"version": version}, *lines[1:]])
        yield Case(f"sealed: of version {version:.0e}", LEADERBOARD, {RECORDS: content})


def _later(made: Path, lines: list[dict[str, Any]]) -> Iterator[Case]:
    """What only shows where a network of the study is used."""
    at = next(n for n, line in enumerate(lines) if line["kind"] == "trial" and line["trial"] == 2)
    trial = lines[at]
    network = trial["architecture"]
    changes: dict[str, dict[str, Any]] = {
        "another network": {"architecture": {**network, "layers": network["layers"][:-3]}},
        "a huge network": {
            "architecture": {**network, "layers": [{"kind": "conv", "width": 65_536}] * 900}
        },
        "a network without an end": {
            "architecture": {**network, "layers": [{"kind": "residual", "body": []}] * 90_000}
        },
        "wider layers": {
            "architecture": json.loads(json.dumps(network).replace('"width": 1', '"width": 60000'))
        },
        "no such network": {"architecture": {"notation": "c4"}},
    }

    def changed(change: dict[str, Any]) -> Callable[[Path], None]:
        content = file_of([*lines[:at], trial | change, *lines[at + 1 :]])
        return partial(_study, made, **{"records.jsonl": content})

    for name, change in changes.items():
        runs = {"runs": changed(change)}
        yield Case(f"study: {name}, to predict with", ("predict", "small", "a.png"), runs)
    runs = {"runs": changed(changes["no such network"])}
    yield Case("study: no such network, to export", ("export", "small"), runs)
    study_line = lines[0]
    for name, data in {
        "data that are not here": "mnits",
        "data elsewhere": "csv:/etc/passwd",
        "data that are a device": "npz:/dev/zero",
        "corrections that are not here": "digits relabelled by nowhere.csv",
    }.items():
        settings = study_line["settings"] | {"data": data}
        content = file_of([study_line | {"settings": settings}, *lines[1:]])
        study = partial(_study, made, **{"records.jsonl": content})
        yield Case(f"study: {name}", ("evaluate", "small"), {"runs": study})
    other = file_of([study_line | {"data_fingerprint": "0" * 16}, *lines[1:]])
    yield Case(
        "study: other data", ("export", "small"), {"runs": _with(made, "records.jsonl", other)}
    )


def _gone_on_with(lines: list[dict[str, Any]]) -> Iterator[Case]:
    """Searches that go on with a study, or look around what it found."""
    asked = {"after": ["x"], "first": {"x:0": {"depth1": 10**9}}}
    wrong_settings: dict[str, dict[str, Any]] = {
        "a genome of no space": asked,
        "genomes that are a list": {"after": ["x"], "first": []},
        "ranges of words": {"refine": "x", "ranges": {"width1": "ab"}},
        "ranges upside down": {"refine": "x", "ranges": {"width1": [0.9, 0.1]}},
        "ranges of no gene": {"refine": "x", "ranges": {"width": [0, 1]}},
        "ranges of nothing": {"refine": "x", "ranges": {"pool1": []}},
    }
    for name, wrong in wrong_settings.items():
        content = file_of([lines[0] | {"settings": lines[0]["settings"] | wrong}, *lines[1:]])
        yield Case(f"study: {name}", (*SEARCH, "--trials", "9"), {RECORDS: content})
    for gene, value in {"depth1": 10**9, "width1": "wide", "pool1": [], "x": 1}.items():
        trials = [
            line | {"genome": line["genome"] | {gene: value}} if line["kind"] == "trial" else line
            for line in lines
        ]
        for flag in ("--after", "--refine"):
            words = ("search", "--study", "new", flag, "small")
            told = f"study: {gene} {value!r}, to search {flag}"
            yield Case(told, words, {RECORDS: file_of(trials)})


def _weights(made: Path) -> Iterator[Case]:
    content = (made / BEST).read_bytes()
    name = BEST.removeprefix("runs/small/")
    predict = ("predict", "small", "a.png")
    for told, damaged in damages(content):
        if told not in ("turned at 5 eighths", "turned at 2 eighths"):  # perhaps of other weights
            yield Case(f"weights: {told}", predict, {"runs": _with(made, name, damaged)})
    for told, wrong in safetensors(content):
        yield Case(f"weights: {told}", predict, {"runs": _with(made, name, wrong)})
    yield Case("weights: a pickle", predict, {"runs": _with(made, name, b"\x80\x04K\x01.")})
    yield Case("weights: a folder", predict, {"runs": _with(made, name, folder)})
    yield Case("weights: no end", predict, {"runs": _with(made, name, link("/dev/zero"))})
    yield Case(
        "weights: cut, to export", ("export", "small"), {"runs": _with(made, name, content[:60])}
    )
    words = ("train", "--from", "small", "--study", "new")
    yield Case("weights: cut, to go on from", words, {"runs": _with(made, name, content[:60])})


def safetensors(content: bytes) -> Iterator[tuple[str, bytes]]:
    """A good safetensors file with another header, or with other arrays than the network has."""
    size = int.from_bytes(content[:8], "little")
    header, arrays = json.loads(content[8 : 8 + size]), content[8 + size :]
    first = next(iter(header))

    def file(changed: Any, after: bytes = arrays) -> bytes:
        text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + after

    for dtype in ("F64", "BF16", "F8_E4M3", "I32", "BOOL", "X", "C64"):
        yield f"of the type {dtype}", file(header | {first: header[first] | {"dtype": dtype}})
    huge = {"shape": [2**31, 2**31], "data_offsets": [0, len(arrays)]}
    yield "a shape that wraps round", file(header | {first: header[first] | huge})
    yield (
        "offsets beyond the end",
        file(header | {first: header[first] | {"data_offsets": [0, 2**40]}}),
    )
    yield "offsets backwards", file(header | {first: header[first] | {"data_offsets": [9, 1]}})
    yield "no array", file({}, b"")
    yield "a strange name", file({f"x/{first}\x1b[2J": v for v in [header[first]]})
    yield "an array too many", file(header | {"more": {**header[first]}})
    yield "a header too deep", file(b'{"a":' * 100_000)
    yield "a header of no JSON", file(b"weights")
    yield "a header of a list", file([1, 2])
    yield "a header without an end", (2**62).to_bytes(8, "little") + content[8:]


def _databases(made: Path) -> Iterator[Case]:
    content = (made / "runs/small/study.db").read_bytes()
    words = ("dashboard", "small", "--port", "0")
    damaged = {
        "no database": b"no database at all" * 1_000,
        "cut off": content[: len(content) // 3],
        "of nothing": b"",
        "zeros": content[:100] + bytes(len(content) - 100),
    }
    for name, put in damaged.items():
        yield Case(f"database: {name}", words, {"runs": _with(made, "study.db", put)})
    yield Case("database: a folder", words, {"runs": _with(made, "study.db", folder)})


def _ledgers(made: Path) -> Iterator[Case]:
    ledgers = {
        "no JSON": b"read\n",
        "a list": b"[]\n",
        "too deep": b"[" * 100_000 + b"\n",
        "unhashable": b'{"purpose": 1, "data_fingerprint": [], "model": {}}\n',
        "a folder": folder,
        "no end": link("/dev/zero"),
    }
    for name, put in ledgers.items():
        files: dict[str, Put] = {"runs": _with(made, "test-readings.jsonl", put)}
        yield Case(f"readings: {name}", LEADERBOARD, files)


def _with(made: Path, name: str, put: Put) -> Callable[[Path], None]:
    return partial(_study, made, **{name: put})


def _study(made: Path, runs: Path, **files: Put) -> None:
    """The studies that were made, with other files in `small`, and beside them a picture."""
    shutil.copytree(made / "runs", runs)
    (runs.parent / "a.png").write_bytes(picture())
    for name, put in files.items():
        path = runs / "small" / name
        path.unlink(missing_ok=True)
        if isinstance(put, bytes):
            path.write_bytes(put)
        else:
            put(path)
