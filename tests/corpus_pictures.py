"""Malformed pictures, for a network to say what they show."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from corpus import Case, Put, damages, deflated_zeros, flipped, folder, link, picture
from corpus_data import flat_png


def cases(_: Path) -> list[Case]:
    return [*_damaged(), *_made(), *_places()]


def _damaged() -> Iterator[Case]:
    for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        content = picture(form)
        for name, damaged in damages(content):
            if name in ("zeros alone", "turned at 0 eighths", "cut at 1 eighths"):
                yield _case(f"{form} {name}", damaged)
    yield _case("empty", b"")
    good = picture("PNG")
    yield _case("PNG cut in the middle", good[: len(good) // 2])
    yield _case("PNG with a wrong checksum", flipped(good, 30))
    yield _case("JPEG without its end", picture("JPEG")[:300])


def _made() -> Iterator[Case]:
    packed, _ = deflated_zeros(900)
    yield _case("PNG of 30,000 by 30,000", png(30_000, 30_000, b"\x78\xda" + packed))
    yield _case("PNG of 2^31 by 2^31", png(2**31 - 1, 2**31 - 1, b""))
    yield _case("PNG of no width", png(0, 10, b""))
    yield _case("PNG of nothing", png(10, 10, b""))
    yield _case("PNG that unpacks to more", png(10, 10, b"\x78\xda" + packed)[:-30])
    yield _case("PNG of 20,000 by 20,000, flat", flat_png(20_000, 20_000))
    yield _case("PNG with a text that is a bomb", text_bomb())
    yield _case("PNG of a strange type", png(10, 10, zlib.compress(bytes(99)), depth=5))
    yield _case("BMP of 60,000 by 60,000", bmp(60_000, 60_000))
    yield _case("BMP upside down and huge", bmp(30_000, -30_000))
    yield _case("GIF of 65,535 by 65,535", gif(65_535, 65_535))
    yield _case("TIFF of 2^31 rows", tiff(2**31 - 1, 10))
    yield _case("TIFF in a circle", b"II*\0\x08\0\0\0\0\0\x08\0\0\0")
    yield _case("a drawing", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    yield _case("a document", b"%PDF-1.7\n")
    yield _case(
        "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(run) deletefile\n"
    )
    yield _case("an archive", b"PK\x03\x04" + bytes(60))
    yield _case("a pickle", b"cos\nsystem\n(S'touch run'\ntR.")
    yield _case("text", b"three")
    yield _case("larger than is read", b"\x89PNG\r\n\x1a\n" + bytes(60_000_000))


def _places() -> Iterator[Case]:
    places: dict[str, Put] = {
        "a folder": folder,
        "no end": link("/dev/zero"),
        "nowhere": link("nothing"),
        "in a circle": link("a.png"),
    }
    for name, put in places.items():
        yield _case(name, put)
    yield Case("picture: none", ("predict", "pretrained:digits", "none.png"))


def _case(name: str, put: Put) -> Case:
    return Case(f"picture: {name}", ("predict", "pretrained:digits", "a.png"), {"a.png": put})


def png(width: int, height: int, packed: bytes, depth: int = 8) -> bytes:
    """A PNG that says that it is of this size."""
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    crc = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + crc


def text_bomb() -> bytes:
    """A good PNG with a comment that unpacks to hundreds of megabytes."""
    good = picture("PNG")
    packed, _ = deflated_zeros(900)
    return good[:33] + chunk(b"zTXt", b"Comment\0\0\x78\xda" + packed) + good[33:]


def bmp(width: int, height: int) -> bytes:
    """A BMP that says that it is of this size."""
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + about


def gif(width: int, height: int) -> bytes:
    """A GIF that says that it is of this size."""
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x02\x02\x4c\x01\0\x3b"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6) + frame


def tiff(width: int, height: int) -> bytes:
    """A TIFF that says that it is of this size."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 8), (278, 4, height), (279, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
