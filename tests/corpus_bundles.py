"""Malformed bundles: damaged files, and manifests of a stranger's making with the right hashes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Case, Put, damages, deflated_zeros, folder, link, picture, pipe
from corpus_studies import safetensors

GOOD = Path(__file__).parents[1] / "results" / "pretrained" / "digits"
PREDICT = ("predict", "./b", "a.png")
VERIFY = ("export", "--verify", "b")
NAMES = ("manifest.json", "architecture.json", "weights.safetensors")

FACTS: dict[str, Any] = {
    "class_names": [None, [], "0123456789", ["one"], {"a": 1}],
    "normalisation": [
        None,
        {},
        {"mean": ["0"], "std": ["x"]},
        {"mean": [0.0], "std": [0.0]},
        {"mean": [float("nan")], "std": [1.0]},
        {"mean": [0.0] * 99_999, "std": [1.0]},
    ],
    "look": [1, [], {"light": 1}, {"light": True, "extent": 0, "centre": "mass", "stroke": 1}],
    "training": [None, [], {}, "recipe"],
    "data": [None, [], {"name": "digits"}],
    "validation": [1, [1], {"accuracy": "high"}],
    "confirmed": [1, [1], {"seeds": 3}],
    "versions": [None, []],
    "format": [None, 1, "pennyweight-bundle/2", "pennyweight-bundle/\x1b[2J", []],
    "files": [[], 1, {"a": 1}],
    "forms": [[], 1, {"python": 1}],
    "created": [...],
}

GENES = {
    "depth1": 10**9,
    "depth2": "2",
    "width1": -1,
    "width2": float("nan"),
    "growth": [1],
    "pool1": "cooking",
    "more": 1,
    "squeeze1": None,
}


def cases(_: Path) -> list[Case]:
    return [*_damaged(), *_told(), *_weights(), *_networks(), *_verified(), *_probes()]


def bundle(top: Path, **files: Put) -> None:
    """The good bundle with other files, a picture beside them."""
    shutil.copytree(GOOD, top)
    (top.parent / "a.png").write_bytes(picture())
    for name, put in files.items():
        path = top / name
        path.unlink(missing_ok=True)
        if isinstance(put, bytes):
            path.write_bytes(put)
        elif put is not ...:
            put(path)


def sealed(change: Callable[[dict[str, Any]], Any], **files: bytes) -> Callable[[Path], None]:
    """The bundle with a changed manifest and other files, and every hash as it must be."""
    manifest = json.loads((GOOD / "manifest.json").read_text())
    for name, content in files.items():
        manifest["files"][name] = {"bytes": len(content), "sha256": _hash(content)}
    change(manifest)
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    content = json.dumps(rest | {"sha256": _hash(text.encode())}).encode()
    return partial(bundle, **{"manifest.json": content}, **files)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _case(name: str, put: Put, words: tuple[str, ...] = PREDICT) -> Case:
    return Case(f"bundle: {name}", words, {"b": put})


def _damaged() -> Iterator[Case]:
    for name in NAMES:
        for told, content in damages((GOOD / name).read_bytes()):
            yield _case(f"{name} {told}", partial(bundle, **{name: content}))
        places: dict[str, Any] = {
            "is missing": ...,
            "is a folder": folder,
            "is a pipe": pipe,
            "is a link": link(str(GOOD / name)),
            "has no end": link("/dev/zero"),
        }
        for told, put in places.items():
            yield _case(f"{name} {told}", partial(bundle, **{name: put}))
    texts = {
        "a million lists deep": b"[" * 1_000_000,
        "a million empty lists": b"[" + b"[]," * 1_000_000 + b"[]]",
        "larger than is read": b" " * 60_000_000 + b"{}",
        "a list": b"[]",
        "no number": b'{"format": NaN}',
    }
    for told, content in texts.items():
        yield _case(f"manifest {told}", partial(bundle, **{"manifest.json": content}))
    yield _case("a file", b"no folder", ("predict", "./b", "a.png"))
    yield _case("a folder of nothing", folder)
    for words in (("train", "--from", "./b", "--whole"), ("evaluate", "./b"), ("draw", "./b")):
        cut = partial(bundle, **{"manifest.json": (GOOD / "manifest.json").read_bytes()[:999]})
        yield _case(f"cut off, to {words[0]}", cut, words)


def _told() -> Iterator[Case]:
    for name, values in FACTS.items():
        for wrong in values:

            def change(manifest: dict[str, Any], name: str = name, wrong: Any = wrong) -> None:
                if wrong is ...:
                    del manifest[name]
                else:
                    manifest[name] = wrong

            yield _case(f"{name} {repr(wrong)[:30]}", sealed(change))
    for name in ("recipe", "seed", "split_seed", "epochs", "trial"):

        def change_training(manifest: dict[str, Any], name: str = name) -> None:
            manifest["training"][name] = [1, [2]]

        yield _case(f"a list as {name}", sealed(change_training))

    for gene, wrong in GENES.items():

        def change_genome(manifest: dict[str, Any], gene: str = gene, wrong: Any = wrong) -> None:
            manifest["training"]["genome"] |= {gene: wrong}

        search = ("search", "--after", "./b")
        yield _case(f"{gene} {wrong!r} in its genome", sealed(change_genome), search)

    def strange_recipe(manifest: dict[str, Any]) -> None:
        manifest["training"]["recipe"] = {"optimiser": "prayer"}

    words = ("train", "--from", "./b", "--whole")
    yield _case("a recipe that is none, to go on from", sealed(strange_recipe), words)


def _weights() -> Iterator[Case]:
    for told, content in safetensors((GOOD / "weights.safetensors").read_bytes()):
        yield _case(f"weights {told}", sealed(_nothing, **{"weights.safetensors": content}))


def _networks() -> Iterator[Case]:
    good = json.loads((GOOD / "architecture.json").read_text())
    wide = json.dumps(good).replace('"width": ', '"width": 6000')
    for told, network in {
        "another": {**good, "layers": good["layers"][:1] + good["layers"][-2:]},
        "wider": json.loads(wide),
        "of more classes": {**good, "classes": 60_000},
        "of huge pictures": {**good, "input_shape": [60_000, 60_000, 1]},
        "of no layers": {**good, "layers": []},
        "no object": [good],
    }.items():
        content = json.dumps(network).encode()
        yield _case(f"network {told}", sealed(_nothing, **{"architecture.json": content}))


def _verified() -> Iterator[Case]:
    """What `export --verify` refuses before it runs anything."""

    def outside(manifest: dict[str, Any]) -> None:
        manifest["files"]["../outside.txt"] = {"bytes": 1, "sha256": _hash(b"x")}

    def absolute(manifest: dict[str, Any]) -> None:
        manifest["files"]["/etc/passwd"] = {"bytes": 1, "sha256": _hash(b"x")}

    def unhashable(manifest: dict[str, Any]) -> None:
        manifest["forms"]["python"]["files"] = [["model.py"]]

    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["forms"]["python"]["files"] = ["../model.py"]

    def no_form(manifest: dict[str, Any]) -> None:
        manifest["forms"] = {}

    def strange(manifest: dict[str, Any]) -> None:
        manifest["files"]["README.md"] = {"sha256": ["x"]}

    changes = [outside, absolute, unhashable, elsewhere, no_form, strange]
    for change in changes:
        yield _case(f"manifest {change.__name__}, to verify", sealed(change), VERIFY)
    yield _case("one file too many", partial(bundle, **{"extra.py": b"print()"}), VERIFY)
    yield _case(
        "a link among its files", partial(bundle, **{"README.md": link("model.py")}), VERIFY
    )
    yield _case("a pipe among its files", partial(bundle, **{"README.md": pipe}), VERIFY)
    for told, content in damages((GOOD / "probe.npz").read_bytes()):
        yield _case(f"probe {told}", partial(bundle, **{"probe.npz": content}), VERIFY)
    yield _case("manifest unsealed", partial(bundle, **{"manifest.json": _unsealed()}), VERIFY)


def _unsealed() -> bytes:
    manifest = json.loads((GOOD / "manifest.json").read_text())
    return json.dumps(manifest | {"created": "long ago"}).encode()


def _probes() -> Iterator[Case]:
    """Probes with the right hash, which `--verify` and going on from a bundle unpack."""
    for told, content in npz_files("images", "logits").items():
        yield _case(f"probe {told}", sealed(_nothing, **{"probe.npz": content}), VERIFY)


def npz_files(images: str, labels: str) -> dict[str, bytes]:
    """NPZ files that are none, or none of the arrays called so, by what is wrong."""
    pictures = np.zeros((40, 8, 8, 1), np.uint8)
    return {
        "with pickles": _npz({images: _pickled(), labels: _pickled()}),
        "with structures": _npz({images: _npy(np.zeros(40, "i4,f4")), labels: _npy(pictures)}),
        "of text": _npz({images: _npy(np.full(40, "x" * 9)), labels: _npy(np.arange(40))}),
        "of complex numbers": _npz({images: _npy(pictures * 1j), labels: _npy(np.arange(40))}),
        "of dates": _npz({images: _npy(pictures.astype("M8[s]")), labels: _npy(np.arange(40))}),
        "with a huge shape": _npz({images: _header((2**31, 2**10)), labels: _header((2**31,))}),
        "with a negative shape": _npz({images: _header((-1, 8, 8)), labels: _header((-1,))}),
        "with a shape of 99 axes": _npz({images: _header((1,) * 99), labels: _header((1,))}),
        "with a deep header": _npz({images: _raw("(" * 60_000), labels: _header((1,))}),
        "with code in a header": _npz({images: _raw("__import__('os')"), labels: _header((1,))}),
        "of no array": _npz({images: b"no array", labels: b""}),
        "of nothing": _npz({}),
        "of one thing": _npz({images: _npy(pictures)}),
        "that is a bomb": _bomb(f"{images}.npy", 1_500),
        "that says it is larger": _lying(f"{images}.npy"),
        "that is packed as nobody knows": _npz({images: _npy(pictures)}).replace(
            b"\x08\0", b"\x63\0"
        ),
        "with paths": _npz({f"../../{images}": _npy(pictures), labels: _npy(np.arange(40))}),
        "a zip of text": _npz({"readme.txt": b"hello"}),
        "an .npy": _npy(pictures),
        "a pickle": b"cos\nsystem\n(S'touch run'\ntR.",
    }


def _nothing(_: dict[str, Any]) -> None:
    pass


def _npz(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _pickled() -> bytes:
    """An .npy with an object that leaves a file behind when it is unpickled."""
    file = io.BytesIO()
    np.save(file, np.array([Payload()] * 40, object), allow_pickle=True)
    return file.getvalue()


class Payload:
    """Whoever unpickles this runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("run"),)


