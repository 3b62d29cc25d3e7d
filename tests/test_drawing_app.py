"""The drawing page's application on a real socket: what it answers, and to whom."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import copied, trained
from drawing_pages import Reply, Served, answer_on, encoded, png, serving
from handwriting import drawn
from PIL import Image

from pennyweight.results.drawing_app import LARGEST_BODY, READING_S
from pennyweight.results.hosts import may_answer

ROOT = Path(__file__).parents[1]
DRAWING = png(drawn(3, "plain").strokes)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = copied(trained()[0], tmp_path_factory.mktemp("app") / "work")
    with serving("one", cwd=folder) as page:
        yield page


def refusal(answer: Reply, status: int) -> str:
    """What an error says; asserts that it is one line of JSON."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    (said,) = answer.json.values()
    assert said == answer.json["error"]
    assert said.isprintable()
    assert len(said) < 200
    return said


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("/", "draw.html", "text/html; charset=utf-8"),
        ("/draw.css", "draw.css", "text/css; charset=utf-8"),
        ("/draw.js", "draw.js", "text/javascript; charset=utf-8"),
        ("/draw_server.js", "draw_server.js", "text/javascript; charset=utf-8"),
        ("/draw.svg", "draw.svg", "image/svg+xml"),
    ],
)
def test_the_files_of_the_page_are_served(served: Served, path: str, file: str, kind: str) -> None:
    answer = served.ask("GET", path)
    assert answer.status == 200
    assert answer.content == (ROOT / "results" / file).read_bytes()
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("path", ["/", "/models", "/nothing"])
def test_every_answer_forbids_whatever_comes_from_elsewhere(served: Served, path: str) -> None:
    headers = served.ask("GET", path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_the_page_is_told_of_the_models(served: Served) -> None:
    told = served.ask("GET", "/models").json
    assert told["named"] == "one:0"
    assert (told["data"], told["shape"]) == ("digits", [8, 8, 1])
    assert told["classes"] == [str(digit) for digit in range(10)]
    (model,) = told["models"]
    assert model["name"] == "one:0"
    assert model["params"] > 0
    assert 0 < model["accuracy"] < 1


def test_a_drawing_is_classified(served: Served) -> None:
    answer = served.classify(DRAWING, "one:0")
    assert answer.status == 200
    told = answer.json
    assert sum(told["probabilities"]) == pytest.approx(1)
    assert len(told["probabilities"]) == 10
    assert told["seen"]["shape"] == [8, 8, 1]
    assert max(told["seen"]["levels"]) == 255
    assert served.classify(DRAWING).json == told


def test_an_empty_drawing_is_answered_with_nothing(served: Served) -> None:
    told = served.classify(encoded(Image.new("L", (192, 192), 255))).json
    assert told == {"model": "one:0", "probabilities": None, "seen": None}


def test_what_is_not_there_is_said_so(served: Served) -> None:
    assert refusal(served.ask("GET", "/draw.py"), 404) == "There is nothing at '/draw.py'."
    for path in ("/../pyproject.toml", "/%2e%2e/x", "//", "/models/", "/%00", "/%ff"):
        refusal(served.ask("GET", path), 404)
    assert "'one:9'" in refusal(served.classify(DRAWING, "one:9"), 400)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/classify"), ("POST", "/"), ("DELETE", "/models"), ("BREW", "/")]
)
def test_another_method_is_refused(served: Served, method: str, path: str) -> None:
    answer = served.ask(method, path)
    refusal(answer, 405)
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("kind", "body", "status", "message"),
    [
        ("text/plain", DRAWING, 415, "Send the drawing as image/png."),
        ("", DRAWING, 415, "Send the drawing as image/png."),
        ("image/png", b"", 400, "The drawing is no PNG picture."),
        ("image/png", b"GIF89a", 400, "The drawing is no PNG picture."),
        ("image/png", DRAWING[:200], 400, "The drawing is a damaged picture"),
        ("image/png", DRAWING[:8], 400, "The drawing is no picture"),
        ("image/png", bytes(LARGEST_BODY + 1), 413, "at most 1,000,000 bytes."),
        ("image/png", bytes(10 * LARGEST_BODY), 413, "at most 1,000,000 bytes."),
    ],
    ids=["text", "untold", "empty", "gif", "cut", "head", "large", "larger"],
)
def test_what_is_no_drawing_is_refused(
    served: Served, kind: str, body: bytes, status: int, message: str
) -> None:
    answer = served.ask("POST", "/classify", body, content_type=kind, connection="close")
    assert message in refusal(answer, status)


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(served: Served) -> None:
    with served.connect() as link:
        link.sendall(head("transfer-encoding: chunked"))
        for _ in range(LARGEST_BODY // 50_000 + 1):
            link.sendall(b"%x\r\n%b\r\n" % (50_000, bytes(50_000)))
        link.sendall(b"0\r\n\r\n")
        refusal(answer_on(link), 413)


def test_a_body_far_too_large_is_refused_before_it_is_sent(served: Served) -> None:
    with served.connect() as link:
        link.sendall(head("content-length: 99999999999"))
        refusal(answer_on(link), 413)


def test_a_drawing_that_does_not_come_is_not_waited_for(served: Served) -> None:
    began = time.monotonic()
    with served.connect() as link:
        link.sendall(head("content-length: 100") + b"\x89PNG")
        assert "took more than 5 seconds" in refusal(answer_on(link), 408)
    assert READING_S <= time.monotonic() - began < READING_S + 5


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "10.0.0.1", "", "[::1", "a b"]
)
def test_a_request_for_another_host_is_refused(served: Served, host: str) -> None:
    """A page elsewhere may let its own name lead to this machine (DNS rebinding)."""
    for method, path in (("GET", "/"), ("GET", "/models"), ("POST", "/classify")):
        assert "This page is not at " in refusal(served.ask(method, path, host=host), 421)


