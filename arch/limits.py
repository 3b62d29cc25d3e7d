"""The most that is taken of what anybody may have written, in one place.

Each limit lies far above what real use needs, and is checked before what it bounds is built: a file
from a stranger is refused in one line, and neither the machine's memory nor an hour is lost to it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pennyweight.arch.errors import UsageError

# Of a network
LARGEST = 65_536  # channels, pixels or features; more is a typing mistake or a hostile file
MOST_LAYERS = 1_000  # those of a repeated block as often as they run
DEEPEST = 8  # blocks inside one another
MOST_WEIGHTS = 100_000_000  # values: 400 MB
MOST_IN_A_MAP = 10_000_000  # values of one feature map, of which a batch holds many
MOST_MACS = 20_000_000_000  # for one picture: seconds; ResNet-152 has 11 thousand millions

# Of files, in bytes
LARGEST_JSON = 10_000_000  # an architecture or a manifest has a few thousand; in memory 20 times it
LARGEST_RECORDS = 500_000_000  # a study of 10,000 trials has 50 million
LARGEST_WEIGHTS = 500_000_000  # 4 for each of `MOST_WEIGHTS`, and some
LARGEST_IN_BUNDLE = 100_000_000
LARGEST_TABLE = 50_000_000  # of corrected labels
LARGEST_PICTURE_FILE = 50_000_000

# Of data
MOST_PIXELS = 100_000_000  # of a picture to classify, as large cameras make them
MOST_PIXELS_LEARNED = 4_096**2  # of a picture to learn from: what is learned from here is small
_MOST_DATA = 8_000_000_000  # bytes of all pictures, unpacked; nor more than half of the memory
_MOST_PACKED = 200  # bytes unpacked from one; MNIST's are 5, and zeros alone 1,000
_ANYWAY = 200_000_000  # bytes unpacked, however small they were packed


def most_data(packed: int) -> int:
    """How many bytes may come out of so many packed ones."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(_MOST_DATA, memory // 2, _ANYWAY + _MOST_PACKED * packed)


def read_plain(path: Path, most: int) -> bytes:
    """The content of a plain file; UsageError for another kind of file and above `most` bytes.

    A pipe would be waited for, and a device read without an end. OSError where it cannot be read.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder says what is wrong
        raise UsageError(f"{path} must be a plain file: name another.")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise too_large(path, most)
    return content


def too_large(what: object, most: int) -> UsageError:
    """What to raise for `what` has more than `most` bytes."""
    return UsageError(f"{what} must have at most {most:,} bytes: name another.")
