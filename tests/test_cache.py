"""What is kept on disk is whole, decoded once, and never trusted when damaged."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.train.cache import Arrays, cache_folder, cached_arrays
from pennyweight.train.source import Batch

SHAPE = (60, 3, 3, 1)
IMAGES = np.arange(540, dtype=np.uint8).reshape(SHAPE)
LABELS = np.arange(60, dtype=np.int32) % 10


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Decoder:
    """Yields the pictures in three batches and counts how often it was asked to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterator[Batch]:
        self.times += 1
        for start in range(0, 60, 20):
            yield IMAGES[start : start + 20], LABELS[start : start + 20]


def load(decoder: Callable[[], Iterator[Batch]], name: str = "some") -> Arrays:
    return cached_arrays((name, "1.0.0", "train"), SHAPE, decoder)


def test_the_second_time_nothing_is_decoded() -> None:
    decoder = Decoder()
    for arrays in (load(decoder), load(decoder)):
        np.testing.assert_array_equal(arrays.images, IMAGES)
        np.testing.assert_array_equal(arrays.labels, LABELS)
    assert decoder.times == 1


def test_another_key_is_another_entry() -> None:
    decoder = Decoder()
    load(decoder)
    load(decoder, "other/configuration")
    assert decoder.times == 2


def test_an_empty_variable_means_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENNYWEIGHT_CACHE", "")
    assert cache_folder().name == "pennyweight"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def pose_as_a_zip_file(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04" + file.read_bytes()[4:])


def spoil_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"False", b"0_'(["))


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"0")


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES = [truncate, lengthen, flip_a_bit, pose_as_a_zip_file, empty, Path.unlink]


@pytest.mark.parametrize(
    ("damage", "file"),
    [(damage, name) for damage in DAMAGES for name in ("images.npy", "labels.npy", "fingerprint")]
    + [(spoil_the_header, "images.npy"), (spoil_the_header, "labels.npy")],
)
def test_a_damaged_entry_is_made_again(
    damage: Callable[[Path], None], file: str, cache: Path
) -> None:
    decoder = Decoder()
    load(decoder)
    damage(cache / "data" / "some-1.0.0-train" / file)
    arrays = load(decoder)
    assert decoder.times == 2
    np.testing.assert_array_equal(arrays.images, IMAGES)
    np.testing.assert_array_equal(arrays.labels, LABELS)


def test_an_entry_of_another_shape_is_made_again() -> None:
    decoder = Decoder()
    load(decoder)
    halves = [(IMAGES[:30], LABELS[:30])]
    arrays = cached_arrays(("some", "1.0.0", "train"), (30, 3, 3, 1), lambda: iter(halves))
    assert arrays.images.shape == (30, 3, 3, 1)


def test_a_failed_decoding_leaves_nothing_behind(cache: Path) -> None:
    def breaking() -> Iterator[Batch]:
        yield IMAGES[:20], LABELS[:20]
        raise UsageError("The second batch is damaged.")

    with pytest.raises(UsageError, match="second batch"):
        load(breaking)
    assert [path for path in (cache / "data").iterdir() if path.is_dir()] == []


def test_what_a_killed_process_left_is_written_over(cache: Path) -> None:
    unfinished = cache / "data" / "some-1.0.0-train.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "images.npy").write_bytes(b"half a picture")
    np.testing.assert_array_equal(load(Decoder()).images, IMAGES)
    assert not unfinished.exists()


def test_processes_that_ask_at_once_decode_once(tmp_path: Path) -> None:
    program = f"""
import time
import numpy as np
from pathlib import Path
from pennyweight.train.cache import cached_arrays

def decode():
    with Path({str(tmp_path / "decoded")!r}).open("a") as file:
        file.write("once\\n")
    time.sleep(0.5)
    yield np.ones((4, 2, 2, 1), np.uint8), np.arange(4, dtype=np.int32)

print(cached_arrays(("many", "1"), (4, 2, 2, 1), decode).images.sum())
"""
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate() for process in processes] == [("16\n", "")] * 3
    assert (tmp_path / "decoded").read_text() == "once\n"


def test_a_cache_that_cannot_be_a_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"cannot be written .*PENNYWEIGHT_CACHE.* MB free"):
        load(Decoder())


def test_a_disk_that_takes_no_more_is_one_line(cache: Path) -> None:
    """The limit on file sizes fails a write just as a full disk does, in a process of its own."""
    program = """
import resource
import numpy as np
from pennyweight.arch.errors import UsageError
from pennyweight.train.cache import cached_arrays
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
images, labels = np.zeros((100, 28, 28, 1), np.uint8), np.zeros(100, np.int32)
try:
    cached_arrays(("large", "1"), images.shape, lambda: iter([(images, labels)]))
except UsageError as error:
    print(error)
"""
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stderr == ""
    assert "cannot be written (File too large)" in run.stdout
    assert run.stdout.count("\n") == 1
    assert [path for path in (cache / "data").iterdir() if path.is_dir()] == []
