"""The corpus by parts, each for a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import corpus_bundles
import corpus_data
import corpus_flags
import corpus_networks
import corpus_pictures
import corpus_studies
from corpus import Case

PARTS: dict[str, Callable[[Path], list[Case]]] = {
    "networks": corpus_networks.cases,
    "studies": corpus_studies.cases,
    "bundles": corpus_bundles.cases,
    "data": corpus_data.cases,
    "flags": corpus_flags.cases,
    "pictures": corpus_pictures.cases,
}
