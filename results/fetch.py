"""A study copied from a database into a folder, as it would be had it been made there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import LiteralString

from pennyweight.arch.errors import UsageError, shown
from pennyweight.results.database import Database, reason
from pennyweight.results.folder import StudyFolder
from pennyweight.results.studies import load_study

_OF = "JOIN pennyweight_studies AS s USING (study) WHERE s.name = %s"
_LINES: dict[str, LiteralString] = {
    "records.jsonl": f"SELECT line FROM pennyweight_records {_OF} ORDER BY number",
    "test-readings.jsonl": f"SELECT line FROM pennyweight_readings {_OF} ORDER BY number",
}
_FILES: LiteralString = f"SELECT f.name, content FROM pennyweight_files AS f {_OF}"
_NAME = re.compile(r"([a-z]+/[0-9-]+|start)\.safetensors")  # whoever wrote it, it stays inside


def fetch(database: Database, name: str) -> StudyFolder:
    """Copy the study called `name`, as it is at one moment, among the studies of the folder.

    Optuna's database is not copied: who goes on with the study makes it anew from the records.
    Raises UsageError where there is no such study, the copy exists, or it cannot be written.
    """
    load_study(database, name)  # refused where it is damaged, before anything is written
    copy = database.folder / Path(name).name
    if copy.exists():
        raise UsageError(f"{copy} exists: remove it, or choose another --runs for the copy.")
    unfinished = copy.with_name(f".{name}.fetched")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        _write(database, name, unfinished)
        unfinished.rename(copy)
    except OSError as error:
        raise UsageError(
            f"{copy} cannot be written ({error.strerror or error}): make room or make it writable, "
            "or choose another --runs."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return StudyFolder(copy)


def _write(database: Database, name: str, folder: Path) -> None:
    import psycopg

    folder.mkdir(parents=True)
    connection = database.opened()
    assert connection is not None, "the study was found in it"
    try:
        with connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for file, query in _LINES.items():
                lines = [line for (line,) in connection.execute(query, [name])]
                if lines:
                    (folder / file).write_text("".join(f"{line}\n" for line in lines))
            with connection.cursor("files") as files:
                files.itersize = 10  # not all in memory
                for file, content in files.execute(_FILES, [name]):
                    if not _NAME.fullmatch(file):
                        raise UsageError(f"{database} has a file of no study: {shown(file)}.")
                    path = folder / file
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(content)
    except psycopg.Error as error:
        raise UsageError(f"{database} cannot be read ({reason(error)}): see to that.") from None
