"""The command `report`, but for its flags: what it writes, and where it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pennyweight.arch.errors import UsageError
from pennyweight.results.folder import refusal, write_whole
from pennyweight.results.store import Store
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.device import stay_on_cpu
from pennyweight.search.output import busy


def check_places(out: Path | None, png: Path | None) -> None:
    """Raise UsageError where a report, or its pictures, cannot be."""
    if out and (out.suffix not in (".html", ".htm") or out.is_dir() or not out.parent.is_dir()):
        raise UsageError(f"--out must be a .html file in a folder that exists, but got {out}.")
    if png and (not png.parent.is_dir() or (png.exists() and not png.is_dir())):
        raise UsageError(
            f"--png must be a folder, new or there already, in one that exists, but got {png}."
        )


def write_report(store: Store, study: StudyRecords, out: Path, png: Path | None) -> Iterator[Path]:
    """Write the page, and with `png` its pictures; each file when it is there.

    Raises UsageError where the disk refuses one.
    """
    stay_on_cpu()
    from pennyweight.results.report import collect
    from pennyweight.results.report_page import render
    from pennyweight.search.importances import importances

    with busy("looking at the study"):
        report = collect(store, study, importances(study))
        page = render(report).encode(errors="backslashreplace")
    yield _written(out, page)
    if png:
        from pennyweight.results.report_pictures import pictures

        for name, picture in pictures(report):
            yield _written(png / name, picture)


def _written(path: Path, content: bytes) -> Path:
    try:
        write_whole(path, content)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({refusal(error) or error.strerror}): make room or make "
            "its folder writable, or choose another --out."
        ) from error
    return path
