"""The form for whoever has a browser: the drawing page with the network inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.results.form import Form, Ran, Unavailable
from pennyweight.results.page_proof import NoBrowserError, page_logits

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.trained import Trained

_FILE = "model.html"


def _files(trained: Trained) -> dict[str, bytes]:
    from pennyweight.results.drawing import offer_of
    from pennyweight.results.page_file import page_file

    facts = trained.facts
    offer = offer_of(trained.architecture, facts, name=f"{facts.study}:{facts.trial}")
    page = page_file(
        trained.deployed, offer, data=facts.data, class_names=facts.class_names, look=facts.look
    )
    return {_FILE: page}


def _run(folder: Path, images: np.ndarray) -> Ran:
    try:
        return Ran(page_logits(folder / _FILE, images))
    except NoBrowserError as missing:
        raise Unavailable(str(missing)) from None


HTML = Form(
    name="html",
    what="a page to draw on, with the network inside, for any browser, online or not",
    needs="a browser",
    use="""\
const { classify } = window.pennyweight; // in the page's console
const { logits, probabilities } = classify(picture); // Uint8Array""",
    files=_files,
    run=_run,
    language="js",
)
