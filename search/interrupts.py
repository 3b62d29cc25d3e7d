"""Ctrl-C where Python drops it: raised in a finaliser, it is only printed, and all goes on."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def insisting() -> Iterator[Callable[[], None]]:
    """Gives a function that handles again the last SIGINT or SIGTERM that came meanwhile, if any.

    To be called where none can have come but one that was dropped. Meanwhile Python does not print
    what it drops so. Outside of the main thread, and where a signal has no handler of Python's,
    nothing changes.
    """
    came: list[Callable[[], Any]] = []

    def noting(handler: Callable[[int, FrameType | None], Any]) -> Callable[..., Any]:
        def handle(number: int, frame: FrameType | None) -> Any:
            came[:] = [lambda: handler(number, None)]
            return handler(number, frame)

        return handle

    def insist() -> None:
        if came:
            came.pop()()

    def unless_noted(dropped: "sys.UnraisableHookArgs") -> None:
        if not (came and issubclass(dropped.exc_type, KeyboardInterrupt)):
            print_dropped(dropped)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = signal.signal(number, noting(handler))
    print_dropped = sys.unraisablehook
    if before:
        sys.unraisablehook = unless_noted
    try:
        yield insist
    finally:
        if before:
            sys.unraisablehook = print_dropped
        for number, handler in before.items():
            signal.signal(number, handler)
