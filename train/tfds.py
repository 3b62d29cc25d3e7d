"""Finds prepared TFDS data sets by name; says what to do about one that is not there."""

import difflib
import os
import re
from pathlib import Path

from pennyweight.arch.errors import UsageError, close_names
from pennyweight.train.prepared import PreparedSet, describe_folder, how_to_prepare

VERSION = re.compile(r"\d+\.\d+\.\d+")  # `3.0.1.incomplete…` is a preparation that was interrupted
NAME = re.compile(r"\w+(/[\w.+-]+)?")  # a data set, or one of its configurations: emnist/letters


def data_folder() -> Path:
    """Where prepared data sets are: `$TFDS_DATA_DIR`, or where TFDS itself puts them."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_names() -> list[str]:
    """The data sets prepared here, in any format: `name` or `name/configuration`."""
    root = data_folder()
    candidates = [c for folder in _folders(root) for c in (folder, *_folders(folder))]
    return [c.relative_to(root).as_posix() for c in candidates if _newest_version(c)]


def find_prepared(name: str) -> PreparedSet:
    """The newest prepared version of `name`, found and described in milliseconds.

    Raises `UsageError`, within a second or so and without a network, where there is none.
    """
    folder = _newest_version(data_folder() / name) if NAME.fullmatch(name) else None
    if folder is None:
        raise UsageError(_why_missing(name))
    return describe_folder(name, folder)


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir())
    except OSError:  # missing or not readable: nothing is prepared there
        return []


def _newest_version(folder: Path) -> Path | None:
    versions = [
        path
        for path in _folders(folder)
        if VERSION.fullmatch(path.name) and (path / "dataset_info.json").is_file()
    ]
    return max(versions, key=lambda path: tuple(map(int, path.name.split("."))), default=None)


def _why_missing(name: str) -> str:
    prepared = prepared_names()
    configurations = [n for n in prepared if n.startswith(f"{name}/")]
    if configurations:
        return f"The data set {name} has configurations: name one, {' or '.join(configurations)}."
    registered = _registered_names()
    if NAME.fullmatch(name) and name.split("/")[0] in registered:
        return (
            f"The data set {name} is not prepared in {data_folder()}: set TFDS_DATA_DIR to the "
            f"folder it is prepared in, or prepare it, {how_to_prepare(name)}."
        )
    here = ["digits", *prepared]
    near = difflib.get_close_matches(name.lower(), {*here, *registered}, n=3)
    return (
        f"There is no data set {name!r}: {close_names(name.lower(), near or here)} "
        f"(Looked in {data_folder()}, see TFDS_DATA_DIR.)"
    )


def _registered_names() -> list[str]:
    """All names that TFDS can prepare."""
    import tensorflow_datasets as tfds  # this and the list: 0.8 s, paid only on the way to an error

    return tfds.list_builders(with_community_datasets=False)  # the others need a network
