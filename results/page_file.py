"""The drawing page as one HTML file with the network inside: no server, no network, any place.

It is the page that `draw` serves, with another script to answer. Whatever a stranger may have named
is data in it: escaped for the HTML around it, and shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pennyweight.arch.deployed import Deployed
from pennyweight.results.deployed_json import deployed_json
from pennyweight.results.drawing import Offer
from pennyweight.train.look import Look

_HERE = Path(__file__).parent
_INSIDE = ("network.js", "preparation.js", "draw_inside.js")


def page_file(
    deployed: Deployed, offer: Offer, *, data: str, class_names: Sequence[str], look: Look | None
) -> bytes:
    """The page of `deployed`, of which `offer` tells; it learned from `data` with that `look`.

    ValueError where the names are not one for each class, or a mean or deviation is no number.
    """
    if len(class_names) != deployed.classes:
        raise ValueError(
            f"`class_names` must have {deployed.classes} values, but has {len(class_names)}."
        )
    inside = _in_json(
        {
            "page": {
                "named": offer.name,
                "data": data,
                "classes": list(class_names),
                "shape": deployed.input_shape,
                "models": [vars(offer)],
            },
            "look": look and look.to_json(),
            **_network(deployed),
        }
    )
    return _document(html.escape(f"{data} · Pennyweight"), inside).encode(errors="replace")


def _network(deployed: Deployed) -> dict[str, Any]:
    description, weights = deployed_json(deployed)
    return {"description": description, "weights": _base64(weights)}


def _document(title: str, inside: str) -> str:
    """draw.html with everything that it names in its place."""
    style, answers, page = _read("draw.css"), "\n".join(map(_read, _INSIDE)), _read("draw.js")
    icon = f"data:image/svg+xml;base64,{_base64(_read('draw.svg').encode())}"
    policy = (
        f"default-src 'none'; script-src {_hash(answers)} {_hash(page)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    places = {
        "<title>Draw · Pennyweight</title>": (
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f"<title>{title}</title>"
        ),
        'href="draw.svg"': f'href="{icon}"',
        '<link rel="stylesheet" href="draw.css">': f"<style>{style}</style>",
        # A page on disk can import nothing, so what answers is put together to one script.
        '<script src="draw_server.js" type="module"></script>': (
            f'<script type="application/json" id="inside">{inside}</script>\n'
            f'<script type="module">{answers}</script>'
        ),
        '<script src="draw.js" type="module"></script>': f'<script type="module">{page}</script>',
    }
    document = _read("draw.html")
    assert all(document.count(place) == 1 for place in places), "draw.html has changed"
    return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], document)


def _in_json(value: Any) -> str:
    """JSON in which nothing ends a script element, or begins a comment in it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _hash(text: str) -> str:
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