@pytest.mark.parametrize(
    ("host", "hosts", "loopback", "may"),
    [
        ("127.0.0.1:8765", (), True, True),
        ("127.1.2.3", (), True, True),
        ("LOCALHOST:1", (), True, True),
        ("localhost.", (), True, True),
        ("[::1]:8765", (), True, True),
        ("::1", (), True, False),
        ("board", ("board",), True, True),
        ("board.evil.example", ("board",), False, False),
        ("localhost.evil.example", (), False, False),
        ("192.168.0.7:8765", (), True, False),
        ("192.168.0.7:8765", (), False, True),
        ("[fe80::1]:8765", (), False, True),
        ("2130706433", (), True, False),
        ("127.0.0.1:port", (), True, False),
        ("127.0.0.1@evil.example", (), False, False),
    ],
)
def test_a_host_is_this_server_or_not(
    host: str, hosts: tuple[str, ...], loopback: bool, may: bool
) -> None:
    assert may_answer(host, hosts, loopback=loopback) is may


def test_a_page_elsewhere_may_not_send_drawings_here(served: Served) -> None:
    """What it may send without asking is text, and what it asks first gets no leave."""
    asked = served.ask("OPTIONS", "/classify", origin="http://evil.example")
    assert asked.status == 405
    assert not [name for name in asked.headers if name.startswith("access-control")]


def head(*lines: str) -> bytes:
    """The head of a request that sends a drawing."""
    fixed = ("POST /classify HTTP/1.1", "host: localhost", "content-type: image/png")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


def test_many_drawings_at_once_are_each_answered_as_one_alone(served: Served) -> None:
    """Fewer than are refused for being too many."""
    alone = served.classify(DRAWING).json
    request = head(f"content-length: {len(DRAWING)}", "connection: close") + DRAWING
    with contextlib.ExitStack() as opened:
        links = [opened.enter_context(served.connect()) for _ in range(40)]
        for link in links:
            link.sendall(request)
        for link in links:
            answer = answer_on(link)
            assert answer.status == 200
            assert json.loads(answer.content) == alone
