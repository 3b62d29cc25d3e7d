"""The server of the drawing page: a socket, and what uvicorn leaves undone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import logging
import socket
from collections.abc import Callable

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from pennyweight.arch.errors import UsageError, shown
from pennyweight.results.drawing import Choice
from pennyweight.results.drawing_app import drawing_app

PATIENCE_S = 10  # in which a connection must send a whole request
_GOODBYE_S = 1  # for answers under way when the server ends


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, on any free port for 0; UsageError where that is impossible."""
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port must be from 0 to 65535, but got {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UsageError(
            f"--host must be an address or a name of this machine, but got {shown(host)}."
        ) from None
    # Without the protocol asyncio would leave out TCP_NODELAY, and each answer take 40 ms longer.
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # just after another ended
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UsageError(_why_not(error, host, port)) from error
    return listening


def address_of(listening: socket.socket, host: str) -> str:
    """What to type into a browser on this machine."""
    bound, port = listening.getsockname()[:2]
    if ipaddress.ip_address(bound).is_unspecified:
        host = "127.0.0.1" if listening.family == socket.AF_INET else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(
    choice: Choice, listening: socket.socket, host: str, *, ready: Callable[[], None]
) -> None:
    """Serve until Ctrl-C; `ready` is called once the page answers, with the named model loaded."""
    choice.load(choice.named)
    loopback = ipaddress.ip_address(listening.getsockname()[0]).is_loopback
    hosts = {host} if loopback else {host, socket.gethostname(), f"{socket.gethostname()}.local"}
    config = Config(
        drawing_app(choice, hosts, loopback=loopback),
        http=_Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GOODBYE_S,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the answers say what was wrong
    with contextlib.suppress(KeyboardInterrupt):  # how one ends it
        _Server(config, ready).run(sockets=[listening])


class _Server(Server):
    def __init__(self, config: Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class _Connection(H11Protocol):
    """Hangs up on who is too slow, for which uvicorn would wait for ever, and refuses in JSON."""

    _answered = 0
    _check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._check:
            self._check.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._answered += 1
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what it would say comes too late
            self.transport.abort()
            return
        body = json.dumps({"error": "This is no HTTP request."}).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _wait(self) -> None:
        self._check = self.loop.call_later(PATIENCE_S, self._hang_up_or_wait, self._answered)

    def _hang_up_or_wait(self, answered_before: int) -> None:
        request = self.cycle
        at_work = request is not None and not request.response_complete and not request.more_body
        if at_work or self._answered > answered_before:
            self._wait()
        else:
            self.transport.abort()


def _why_not(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"--port {port} is in use: choose another, or 0 for any that is free."
        case errno.EACCES:
            return f"--port {port} is not for everyone: choose one from 1024, or 0 for any."
        case errno.EADDRNOTAVAIL:
            return f"--host must be an address or a name of this machine, but got {shown(host)}."
    return f"The page cannot be served at {shown(host)}, port {port}: {error.strerror}."
