"""Malformed flags: numbers, sizes, times, choices, names and places that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from corpus import Case

NETWORK = "c4r A d10+"
NO_NUMBERS = ("", " ", "x", "1e3", "1.5", "0x10", "nan", "inf", "1_000", "\u0664", "-", "9" * 5_000)
NO_SIZES = ("", "x", "8q", "k", "8kk", "1.0001k", "8 000", "-", "nan", "9" * 5_000, "8KIB", "0.5")
NO_TIMES = ("", "5", "x", "5d", "-5s", "0s", "nans", "infs", "9" * 50 + "h", "1:30", "5S")
COUNTS = {
    "search": ("--max-epochs", "--trials", "--seed", "--workers", "--group"),
    f"train|{NETWORK}": ("--max-epochs", "--seed"),
    "leaderboard|x": ("--top",),
    "draw|x": ("--port",),
    "dashboard|x": ("--port",),
    "confirm|x": ("--top", "--race", "--seeds"),
}
SIZES = ("--max-params", "--max-macs", "--max-activation-bytes")
CHOICES = {
    "search": ("--sampler", "--device", "--precision"),
    f"train|{NETWORK}": ("--precision",),
    "evaluate|x": ("--split",),
    "leaderboard|x": ("--sort",),
    "export|x": ("--format",),
}
SHAPES = (
    "",
    "28",
    "28x28",
    "0x0x0",
    "28x28x1x1",
    "-8x8x1",
    "8x8x99999",
    "8X8X1",
    "8x8x\u0661",
    "ax8x1",
)
NAMES = ("", ".", "..", "../x", "/tmp/x", "a/b", "a b", "a\nb", "\x1b[2J", "-x", "x" * 101)
WORDS = ("", " ", "serach", "\x1b[31m", "\udcff", "--", "-", "x" * 100_000, "searc\u0433")
PLACES = (
    "csv:",
    "csv:/",
    "csv:/dev/zero",
    "csv:/dev/stdin",
    "idx:",
    "idx:/dev/null",
    "npz:/dev/random",
    "npz:.",
    "folder:/proc/self/mem",
    "folder:",
    "http://example.org/mnist",
    "s3://bucket/key",
    "file:///etc/passwd",
    "digits:fold11",
    "digits:fold",
    "digits:fold-1",
    "digits relabelled by",
    "mnist:3.0.1:x",
    "../../mnist",
    "mnist/../mnist",
    "x" * 5_000,
    "\x1b[2J",
    "pickle:a.pkl",
)
HOSTS = (
    "",
    " ",
    "256.1.1.1",
    "nowhere.invalid",
    "192.0.2.1",
    "http://localhost",
    "a b",
    "[::",
    "x" * 300,
)

SECRET = "hunter2"  # of URLs: no message may tell it
STORAGES = (
    "",
    "x",
    "sqlite:///a.db",
    "sqlite:////etc/passwd",
    "mysql://root@localhost/db",
    "file:///etc/passwd",
    "http://localhost/db",
    "postgresql",
    "postgresql:",
    "postgresql://localhost:port/db",
    "postgresql://localhost:99999/db",
    "postgresql+psycopg2://localhost/db",
    "postgresql+psycopg://localhost:-1/db",
    f"postgresql://me:{SECRET}@localhost:1/db",
    f"postgresql://me:{SECRET}@/db?host=/nowhere",
    f"postgresql://me:{SECRET}@a@b/db",
    f"postgresql://me:{SECRET}@localhost/db?sslmode=perhaps",
    f"postgresql://me:{SECRET}@localhost/db?unknown=1",
    f"postgresql://me:{SECRET}@localhost/%ff%zz",
    f"postgres://me:{SECRET}@localhost/db",
    f"://me:{SECRET}@localhost/db",
    f"redis://:{SECRET}@localhost",
    "postgresql://[::1/db",
    "postgresql:// /db",
    "postgresql://localhost/db\n",
    "postgresql://\x1b[2J/db",
    "postgresql://127.0.0.1:1/" + "x" * 5_000,
    "postgresql://localhost/%ff",
    "postgresql://localhost/\udcff",
    "postgresql://db..invalid/studies",
    f"postgresql://{'x' * 100}.invalid/studies",
)
LONG_URL = f"postgresql://me:{SECRET}{'x' * 40}@db.example.org:5432/a-database-of-a-long-name"
EXECUTORS = (
    "",
    "x",
    "Local",
    "dask",
    "dask:",
    "dask:local",
    "dask:local:",
    "dask:local:0",
    "dask:local:-1",
    "dask:local:1025",
    "dask:local:99999999999999999999",
    "dask:local:\u0661",
    "dask:local:2:3",
    "dask:tcp://",
    "dask:tcp://localhost",
    "dask:tcp://localhost:",
    "dask:tcp://localhost:port",
    "dask:tcp://localhost:8786/path",
    "dask:http://localhost:8786",
    "dask:inproc://localhost:1",
    "dask:ucx://localhost:1",
    "dask:file:///etc/passwd",
    "dask:tcp://a b:1",
    "dask:tcp://localhost:8786\n",
    "dask:tcp://\x1b[2J:1",
    f"dask:tcp://me:{SECRET}@localhost:1",
    "dask:tcp://[::1:8786",
    "dask:tcp://" + "x" * 300 + ":1",
    "tcp://localhost:8786",
    "ray:auto",
)


def cases(_: Path) -> list[Case]:
    return [*_numbers(), *_choices(), *_names(), *_data(), *_places(), *_urls()]


def _numbers() -> Iterator[Case]:
    for command, flags in COUNTS.items():
        for flag in flags:
            for value in NO_NUMBERS:
                yield _case(*command.split("|"), flag, value)
            if flag != "--seed":
                yield _case(*command.split("|"), flag, "-1")
            if flag not in ("--seed", "--port"):
                yield _case(*command.split("|"), flag, "0")
    for flag in SIZES:
        for value in (*NO_SIZES, "0", "-1k"):
            yield _case("search", flag, value)
    for value in NO_TIMES:
        yield _case("search", "--timeout", value)
    for value in SHAPES:
        yield _case("inspect", NETWORK, "--input", value, "--classes", "10")
    for value in ("-1", "0", "1", "99999999", "ten"):
        yield _case("inspect", NETWORK, "--input", "8x8x1", "--classes", value)
    for values in ("", ",", "1k,", "1k,x", "1k,,2k", "0,1k"):
        yield _case("frontier", "--max-params", values)


def _choices() -> Iterator[Case]:
    for command, flags in CHOICES.items():
        for flag in flags:
            for value in ("", "x", "\x1b[2J", "TPE", "x" * 9_999):
                yield _case(*command.split("|"), flag, value)
    for words in WORDS:
        yield _case(words)
    for words in (("search", "--dry-run=maybe"), ("search", "--trials"), ("search", "--trials=")):
        yield _case(*words)
    for flag in ("--", "---", "--=", "--trials=1=2", "--no-dry-run", "--\u0442rials"):
        yield _case("search", flag, "5")


def _names() -> Iterator[Case]:
    for name in NAMES:
        yield _case("search", "--study", name)
        yield _case("leaderboard", name)
        yield _case("evaluate", f"{name}:0")
    for name in (
        "x:",
        ":",
        ":0",
        "pretrained:",
        "pretrained:../digits",
        "pretrained:a b",
        "./\udcff",
    ):
        yield _case("predict", name, "a.png")
    for name in ("zoo:", "zoo:../x", "zoo:" + "x" * 9_999, "pretrained:../../arch"):
        yield _case("inspect", name)
    yield _case("search", "--after", "../x")
    yield _case("search", "--refine", "..")


def _data() -> Iterator[Case]:
    for source in PLACES:
        yield _case("data", "show", source)
    for source in ("csv:x.csv", "http://example.org/mnist", ""):
        yield _case("search", "--data", source)


def _places() -> Iterator[Case]:
    for host in HOSTS:
        yield _case("draw", "pretrained:digits", "--host", host, "--port", "0")
    for port in ("65536", "99999999999"):
        yield _case("draw", "pretrained:digits", "--port", port)
    for path in ("/proc/self/mem.json", "x" * 5_000 + ".json", "/.json"):
        yield _case("inspect", path)
    for path in ("/proc/nowhere", "x" * 5_000):
        yield _case("export", "pretrained:digits", "--out", path)
        yield _case("search", "--runs", path)
    for path in ("x" * 5_000, "/dev/null", "/proc/self/mem", "/"):
        yield _case("predict", "pretrained:digits", path)


def _urls() -> Iterator[Case]:
    for url in STORAGES:
        yield _case("leaderboard", "x", "--storage", url)
        yield _case("search", "--storage", url)
    for url in EXECUTORS:
        yield _case("search", "--executor", url)
    yield _case("search", "--executor", "dask:local:2", "--workers", "2")
    for words in (("leaderboard", LONG_URL), ("report", "x", LONG_URL), (LONG_URL,)):
        yield _case(*words)
    for flag in ("--storag", "--executor", "--sampler", "--data", "--study", "--track", "--trials"):
        yield _case("search", flag, LONG_URL)
    yield _case("leaderboard", "x", "--runs", LONG_URL)


def _case(*words: str) -> Case:
    return Case(f"flags: {' '.join(words)[:60]!r} {len(' '.join(words))}", words)
