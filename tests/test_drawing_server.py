"""The drawing page's server as a process: where it listens, how it ends, what does not stop it."""

import contextlib
import http.client
import random
import socket
import statistics
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import copied, trained
from drawing_pages import Reply, Served, answer_on, png, serving
from handwriting import drawn

from pennyweight.arch.errors import UsageError
from pennyweight.results.drawing_server import PATIENCE_S, address_of, listen

DRAWING = png(drawn(3, "plain").strokes)
REQUESTS = 1_000
AT_ONCE = 16
HOST = "host: localhost"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(trained()[0], tmp_path_factory.mktemp("server") / "work")


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((line, *headers, "", "")).encode("latin-1") + body


def post(body: bytes, *headers: str) -> bytes:
    fixed = (HOST, "content-type: image/png", f"content-length: {len(body)}")
    return request("POST /classify HTTP/1.1", *fixed, *headers, body=body)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Of a PNG, with the checksum that it must have."""
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def mutated(chance: random.Random) -> bytes:
    """A PNG with a few bytes changed, beyond the signature."""
    content = bytearray(DRAWING)
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(8, len(content))] = chance.randrange(256)
    return bytes(content)


def odd_png(chance: random.Random) -> bytes:
    """A PNG whose checksums hold, and little else."""
    sides = [chance.choice([0, 1, 7, 192, 1_024, 70_000, 2**31 - 1]) for _ in range(2)]
    form = [chance.randrange(0, 17), chance.randrange(0, 8), 0, 0, chance.randrange(0, 3)]
    pixels = zlib.compress(chance.randbytes(chance.randrange(500)))
    kind = chance.choice([b"tEXt", b"iCCP", b"PLTE", b"tRNS", b"gAMA", b"eXIf", b"acTL", b"pHYs"])
    parts = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", *sides, *form)),
        chunk(kind, chance.randbytes(chance.randrange(40))),
        chunk(b"IDAT", pixels),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts[: chance.randint(1, 4)])


# What each kind of request sends, and the answers it may get; 0 is none, which is for whoever goes
# away in the middle. 503 is for the many.
def hostile(kind: str, chance: random.Random) -> tuple[bytes, set[int]]:
    match kind:
        case "good":
            return post(DRAWING), {200, 503}
        case "garbage":
            return b"\x16\x03\x01" + chance.randbytes(200) + b"\r\n\r\n", {400}
        case "HTTP/2":
            return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 421, 404, 405}
        case "no host":
            return request("GET / HTTP/1.0"), {421}
        case "other host":
            return request("GET /models HTTP/1.1", "host: evil.example"), {421}
        case "two hosts":
            return request("GET /models HTTP/1.1", HOST, "host: evil.example"), {400}
        case "method":
            verb = chance.choice(["PUT", "TRACE", "CONNECT", "get", "X" * 300])
            return request(f"{verb} /classify HTTP/1.1", HOST), {405}
        case "path":
            path = "".join(chance.choices("/.%0aF2~?&=;", k=40))
            return request(f"GET /x{path} HTTP/1.1", HOST), {404}
        case "long path":
            return request(f"GET /{'a' * 200_000} HTTP/1.1", HOST), {400}
        case "long headers":
            return request("GET / HTTP/1.1", HOST, f"x: {'a' * 200_000}"), {400}
        case "bad header":
            return request("GET / HTTP/1.1", HOST, "no colon here"), {400}
        case "websocket":
            return request("GET / HTTP/1.1", HOST, "connection: upgrade", "upgrade: websocket"), {
                200
            }
        case "lengths":
            lines = ["content-length: 5", "content-length: 6"]
            return request("POST /classify HTTP/1.1", HOST, *lines, body=b"12345"), {400}
        case "negative":
            return request("POST /classify HTTP/1.1", HOST, "content-length: -1"), {400}
        case "huge":
            lines = ["content-type: image/png", "content-length: 99999999999"]
            return request("POST /classify HTTP/1.1", HOST, *lines), {413, 503}
        case "oversized":
            return post(b"\x89PNG\r\n\x1a\n" + bytes(1_200_000)), {413, 503}
        case "bad chunk":
            lines = ["content-type: image/png", "transfer-encoding: chunked"]
            return request("POST /classify HTTP/1.1", HOST, *lines, body=b"zz\r\n"), {0, 400}
        case "mutated":
            return post(mutated(chance)), {200, 400, 503}
        case "odd PNG":
            return post(odd_png(chance)), {200, 400, 503}
        case "unknown model":
            line = "POST /classify?model=%00%0d%0a../../etc HTTP/1.1"
            lines = ["content-type: image/png", f"content-length: {len(DRAWING)}"]
            return request(line, HOST, *lines, body=DRAWING), {400, 503}
        case "pipelined":
            return post(DRAWING) + b"\x00\x01 nonsense\r\n\r\n", {0, 200, 503}
        case "cut off":
            whole = post(DRAWING)
            return whole[: chance.randrange(1, len(whole))], {0}
    raise AssertionError(kind)


KINDS = (
    "good", "garbage", "HTTP/2", "no host", "other host", "two hosts", "method", "path",
    "long path", "long headers", "bad header", "websocket", "lengths", "negative", "huge",
    "oversized", "bad chunk", "mutated", "odd PNG", "unknown model", "pipelined", "cut off",
)  # fmt: skip


def sent(served: Served, kind: str, seed: int) -> tuple[str, int, Reply | None]:
    """Send one request; its kind, the status of the answer or 0, and the answer."""
    chance = random.Random(seed)
    content, may = hostile(kind, chance)
    with served.connect() as link:
        if may == {0}:
            link.sendall(content)
            if chance.random() < 0.5:  # a reset instead of an end
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return kind, 0, None
        try:
            link.sendall(content)
            answer = answer_on(link)
        except (ConnectionError, http.client.BadStatusLine):
            assert 0 in may or len(content) > 100_000, kind  # which is not read to its end
            return kind, 0, None
    assert answer.status in may, (kind, seed, answer)
    if answer.status != 200:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["error"].isprintable(), kind
        assert len(answer.json["error"]) < 200
    return kind, answer.status, answer


def test_a_thousand_bad_requests_do_not_stop_it(folder: Path) -> None:
    """At the end stderr must be empty and Ctrl-C must end it as ever: `serving` looks."""
    seeds = range(REQUESTS)
    kinds = [KINDS[seed % len(KINDS)] for seed in seeds]
    with serving("one", cwd=folder) as served, contextlib.ExitStack() as idle:
        alone = served.classify(DRAWING).json
        for _ in range(30):  # these say a little and then wait, to the end
            link = idle.enter_context(served.connect())
            link.sendall(b"GET / HTTP/1.1\r\nhos")
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as senders:
            outcomes = list(senders.map(lambda seed: sent(served, kinds[seed], seed), seeds))
        assert time.monotonic() - began < 60
        answered = Counter(kind for kind, status, _ in outcomes if status)
        assert set(KINDS) - set(answered) <= {"cut off", "bad chunk"}
        good = [answer for kind, status, answer in outcomes if kind == "good" and status == 200]
        assert len(good) > 30
        assert all(answer is not None and answer.json == alone for answer in good)
        assert served.classify(DRAWING).json == alone


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving("one", cwd=folder) as page:
        yield page


def test_too_many_at_once_are_told_so_and_the_rest_are_answered(served: Served) -> None:
    with contextlib.ExitStack() as opened:
        alone = served.classify(DRAWING).json
        links = [opened.enter_context(served.connect()) for _ in range(150)]
        for link in links:  # all but the last byte
            link.sendall(post(DRAWING)[:-1])
        time.sleep(1)
        for link in links:
            link.sendall(post(DRAWING)[-1:])
        statuses = Counter()
        for link in links:
            answer = answer_on(link)
            statuses[answer.status] += 1
            if answer.status == 200:
                assert answer.json == alone
            else:
                assert answer.json == {"error": "Too many requests at once: try again."}
                assert answer.headers["retry-after"] == "1"
        assert statuses == {200: 64, 503: 86}
        assert served.classify(DRAWING).json == alone


def test_small_answers_are_not_held_back(served: Served) -> None:
    """As they are for 40 ms where the system waits for more to send (Nagle's algorithm)."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    taken = []
    with contextlib.closing(connection):
        for _ in range(21):
            began = time.monotonic()
            connection.request("GET", "/draw.svg")
            assert connection.getresponse().read()
            taken.append(time.monotonic() - began)
    assert statistics.median(taken) < 0.035


def test_who_says_nothing_is_hung_up_on(served: Served) -> None:
    with served.connect() as silent, served.connect() as slow:
        began = time.monotonic()
        slow.sendall(b"GET / HTTP/1.1\r\n")
        for link in (silent, slow):
            with contextlib.suppress(ConnectionResetError):
                assert link.recv(1) == b""
        assert PATIENCE_S - 1 < time.monotonic() - began < 2 * PATIENCE_S


def test_a_browser_is_opened_that_sees_the_page(folder: Path, tmp_path: Path) -> None:
    """One that is waited for to its end, as some are."""
    mine = tmp_path / "browser"
    mine.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1], timeout=20).read()\n"
        f"pathlib.Path({str(tmp_path)!r}, 'seen').write_bytes(page)\n"
    )
    mine.chmod(0o755)
    with serving("one", "--browser", cwd=folder, BROWSER=f"{mine} %s") as served:
        page = served.ask("GET", "/").content
        deadline = time.monotonic() + 20
        while not (tmp_path / "seen").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert served.classify(DRAWING).status == 200
    assert (tmp_path / "seen").read_bytes() == page


def test_a_port_is_free_again_at_once() -> None:
    """Though the system still remembers a connection of the server that ended."""
    with listen("127.0.0.1", 0) as first:
        address = first.getsockname()
        with socket.create_connection(address):
            link, _ = first.accept()
            link.close()
    with listen(*address) as second:
        assert second.getsockname() == address


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use_is_refused(taken: int) -> None:
    with pytest.raises(UsageError, match=f"--port {taken} is in use: choose another, or 0 for"):
        listen("127.0.0.1", taken)


@pytest.mark.parametrize("port", [-1, 65_536, 10**17])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match=f"--port must be from 0 to 65535, but got {port}"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "a" * 300, "\udcff", "1.2.3.4.5"])
def test_a_host_that_is_not_here_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="--host must be an address or a name of this machine"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("0.0.0.0", "127.0.0.1")],
)
def test_the_address_is_what_one_types_into_a_browser(host: str, shown: str) -> None:
    with listen(host, 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening, host) == f"http://{shown}:{port}/"
