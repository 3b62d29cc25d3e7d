"""The drawing page as a web application: the page, the models, and what they say of a drawing.

Whatever is asked, the answer is short and comes in time, and the next one is not worse for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pennyweight.arch.errors import UsageError, in_a_line, shown
from pennyweight.results.drawing import Choice
from pennyweight.results.hosts import may_answer

T = TypeVar("T")

LARGEST_BODY = 1_000_000  # bytes; the page sends a few thousand
READING_S = 5  # for a request's body
ANSWERING_S = 60  # the first answer of a model waits until it is compiled
MOST_AT_ONCE = 64  # requests: a page has one under way
_READ_ON = 16_000_000  # bytes of a body that is too large
_THREADS = 4  # so that a model that is being loaded holds up no other

_HERE = Path(__file__).parent
_FILES = {"/": "draw.html"} | {
    f"/{name}": name for name in ("draw.css", "draw.js", "draw_server.js", "draw.svg")
}
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def drawing_app(choice: Choice, hosts: Collection[str], *, loopback: bool) -> ASGIApp:
    """The application for the models of `choice`.

    It answers to localhost, the names in `hosts` and IP addresses, with `loopback` only to those of
    this machine: a page elsewhere that lets its own name lead here (DNS rebinding) gets nothing.
    """
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="model")

    async def models(_: Request) -> Response:
        return JSONResponse(await _in_time(threads, choice.to_json))

    async def classify(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "image/png":
            raise HTTPException(415, "Send the drawing as image/png.")
        content = await _body(request)
        if not content.startswith(_PNG):
            raise HTTPException(400, "The drawing is no PNG picture.")
        name = request.query_params.get("model", choice.named)
        answer = await _in_time(threads, lambda: choice.classify(name, content))
        return JSONResponse({"model": name, **answer.to_json()})

    app = Starlette(
        routes=[
            *(Route(path, _file(name)) for path, name in _FILES.items()),
            Route("/models", models),
            Route("/classify", classify, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _refused,
            UsageError: _bad,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    return _Gate(app, frozenset(map(str.lower, hosts)), loopback=loopback)


class _Gate:
    """Before the application: who is meant, and how many may come at once."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], *, loopback: bool) -> None:
        self._app, self._hosts, self._loopback = app, hosts, loopback
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app: ASGIApp = self._app
        host = Headers(scope=scope).get("host", "")
        if not may_answer(host, self._hosts, loopback=self._loopback):
            app = _error(421, f"This page is not at {shown(host)}: use the address it was given.")
        elif self._inside >= MOST_AT_ONCE:
            app = _error(503, "Too many requests at once: try again.", {"retry-after": "1"})
        self._inside += 1
        try:
            await app(scope, receive, send_with_headers)
        finally:
            self._inside -= 1


async def _in_time(threads: ThreadPoolExecutor, compute: Callable[[], T]) -> T:
    """What `compute` gives, from a thread, so that others are answered meanwhile."""
    try:
        async with asyncio.timeout(ANSWERING_S):
            return await asyncio.get_running_loop().run_in_executor(threads, compute)
    except TimeoutError:
        raise HTTPException(503, f"No answer within {ANSWERING_S} seconds: try again.") from None


async def _body(request: Request) -> bytes:
    """The body of a request. What is too much is read on for a while, and forgotten.

    Who sends it would otherwise find the connection closed, and not see why.
    """
    content, size = bytearray(), int(request.headers.get("content-length", "0"))
    try:
        if size <= _READ_ON:
            async with asyncio.timeout(READING_S):
                size = 0
                async for part in request.stream():
                    size += len(part)
                    if size > _READ_ON:
                        break
                    if size <= LARGEST_BODY:
                        content += part
    except TimeoutError:
        raise HTTPException(408, f"The drawing took more than {READING_S} seconds.") from None
    if size > LARGEST_BODY:
        raise HTTPException(413, f"A drawing may have at most {LARGEST_BODY:,} bytes.")
    return bytes(content)


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return FileResponse(_HERE / name)

    return send


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {
        404: f"There is nothing at {shown(request.url.path)}.",
        405: "This method is not for here.",
    }
    headers = dict(error.headers) if error.headers else None
    return _error(error.status_code, said.get(error.status_code, error.detail), headers)


async def _bad(_: Request, error: Exception) -> Response:
    return _error(400, str(error))


async def _gone(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # which nobody is left to read


async def _failed(_: Request, error: Exception) -> Response:
    print(f"pennyweight: {UsageError(in_a_line(error))}", file=sys.stderr)
    return _error(500, in_a_line(error))
