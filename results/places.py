"""Where studies are: the folder of all studies, or a database."""

from __future__ import annotations

from pathlib import Path

from pennyweight.results.database import Database
from pennyweight.results.folder import StudyFolder
from pennyweight.results.store import Store

Place = Path | Database
"""A folder that has a folder for each study, or a database."""


def place_of(runs: Path, storage: str | None) -> Place:
    """Where `--runs` and `--storage` say that studies are; UsageError for a URL that is none."""
    return runs if storage is None else Database(storage, runs)


def store_in(place: Place, name: str) -> Store:
    """The study called `name`, whether it is there or not yet."""
    if isinstance(place, Path):
        return StudyFolder(place / name)
    from pennyweight.results.database_store import StudyInDatabase

    return StudyInDatabase(place, name)


def study_names(place: Place) -> list[str]:
    """The studies there, sorted."""
    if isinstance(place, Path):
        return sorted(path.parent.name for path in place.glob("*/records.jsonl"))
    return place.study_names()


def folder_of(place: Place, name: str) -> Path:
    """Where what is made of a study goes, such as its report: never into a database."""
    return (place if isinstance(place, Path) else place.folder) / name
