"""The records of a study: one append-only, checksummed file, `runs/<study>/records.jsonl`.

In a database, a row is what is a line in the file.

A line is one JSON object: its `kind` first, then the fields of that kind, last `crc`, the CRC-32
of the line without it. A line counts once its newline is there; what a killed writer left after the
last newline was never recorded, so readers pass over it and the next writer cuts it off. Every
other damage is an error.
"""

import contextlib
import io
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any, Self

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_RECORDS, read_plain

VERSION = 1  # raised when a reader of the version before would misread the file

FIELDS: dict[str, frozenset[str]] = {
    # settings: `data`, the data set; `budget`, {limit: number or null}; whatever else was asked
    # data_fingerprint: of the training pictures and labels
    "study": frozenset(
        {"version", "study", "settings", "data_fingerprint", "versions", "command", "created"}
    ),
    "session": frozenset({"started", "workers", "versions", "pid"}),
    "trial": frozenset(
        {"trial", "proposer", "share", "genome", "architecture", "notation", "fingerprint"}
        | {"recipe", "seed", "cost"}
    ),
    # trials that share what is compiled: `frame` is the notation of the network they are padded to
    "group": frozenset({"trials", "frame"}),
    # lanes: how many candidates of a group trained side by side on `device` from here on;
    # pictures_per_s: what was measured, {number of lanes: training pictures a second}
    "lanes": frozenset({"device", "lanes", "pictures_per_s"}),
    # curve: of scored epochs since the rung before {epoch, train_loss, val_accuracy, val_log_loss,
    # train_accuracy}, the last of which older records lack
    "rung": frozenset({"trial", "epoch", "curve", "val_correct", "val_total", "seconds", "worker"}),
    "end": frozenset({"trial", "state", "reason"}),
    # a trial's candidate trained again from a fresh seed, to the end, by `confirm`
    # part: what was measured, "validation", or "test" after training on validation pictures too
    "fresh": frozenset(
        {"trial", "seed", "part", "epochs", "train_loss", "correct", "total", "log_loss"}
        | {"seconds", "worker"}
    ),
    # a model made elsewhere, measured on the same split by `baselines`
    # about: library and settings, or the notation; identity: of what was fitted;
    # examples: pictures it learned from; numbers: parameters if `trained`, else numbers stored;
    # epochs, study: of a network, whose training is a study of its own; null for the others
    "baseline": frozenset(
        {"model", "about", "identity", "examples", "seed", "epochs", "part", "correct", "total"}
        | {"numbers", "trained", "seconds", "study"}
    ),
    # the coordinator's seconds by kind and its wall clock, both since the ledger before
    "ledger": frozenset({"seconds", "wall_s"}),
}
"""The fields that a line of each kind must have."""

_SEAL = b',"crc":"%08x"}'
_SEAL_BYTES = len(_SEAL % 0)


class RecordFile:
    """The writer of records into a file. There is one at a time: the study's lock sees to that."""

    def __init__(self, file: io.FileIO, good_bytes: int) -> None:
        self._file = file
        self._good_bytes = good_bytes
        self._may_be_torn = True
        self._cut()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the file at `path`; a line that a killed writer left torn is cut off.

        Raises `UsageError` if a line is damaged or of a newer version; then nothing was changed.
        """
        good_bytes = _read(path)[1] if path.exists() else 0
        file = io.FileIO(path, "a")
        try:
            sync_folder(path.parent)  # without it a new file's name can be lost with the power
            return cls(file, good_bytes)
        except BaseException:
            file.close()
            raise

    def append(self, kind: str, **fields: object) -> None:
        """Write one record; it is on the disk when this returns.

        Numbers that are not finite become null; the version of a study is filled in. Raises
        `ValueError` for a kind or fields that `FIELDS` does not have, `TypeError` for what JSON
        cannot say, `OSError` from a full or failing disk: then the record is not in the file.
        """
        line = encode_record(kind, fields)
        if self._may_be_torn:
            self._cut()
        self._may_be_torn = True
        try:
            _write_all(self._file, line)
            os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                self._cut()
            raise
        self._good_bytes += len(line)
        self._may_be_torn = False

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut(self) -> None:
        self._file.truncate(self._good_bytes)
        os.fsync(self._file.fileno())
        self._may_be_torn = False


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records in the file at `path`, in order; record i stands in line i + 1.

    A writer may be at work meanwhile. Raises `UsageError` if a line is damaged or of a newer
    version.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records, and where the last of them ends, in bytes."""
    content = read_plain(path, LARGEST_RECORDS)
    good_bytes = content.rfind(b"\n") + 1
    lines = content[:good_bytes].split(b"\n")[:-1]
    return [
        decode_record(line, str(path), number) for number, line in enumerate(lines, 1)
    ], good_bytes


def encode_record(kind: str, fields: dict[str, object]) -> bytes:
    """A record's line; raises as `RecordFile.append` does."""
    record = {"kind": kind, **({"version": VERSION} if kind == "study" else {}), **fields}
    if kind not in FIELDS:
        raise ValueError(f"A record's kind must be one of {', '.join(FIELDS)}, but got {kind!r}.")
    if wrong := FIELDS[kind] ^ (record.keys() - {"kind"}):
        raise ValueError(
            f"A {kind!r} record must have exactly the fields {', '.join(sorted(FIELDS[kind]))}, "
            f"but differs in {', '.join(sorted(wrong))}."
        )
    content = json.dumps(_finite(record), separators=(",", ":"), allow_nan=False).encode()
    return content[:-1] + _SEAL % zlib.crc32(content) + b"\n"


def _decoded(text: str) -> Any:
    """As `json.loads`, which takes half as long again for what may stand around a line's object."""
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError
    return value


_DECODER = json.JSONDecoder()


def decode_record(line: bytes, where: str, number: int) -> dict[str, Any]:
    """The record in a line, without its end; UsageError if it is damaged or of a newer version."""
    content = line[:-_SEAL_BYTES] + b"}"
    is_whole = line[-_SEAL_BYTES:] == _SEAL % zlib.crc32(content)
    try:
        record = _decoded((content if is_whole else line).decode())
        version = record.get("version", VERSION)
    except (ValueError, AttributeError, RecursionError):  # no JSON, or no object
        is_whole, record, version = False, {}, None
    kind = record.get("kind")
    # Before the checksum, whose form a newer version may have changed.
    if isinstance(version, int) and version > VERSION:
        raise UsageError(
            f"{where}:{number}: these records have version {version}, and this pennyweight reads "
            f"up to {VERSION}: upgrade pennyweight."
        )
    is_known = isinstance(kind, str) and FIELDS.get(kind, frozenset()) <= record.keys()
    if not is_whole or not is_known:
        raise UsageError(
            f"{where}:{number}: this line is damaged (its checksum or its fields are wrong): "
            "restore the file from a copy, or delete the line and do without what it recorded."
        )
    return record


def _finite(value: Any) -> Any:
    """`value` with null for what JSON has no number for: NaN and the infinities."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_all(file: io.FileIO, line: bytes) -> None:
    rest = memoryview(line)
    while rest:  # a disk about to fill up takes a part, and refuses the next
        rest = rest[file.write(rest) :]


def sync_folder(folder: Path) -> None:
    """Put the names of the files in `folder` on the disk."""
    if os.name == "nt":  # has no handle for a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
