"""Malformed networks: notations, architecture files, records to train from, and recipes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus import Case, damages, flipped, folder, link

RECORD = Path(__file__).parents[1] / "results" / "records" / "mnist-500.json"
NETWORK = "c4r A d10+"

NOTATIONS: dict[str, str] = {
    "huge width": "c99999999999 A d10+",
    "wider than numbers go": f"c{'9' * 5_000} A d10+",
    "huge repeats": "9999999[c4] A d10+",
    "repeats within repeats": "3[" * 8 + "c1" + "]" * 8 + " A d10+",
    "repeats that multiply": "60000[60000[c4]] A d10+",
    "repeats too deep": "2[" * 20 + "c1" + "]" * 20 + " A d10+",
    "brackets without an end": "(" * 30_000,
    "brackets without a beginning": ")" * 30_000,
    "brackets of nothing": "()" * 10_000,
    "brackets that cross": "(c4 2[c4) ] A d10+",
    "a huge window": "c1k65535 A d10+",
    "a window larger than the picture": "c4k65535v A d10+",
    "more weights than fit": "c65536k9 c65536k9 A d10+",
    "a huge vector": "c65536 F d65536 d10+",
    "more layers than may be": "c1" * 1_001 + " A d10+",
    "many characters": " " * 40_000 + NETWORK,
    "many operations": "c1500k9 " * 8 + "A d10+",
    "no head": "c4r",
    "two heads": "c4r A A d10+",
    "a head first": "A c4r d10+",
    "a wrong number of classes": "c4r A d9+",
    "an unknown layer": "c4r q3 A d10+",
    "an unknown option": "c4z A d10+",
    "an option twice": "c4k3k3 A d10+",
    "no size": "c A d10+",
    "width nothing": "c0 A d10+",
    "a negative width": "c-4 A d10+",
    "half a channel": "c4.5 A d10+",
    "stride nothing": "c4s0 A d10+",
    "drops all": "c4o1.0 A d10+",
    "drops more than all": "c4o1e999999 A d10+",
    "drops no number": "c4onan A d10+",
    "other digits": "c\u0664 A d10+",
    "other letters": "\u0441\u0034 A d10+",
    "an end of text": "c4\0 A d10+",
    "an escape": "\x1b[2Jc4 A d10+",
    "lines": "c4\nA\nd10+;",
    "half a character": "c4 \udcff A d10+",
    "a page of JSON": '{"layers": []}',
    "a pool larger than the picture": "m9 A d10+",
    "pools until nothing is left": "m2 m2 m2 m2 A d10+",
    "a residual that widens": "c4 (c5) A d10+",
    "a repeat that widens": "c4 2[c5 c6] A d10+",
    "a repeat without weights": "c4 5[r] A d10+",
    "once": "c4 1[c4] A d10+",
}

WRONG: tuple[Any, ...] = (None, True, -1, 0, 1.5, 10**30, "8", [], {}, float("nan"), float("inf"))


def cases(_: Path) -> list[Case]:
    return [*_notations(), *_architectures(), *_records(), *_recipes()]


def _notations() -> Iterator[Case]:
    for name, text in NOTATIONS.items():
        yield Case(f"notation: {name}", ["inspect", text])
    for name in ("repeats within repeats", "more weights than fit", "brackets without an end"):
        yield Case(f"notation to train: {name}", ["train", NOTATIONS[name]])


def _architectures() -> Iterator[Case]:
    """Whatever stands in place of a network, of a part of it, or of a layer."""
    good = json.loads(RECORD.read_text())["architecture"]
    for name, content in damages(json.dumps(good).encode()):
        yield _file(f"architecture: {name}", content)
    for key in good:
        for wrong in WRONG:
            yield _file(f"architecture: {key} {shown(wrong)}", good | {key: wrong})
        yield _file(f"architecture: no {key}", {k: v for k, v in good.items() if k != key})
    layer = good["layers"][0]
    for key in layer:
        for wrong in WRONG:
            if not (key in ("valid", "bias") and wrong is True):
                changed = [layer | {key: wrong}, *good["layers"][1:]]
                yield _file(f"layer: {key} {shown(wrong)}", good | {"layers": changed})
    for name, layers in _layers(good["layers"]):
        yield _file(f"layers: {name}", good | {"layers": layers})
    for name, text in _texts(json.dumps(good)):
        yield _file(f"architecture: {name}", text)
    yield Case("architecture: a folder", ["inspect", "a.json"], {"a.json": folder})
    yield Case(
        "architecture: a link in a circle", ["inspect", "a.json"], {"a.json": link("a.json")}
    )
    yield Case("architecture: no end", ["inspect", "a.json"], {"a.json": link("/dev/zero")})
    yield Case("architecture: nowhere", ["inspect", "a.json"], {"a.json": link("nowhere")})


def _layers(good: list[Any]) -> Iterator[tuple[str, Any]]:
    relu, deep = {"kind": "relu"}, {"kind": "relu"}
    for _ in range(60):
        deep = {"kind": "residual", "body": [deep]}
    many: Any = {"kind": "conv", "width": 1}
    for _ in range(8):
        many = {"kind": "repeat", "times": 9, "body": [many]}
    yield "as many as fit into a file", [relu] * 90_000
    yield "one inside the other", [deep]
    yield "repeats that multiply", [many, *good]
    yield "repeated without end", [{"kind": "repeat", "times": 65_536, "body": good[:1]}, *good]
    yield "a repeat of nothing", [{"kind": "repeat", "times": 65_536, "body": []}, *good]
    yield "a body that is a layer", [{"kind": "residual", "body": relu}, *good]
    yield "a body that is text", [{"kind": "residual", "body": "relu"}, *good]
    yield "a kind that is a list", [{"kind": ["relu"]}, *good]
    yield "a kind with a million letters", [{"kind": "relu" * 250_000}, *good]
    yield "a field with a strange name", [relu | {"\x1b[2J\n": 1}, *good]
    yield "a layer that is a list", [[relu], *good]
    yield "of another program", [{"class_name": "Conv2D", "config": {}}, *good]
    yield "twice", good + good
    yield "backwards", good[::-1]
    yield "rate above one", [{"kind": "dropout", "rate": 1}, *good]
    yield "rate no number", [{"kind": "dropout", "rate": float("nan")}, *good]


def _texts(good: str) -> Iterator[tuple[str, bytes]]:
    yield "a million lists deep", b"[" * 1_000_000
    yield "a million objects deep", b'{"a":' * 1_000_000
    yield "a million empty lists", b"[" + b"[]," * 1_000_000 + b"[]]"
    yield "larger than is read", b" " * 20_000_000
    yield "in UTF-16", good.encode("utf-16")
    yield "in UTF-32", good.encode("utf-32")
    yield "with a mark of its encoding", good.encode("utf-8-sig")
    yield "half a surrogate pair", good.replace("conv", "\\ud800").encode()
    yield "in Latin", good.replace("conv", "c\xf6nv").encode("latin-1")
    yield "a number too long", good.replace("10", "1" * 5_000).encode()
    yield "a comment", good.encode() + b" // a network"
    yield "two documents", good.encode() * 2
    yield "a trailing comma", (good[:-1] + ",}").encode()
    yield "single quotes", good.replace('"', "'").encode()
    yield "a pickle", b"cos\nsystem\n(S'touch run'\ntR."
    yield "Python", b"__import__('os').system('touch run')"
    yield "YAML", b"!!python/object/apply:os.system ['touch run']"


def _records() -> Iterator[Case]:
    """A record brings an architecture, a recipe, and how it was trained."""
    good = json.loads(RECORD.read_text())
    for key in ("seed", "epochs", "data", "data_fingerprint", "precision", "whole", "recipe"):
        for wrong in (
            -1,
            1.5,
            [1],
            {"a": 1},
            "\x1b[2J" if key in ("precision", "whole") else 10**30,
        ):
            if not (key in ("seed", "epochs") and wrong == 10**30):
                yield _file(f"record: {key} {shown(wrong)}", good | {key: wrong})
    yield _file("record: seed too large", good | {"seed": 10**30}, "train")
    yield _file("record: epochs too many", good | {"epochs": 10**30, "data": "digits"}, "train")
    yield _file("record: no data of that name", good | {"data": "../../etc/passwd"}, "train")
    yield _file("record: data elsewhere", good | {"data": "csv:/etc/passwd"}, "train")
    content = RECORD.read_bytes()
    yield _file("record: cut off", content[: len(content) // 2])
    yield _file("record: turned", flipped(content, 40))


def _recipes() -> Iterator[Case]:
    good = json.loads(RECORD.read_text())["recipe"]
    for key in good:
        for wrong in (None, "x", -1, 10**30, [], float("nan")):
            content = json.dumps(good | {key: wrong}).encode()
            yield _recipe(f"recipe: {key} {shown(wrong)}", content)
    for name, content in damages(json.dumps(good).encode()):
        yield _recipe(f"recipe: {name}", content)
    yield _recipe("recipe: a list", json.dumps([good]).encode())
    yield _recipe("recipe: too deep", b'{"a":' * 100_000)
    yield _recipe(
        "recipe: a batch of everything", json.dumps(good | {"batch_size": 65_536}).encode()
    )


def _file(name: str, content: Any, command: str = "inspect") -> Case:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Case(name, [command, "a.json"], {"a.json": data})


def _recipe(name: str, content: bytes) -> Case:
    return Case(name, ["train", NETWORK, "--recipe", "r.json"], {"r.json": content})


def shown(value: Any) -> str:
    """A value in a case's name."""
    return repr(value)[:20]
