"""Whether a bundle is what it was when it was exported: its files, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle import MANIFEST, seal, sha256
from pennyweight.results.bundle_reader import read_bundle, read_content, read_manifest
from pennyweight.results.form_python import FLAX
from pennyweight.results.forms import FORMS
from pennyweight.results.probe import read_probe
from pennyweight.results.proof import prove


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A bundle whose files are whole, and how each form did on its probe."""

    files: int
    forms: Mapping[str, Mapping[str, Any]]


def verify(folder: Path) -> Verified:
    """Compare every file of the bundle in `folder` with its manifest, then run the proofs.

    Running them runs the code in the bundle. Raises UsageError that names a changed, missing or
    extra file, and ExportError where a form does not give the logits of the probe.
    """
    manifest = read_manifest(folder)
    if "sha256" not in manifest:
        raise UsageError(f"{folder} is of an older version, without a seal: export it again.")
    if manifest["sha256"] != seal(manifest):
        raise UsageError(f"{folder / MANIFEST} was changed: {_AGAIN}")
    _check_files(folder, manifest["files"])
    probe = read_probe(folder, manifest, read_bundle(folder).architecture)
    known = _forms(folder, manifest)
    kinds = {name: FORMS[name].probed for name in known}
    if missing := set(kinds.values()) - set(probe):
        raise UsageError(f"The probe of {folder} lacks {min(missing)}: {_AGAIN}")
    wanted = {name: probe[kind] for name, kind in kinds.items()}
    proofs: dict[str, Mapping[str, Any]] = {**prove(known, folder, probe["images"], wanted)}
    for name in manifest["forms"]:
        proofs.setdefault(name, {"skipped": "this version does not know the form"})
    return Verified(files=len(manifest["files"]) + 1, forms=proofs)


def _forms(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The forms to run; UsageError where one has not all of its files."""
    forms, listed = manifest["forms"], list(manifest["files"])  # a list finds what has no hash
    if FLAX.name not in forms:
        raise UsageError(f"{folder} lacks the form {FLAX.name}, which every bundle has: {_AGAIN}")
    for name, told in forms.items():
        files = told.get("files")
        if not isinstance(files, list) or not files or any(f not in listed for f in files):
            raise UsageError(f"{folder} lacks files of the form {name}: {_AGAIN}")
    return [name for name in forms if name in FORMS]


_AGAIN = "copy the bundle again from where it was whole, or export it again."


def _check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    here = {path.name for path in folder.iterdir()} - {"__pycache__"}  # which pip leaves, unread
    wrong = [f"{name} is missing" for name in sorted(set(listed) - here)]
    wrong += [
        f"{name} was changed"
        for name in sorted(set(listed) & here)
        if sha256(read_content(folder, name)) != listed[name].get("sha256")
    ]
    wrong += [f"{name} is not part of it" for name in sorted(here - set(listed) - {MANIFEST})]
    if wrong:
        raise UsageError(
            f"The bundle {folder} is not what was exported ({', '.join(wrong)}): move away what is "
            f"yours, and {_AGAIN}"
        )
