"""The drawing page's server as a process, and what one sends it."""

import contextlib
import http.client
import io
import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from command_line import start
from PIL import Image, ImageDraw

SIDE = 192  # pixels of a drawing, as the page sends it


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    address: str  # with a slash at the end

    @property
    def port(self) -> int:
        return int(self.address.rstrip("/").rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """One request on a connection of its own; `content_type` is sent as `content-type`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, names)
            return _reply(connection.getresponse())

    def classify(self, png: bytes, model: str | None = None) -> Reply:
        path = "/classify" if model is None else f"/classify?model={quote(model)}"
        return self.ask("POST", path, png, content_type="image/png")


def answer_on(link: socket.socket) -> Reply:
    """What the server answers to what was sent on `link`."""
    response = http.client.HTTPResponse(link)
    response.begin()
    return _reply(response)


def _reply(response: http.client.HTTPResponse) -> Reply:
    return Reply(response.status, response.headers, response.read())


@contextlib.contextmanager
def serving(
    model: str | Path, *flags: str, cwd: Path, **environment: str | Path
) -> Iterator[Served]:
    """`pennyweight draw` on a free port until the end, which Ctrl-C brings, quietly."""
    process = start("draw", model, "--port", "0", *flags, cwd=cwd, **environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Draw at http://127.0.0.1:"), (line, process.communicate())
        yield Served(process, line.removeprefix("Draw at ").partition(" ")[0])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        ended = (process.returncode, out, err)
        assert ended == (0, "", ""), ended
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def png(
    strokes: Sequence[Sequence[tuple[float, float]]], pen: float = 6, side: int = SIDE
) -> bytes:
    """Strokes in black on white, as the page draws them; four times as large, then scaled down."""
    large = 4 * side
    picture = Image.new("L", (large, large), 255)
    sheet, width = ImageDraw.Draw(picture), pen * large / 100
    for stroke in strokes:
        points = [(x * large, y * large) for x, y in stroke]
        sheet.line(points, fill=0, width=round(width), joint="curve")
        for x, y in points:
            sheet.circle((x, y), width / 2, fill=0)
    return encoded(picture.resize((side, side), Image.Resampling.BOX))


def encoded(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
