"""The records file: what was recorded survives, and what is damaged is told."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.arch.errors import UsageError
from pennyweight.results.records import VERSION, RecordFile, read_records

ENDS = [{"trial": trial, "state": "pruned", "reason": f"rung {trial}"} for trial in range(5)]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda item: st.lists(item, max_size=3) | st.dictionaries(st.text(), item, max_size=3),
    max_leaves=10,
)


def write(path: Path, ends: list[dict[str, Any]]) -> bytes:
    with RecordFile.open(path) as file:
        for end in ends:
            file.append("end", **end)
    return path.read_bytes()


def ends_in(path: Path) -> list[dict[str, Any]]:
    return [{key: record[key] for key in ENDS[0]} for record in read_records(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A place to write, and what five records look like."""
    path = tmp_path_factory.mktemp("sample") / "records.jsonl"
    return path, write(path, ENDS)


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@settings(max_examples=50, deadline=None)
@given(value=JSON)
def test_what_was_appended_is_read_back_with_null_for_what_is_not_finite(
    sample: tuple[Path, bytes], value: Any
) -> None:
    path, _ = sample
    path.unlink(missing_ok=True)
    with RecordFile.open(path) as file:
        file.append("ledger", seconds=value, wall_s=1.5)
    assert read_records(path) == [{"kind": "ledger", "seconds": finite(value), "wall_s": 1.5}]


def test_a_line_is_a_json_object_that_ends_with_the_checksum_of_the_rest(path: Path) -> None:
    line = write(path, ENDS[:1])
    assert line == b'{"kind":"end","trial":0,"state":"pruned","reason":"rung 0","crc":"74991abc"}\n'


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_file_cut_at_any_byte_keeps_every_record_before_the_cut(
    sample: tuple[Path, bytes], data: st.DataObject
) -> None:
    path, content = sample
    size = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:size])
    whole = content[:size].count(b"\n")
    assert ends_in(path) == ENDS[:whole]
    write(path, [ENDS[-1]])
    assert ends_in(path) == [*ENDS[:whole], ENDS[-1]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_never_read_as_a_record(
    sample: tuple[Path, bytes], data: st.DataObject
) -> None:
    path, content = sample
    damaged = bytearray(content)
    where = data.draw(st.integers(0, len(content) - 1))
    damaged[where] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    if where == len(content) - 1:  # the newline: what it ended is now unfinished
        assert ends_in(path) == ENDS[:-1]
    else:
        line = content[:where].count(b"\n") + 1
        with pytest.raises(UsageError, match=f"^[^\n]*records.jsonl:{line}: [^\n]*$"):
            read_records(path)


def test_a_damaged_line_is_named_with_a_remedy_and_nothing_is_written(path: Path) -> None:
    lines = write(path, ENDS).split(b"\n")
    lines[2] = lines[2].replace(b"rung 2", b"rung 7")
    damaged = b"\n".join(lines) + b"torn"
    path.write_bytes(damaged)
    for reader in (read_records, RecordFile.open):
        with pytest.raises(UsageError, match=r"records\.jsonl:3: .*damaged.*restore") as error:
            reader(path)
        assert "\n" not in str(error.value)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("line", [b"", b"[1, 2]", b"\xff\xfe", b'"end"', b"\x00" * 40])
def test_a_line_that_is_no_record_is_damage(path: Path, line: bytes) -> None:
    path.write_bytes(write(path, ENDS) + line + b"\n")
    with pytest.raises(UsageError, match=r"records\.jsonl:6: .*damaged"):
        read_records(path)


def test_a_newer_version_asks_for_an_upgrade(path: Path) -> None:
    study = {"study": "s", "settings": {}, "data_fingerprint": ""}
    study |= {"versions": {}, "command": "", "created": ""}
    with RecordFile.open(path) as file:
        file.append("study", **study)
    assert read_records(path)[0]["version"] == VERSION
    with RecordFile.open(path) as file:
        file.append("study", **study, version=VERSION + 1)
    by_hand = json.dumps({"kind": "study", "version": VERSION + 1, "seal": "of another form"})
    for content, line in ((path.read_bytes(), 2), (by_hand.encode() + b"\n", 1)):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=rf"jsonl:{line}: .*version {VERSION + 1}.*upgrade"):
            read_records(path)


def test_a_record_lacks_no_field_and_has_no_other(path: Path) -> None:
    with RecordFile.open(path) as file:
        with pytest.raises(ValueError, match=r"'end'.*reason, state, trial.*differs in reason"):
            file.append("end", trial=1, state="complete")
        with pytest.raises(ValueError, match="differs in worker"):
            file.append("end", **ENDS[0], worker=1)
        with pytest.raises(ValueError, match=r"must be one of study.*'finish'"):
            file.append("finish", **ENDS[0])
        with pytest.raises(TypeError):
            file.append("end", trial=1, state="failed", reason=ValueError("no JSON"))
    assert path.read_bytes() == b""


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


FULL_DISK = """
import resource, sys
from pathlib import Path
from pennyweight.results.records import RecordFile
with RecordFile.open(Path(sys.argv[1])) as file:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        file.append("end", trial=5, state="failed", reason="x" * 1000)
    except OSError as error:
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    if sys.argv[3] == "again":
        file.append("end", trial=6, state="complete", reason=None)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("then", ["stop", "again"])
def test_a_disk_that_fills_up_in_mid_line_leaves_no_half_line(path: Path, then: str) -> None:
    content = write(path, ENDS)
    child = run_python(FULL_DISK, path, len(content) + 100, then)
    assert child.communicate()[0] == "refused\n"
    assert child.returncode == 0
    assert path.read_bytes()[: len(content)] == content
    assert [end["trial"] for end in ends_in(path)[5:]] == ([6] if then == "again" else [])
    assert path.read_bytes().endswith(b"}\n")


APPEND_FOREVER = """
import itertools, sys
from pathlib import Path
from pennyweight.results.records import RecordFile
with RecordFile.open(Path(sys.argv[1])) as file:
    for trial in itertools.count():
        file.append("end", trial=trial, state="pruned", reason="x" * 5000)
        print(trial, flush=True)
"""


@pytest.fixture
def writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that appends records while it lives, and prints the number of each."""
    child = run_python(APPEND_FOREVER, path)
    yield child
    child.kill()
    child.communicate()


def test_a_killed_writer_loses_nothing_that_it_had_appended(
    path: Path, writer: subprocess.Popen[str]
) -> None:
    assert writer.stdout is not None
    appended = [int(writer.stdout.readline()) for _ in range(20)]
    writer.kill()
    appended += [int(line) for line in writer.stdout]
    trials = [end["trial"] for end in ends_in(path)]
    assert trials == list(range(len(trials)))
    assert appended == trials[: len(appended)]
    write(path, ENDS)
    assert ends_in(path)[len(trials) :] == ENDS


def test_a_reader_meets_whole_records_while_another_process_writes(
    path: Path, writer: subprocess.Popen[str]
) -> None:
    assert writer.stdout is not None
    for least in range(20):
        writer.stdout.readline()
        trials = [end["trial"] for end in ends_in(path)]
        assert len(trials) > least
        assert trials == list(range(len(trials)))
