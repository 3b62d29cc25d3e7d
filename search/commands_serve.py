"""The commands that serve a page on this machine: `draw` and `dashboard`."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from pathlib import Path

from pennyweight.arch.errors import UsageError
from pennyweight.results.places import place_of
from pennyweight.search.device import stay_on_cpu
from pennyweight.search.output import busy
from pennyweight.search.units import Count, Flag, Runs, Storage


def draw(
    model: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: Count = 8765,
    browser: Flag = False,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Open a page on this machine to draw on, and see what a network says while you draw.

    Parameters
    ----------
    model
        STUDY for its best trial, STUDY:TRIAL, a bundle's folder, or pretrained:NAME. A study's best
        for their size, or the pretrained ones of the same data, can be chosen on the page too.
    host
        The address to serve at; any but this machine's own lets others in.
    port
        The port to serve at, 0 for any that is free.
    browser
        Open the page in your browser.
    """
    try:
        from pennyweight.results.drawing_server import address_of, listen, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            "draw needs Starlette and uvicorn: `pip install 'pennyweight[page]'`."
        ) from error
    from pennyweight.results.drawing import Choice

    stay_on_cpu()
    choice = Choice(place_of(runs, storage), model)
    listening = listen(host, port)
    address = address_of(listening, host)

    with contextlib.ExitStack() as waiting:
        waiting.enter_context(busy("loading the network"))

        def ready() -> None:
            waiting.close()
            print(f"Draw at {address} (Ctrl-C ends it).", flush=True)
            if browser:
                # Some browsers are waited for to their end, and would see no page meanwhile.
                threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

        serve(choice, listening, host, ready=ready)


def dashboard(
    study: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: Count = 8080,
    runs: Runs = Path("runs"),
) -> None:
    """Show a study in optuna-dashboard, a page for the browser, until Ctrl-C.

    Parameters
    ----------
    study
        Its name. It may be running: the page follows it, and cannot change it.
    host
        The address to serve at; any but this machine's own lets others look.
    port
        The port to serve at, 0 for any that is free.
    """
    from pennyweight.search.dashboard import serve

    def ready(address: str) -> None:
        print(f"{study} is shown at {address}")
        print("The page has a copy, which follows the study; nothing done there changes the study.")
        print("Ctrl-C ends it.", flush=True)

    serve(runs, study, host, port, ready)
