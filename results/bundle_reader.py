"""Reading a bundle back: every file is compared with the manifest before anything in it is used."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import LARGEST_IN_BUNDLE, LARGEST_JSON
from pennyweight.results.bundle import FORMAT, MANIFEST, VERSION, Facts, sha256

if TYPE_CHECKING:
    from pennyweight.arch.network import Tree


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle's network, and what its manifest tells."""

    architecture: Architecture
    params: Tree
    statistics: Tree
    manifest: Mapping[str, Any]
    facts: Facts


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`; UsageError where it is none, or damaged, or of a newer version."""
    manifest = read_manifest(folder)
    names = ("architecture.json", "weights.safetensors")
    contents = {name: read_listed(folder, manifest, name) for name in names}
    described = _json(contents["architecture.json"], folder / "architecture.json")
    architecture = Architecture.from_json(described)
    weights = _arrays(contents["weights.safetensors"], architecture)
    return Bundle(architecture, *weights, manifest, _facts(folder, manifest, architecture))


def read_listed(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """The content of a file of the bundle; UsageError where it is not what the manifest lists."""
    content = read_content(folder, name)
    if sha256(content) != manifest["files"].get(name, {}).get("sha256"):
        raise UsageError(
            f"{folder / name} is not what {MANIFEST} says it is: export the network again."
        )
    return content


def is_bundle(folder: Path) -> bool:
    """Whether the manifest in `folder` is a bundle's, of whatever version."""
    try:
        manifest = _json(read_content(folder, MANIFEST), folder / MANIFEST)
    except UsageError:
        return False
    return isinstance(manifest, dict) and str(manifest.get("format")).startswith(FORMAT)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the bundle in `folder`, with its `files` and `forms`."""
    manifest = _json(read_content(folder, MANIFEST), folder / MANIFEST)
    if not isinstance(manifest, dict) or not str(manifest.get("format")).startswith(FORMAT):
        raise UsageError(f"{folder} is no bundle: name the folder that `export` wrote.")
    if manifest["format"] != f"{FORMAT}{VERSION}":
        raise UsageError(
            f"{folder} is of the form {manifest['format']}, and this version reads "
            f"{FORMAT}{VERSION}: install a newer pennyweight."
        )
    for name in ("files", "forms"):
        parts = manifest.setdefault(name, {})
        whole = isinstance(parts, dict) and all(isinstance(part, dict) for part in parts.values())
        if not whole:
            raise UsageError(
                f"The manifest of {folder} lacks what a bundle's has ({name}): export it again."
            )
    return manifest


def _facts(folder: Path, manifest: Mapping[str, Any], architecture: Architecture) -> Facts:
    try:
        facts = Facts.from_json(manifest)
        facts.check(architecture)
    except UsageError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"The manifest of {folder} lacks what a bundle's has ({error}): export it again."
        ) from error
    return facts


def _arrays(content: bytes, architecture: Architecture) -> tuple[Tree, Tree]:
    """(params, statistics) of exactly the shapes that the network has."""
    try:
        found = load(content)
    except SafetensorError as error:
        raise UsageError(f"The bundle's weights are damaged: {error}.") from None
    params: Tree = {}
    statistics: Tree = {}
    for placed in architecture.flat():
        for name, weight in placed.weights().items():
            array = found.pop(f"{placed.name}.{name}", np.zeros(0))
            if array.shape != weight.shape or array.dtype != np.float32:
                raise UsageError(
                    f"The bundle's weights do not fit its network at {placed.name}.{name}: "
                    "export the network again."
                )
            tree = params if weight.trained else statistics
            tree.setdefault(placed.name, {})[name] = array
    if found:
        raise UsageError(f"The bundle's weights hold {min(found)}, which its network has not.")
    return params, statistics


def read_content(folder: Path, name: str) -> bytes:
    """The content of a file of the bundle; UsageError where it cannot be read or is too large."""
    try:
        if not stat.S_ISREG((folder / name).lstat().st_mode):  # a pipe would be waited for
            raise UsageError(f"{folder / name} must be a plain file: name another bundle.")
        largest = LARGEST_JSON if name.endswith(".json") else LARGEST_IN_BUNDLE
        with (folder / name).open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise UsageError(
            f"The bundle {folder} lacks {name} ({error.strerror}): name a folder that `export` "
            "wrote."
        ) from error
    if len(content) > largest:
        raise UsageError(f"{folder / name} must have at most {largest:,} bytes.")
    return content


def _json(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content.decode(), parse_constant=_refused)
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is no JSON: export the network again.") from None


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number")
