"""A record that a benchmark of hours writes as it goes, and goes on from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from machine import origin

from pennyweight.results.folder import write_whole


def known_rows(out: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the record at `out`; SystemExit where it is of other settings."""
    if not out.exists():
        return []
    known = json.loads(out.read_text())
    if any(known.get(name) != value for name, value in settings.items()):
        what = settings["benchmark"]
        sys.exit(f"{out} holds {what} of other settings: move it away, or write elsewhere.")
    return known["rows"]


def keep(out: Path, settings: dict[str, Any], rows: list[dict[str, Any]], **more: Any) -> None:
    """Write the record with these `rows`, whole or not at all."""
    record = {**settings, "rows": rows, **more, **origin()}
    write_whole(out, (json.dumps(record, indent=1) + "\n").encode())
