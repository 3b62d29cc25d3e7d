"""Networks that come trained: bundles inside of the package, `pretrained:NAME` wherever MODEL is.

`benchmarks/pretrained.py` makes them of the records of what was found.
"""

import json
from pathlib import Path

from pennyweight.arch.errors import UsageError, close_names, shown
from pennyweight.results.bundle import MANIFEST

RESERVED = "pretrained"  # is no study's name
PREFIX = f"{RESERVED}:"

_FOLDER = Path(__file__).with_name("pretrained")


def pretrained_names() -> list[str]:
    """What may follow `pretrained:`, by data and then from the smallest network to the largest."""
    return sorted((path.parent.name for path in _FOLDER.glob(f"*/{MANIFEST}")), key=_place)


def pretrained_folder(model: str) -> Path | None:
    """The bundle that the MODEL `pretrained:NAME` is; None for any other MODEL.

    Raises UsageError, with close names, where nothing of that name comes with the package.
    """
    prefix, _, name = model.partition(":")
    if prefix != RESERVED:
        return None
    names = pretrained_names()
    if name not in names:
        hint = close_names(name, names)
        raise UsageError(f"There is no pretrained network {shown(name)}: {hint}")
    return _FOLDER / name


def pretrained_beside(model: str) -> list[str]:
    """Each MODEL that learned from the same data as `pretrained:NAME`, itself included."""
    data = _place(model.removeprefix(PREFIX))[0]
    return [f"{PREFIX}{name}" for name in pretrained_names() if _place(name)[0] == data]


def _place(name: str) -> tuple[str, int]:
    manifest = json.loads((_FOLDER / name / MANIFEST).read_text(encoding="utf-8"))
    return manifest["data"]["name"], manifest["cost"]["params"]