def _header(shape: tuple[int, ...]) -> bytes:
    """The start of an .npy of this shape, and next to nothing of what it says follows."""
    return _raw(str({"descr": "|u1", "fortran_order": False, "shape": shape})) + bytes(64)


def _raw(text: str) -> bytes:
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x02\0" + len(header).to_bytes(4, "little") + header


def _bomb(name: str, megabytes: int) -> bytes:
    """A zip of so many megabytes of zeros, a thousandth as large."""
    packed, crc = deflated_zeros(megabytes)
    return _zip(name, packed, crc, megabytes * 1_000_000)


def _lying(name: str) -> bytes:
    """A zip that says less than it holds."""
    packed, crc = deflated_zeros(1_500)
    return _zip(name, packed, crc, 1_000)


def _zip(name: str, packed: bytes, crc: int, size: int) -> bytes:
    """A zip of one member that is deflated already."""
    told = b"\x14\0\0\0\x08\0" + bytes(4) + crc.to_bytes(4, "little")
    told += len(packed).to_bytes(4, "little") + size.to_bytes(4, "little")
    told += len(name).to_bytes(2, "little") + bytes(2)
    local = b"PK\x03\x04" + told + name.encode() + packed
    central = b"PK\x01\x02\x14\0" + told + bytes(14) + name.encode()
    end = b"PK\x05\x06" + bytes(4) + b"\x01\0\x01\0" + len(central).to_bytes(4, "little")
    return local + central + end + len(local).to_bytes(4, "little") + bytes(2)
