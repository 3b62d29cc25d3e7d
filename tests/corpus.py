"""Malformed input for the command line: what a case is, how one is put down, and what may come.

The cases are made by the `corpus_*.py` beside this file, always the same ones, from good files that
a search or an export really wrote wherever there are some. `corpus_run.py` runs them.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Put = bytes | Callable[[Path], None]  # a file's content, or what makes it at its path

MOST_CHARACTERS = 1_100  # of the line
MOST_S = 20.0  # that a command may take to refuse
MOST_BYTES = 700_000_000  # of memory that it may take for it, beside what is imported


INK = np.zeros((40, 40), np.uint8)
INK[8:32, 18:24] = 255


@dataclass(frozen=True)
class Case:
    """One malformed input: the words of the command that meets it, and the files that it finds."""

    name: str
    words: Sequence[str]
    files: Mapping[str, Put] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def put(self, folder: Path) -> None:
        """Write the files into `folder`."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)


def link(to: str) -> Callable[[Path], None]:
    """A symbolic link."""
    return lambda path: path.symlink_to(to)


def pipe(path: Path) -> None:
    """A named pipe, at whose other end nobody is."""
    os.mkfifo(path)


def folder(path: Path) -> None:
    """A folder where a file is meant."""
    path.mkdir()


def picture(form: str = "PNG", mode: str = "L") -> bytes:
    """A good picture."""
    file = io.BytesIO()
    Image.fromarray(INK).convert(mode).save(file, form)
    return file.getvalue()


def damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    """A good file cut off, with bytes turned over, with bytes put in, and twice over."""
    size = len(content)
    yield "empty", b""
    for part in (1, 3, 6):
        yield f"cut at {part} eighths", content[: size * part // 8]
    for part in (0, 2, 5):
        at = size * part // 8
        yield f"turned at {part} eighths", flipped(content, at)
    yield "zeros within", content[: size // 2] + bytes(16) + content[size // 2 :]
    yield "zeros alone", bytes(size)


def flipped(content: bytes, at: int) -> bytes:
    """`content` with the byte at `at` turned over."""
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def deflated_zeros(megabytes: int) -> tuple[bytes, int]:
    """So many zeros as a raw deflate stream, a thousandth as long, and their CRC-32."""
    block = bytes(1_000_000)
    packer = zlib.compressobj(9, wbits=-15)
    start = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    repeated = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(megabytes):
        crc = zlib.crc32(block, crc)
    return start + repeated * (megabytes - 1) + packer.flush(), crc
