"""The commands that make use of a trained network: `export` and `draw`."""

from __future__ import annotations

import contextlib
import json as json_format
import shlex
import threading
import webbrowser
from pathlib import Path

from pennyweight.arch.errors import UsageError
from pennyweight.search.output import busy, command_line
from pennyweight.search.units import Count, Flag, Runs


def export(
    model: str,
    /,
    *,
    out: Path | None = None,
    force: Flag = False,
    json: Flag = False,
    runs: Runs = Path("runs"),
) -> None:
    """Write a network as a folder of code and weights that needs no pennyweight, and check it.

    Parameters
    ----------
    model
        STUDY for its best trial, or STUDY:TRIAL.
    out
        The folder to write; by default `export` in the study's own.
    force
        Replace a bundle that is there already.
    json
        Print what was written as JSON.
    """
    from pennyweight.results.models import export_model, find_model

    found = find_model(runs, model)
    picked = model.partition(":")[2]
    folder = out or found.folder.path / (f"export-{picked}" if picked else "export")
    with busy("writing the bundle and checking it in a fresh process"):
        checked = export_model(found, folder, command=command_line(), force=force)
    trial = found.trial
    if json:
        document = {
            "folder": str(folder),
            "study": found.study.study,
            "trial": trial.trial,
            "notation": trial.notation,
            "params": trial.cost["params"],
            "val_accuracy": trial.val_accuracy,
            "pictures": checked.pictures,
            "largest_difference": checked.largest_difference,
        }
        print(json_format.dumps(document, indent=2))
        return
    reached = "" if trial.state == "complete" else f" ({trial.state}, {trial.epochs} epochs)"
    size = f"{trial.cost['params']:,} parameters"
    print(f"{folder}: trial {trial.trial}{reached}, {trial.notation}, {size}")
    print(
        f"checked in a fresh process: logits of {checked.pictures:,} validation pictures differ "
        f"by at most {checked.largest_difference:.1g}"
    )
    print(f"Try it:\n  python {shlex.quote(str(folder / 'model.py'))} PICTURE.png")


def draw(
    model: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: Count = 8765,
    browser: Flag = False,
    runs: Runs = Path("runs"),
) -> None:
    """Open a page on this machine to draw on, and see what a network says while you draw.

    Parameters
    ----------
    model
        STUDY for its best trial, STUDY:TRIAL, or a bundle's folder. A study's best for their size
        can be chosen on the page too.
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

    choice = Choice(runs, model)
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
