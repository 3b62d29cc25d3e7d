"""Exporting a trained network as a bundle: a folder that classifies pictures without Pennyweight.

A bundle appears only when every form in it has been run and has given what the network gives.
Until then it is in a hidden folder.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle import MANIFEST, make_manifest, sha256
from pennyweight.results.bundle_reader import is_bundle
from pennyweight.results.form import EXTRA
from pennyweight.results.forms import CARD, CARD_FILE, FORMS, pick_forms
from pennyweight.results.probe import PROBE_FILE, pack_probe
from pennyweight.results.proof import prove
from pennyweight.results.trained import Trained


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written into a bundle's folder, and how it was proven."""

    folder: Path
    manifest: Mapping[str, Any]
    seconds: float

    @property
    def forms(self) -> Mapping[str, Mapping[str, Any]]:
        """Of each form its files, and its proof."""
        return self.manifest["forms"]

    def bytes_of(self, form: str) -> int:
        """What the files of a form take together."""
        return sum(self.manifest["files"][name]["bytes"] for name in self.forms[form]["files"])


def export_bundle(
    trained: Trained, folder: Path, *, forms: Sequence[str] = (), force: bool = False
) -> Exported:
    """Write `trained` as the bundle `folder`, in the `forms` named and as Flax source.

    With `force` the folder may hold a bundle already: its files are replaced, and what is not a
    bundle's stays. Raises UsageError where a bundle may not or cannot be written or an extra is
    missing, ExportError when a form is wrong, and ValueError when the facts are about another
    network.
    """
    start = time.perf_counter()
    names = pick_forms(forms)
    try:
        _check_place(folder, force)
        made = {name: _files(name, trained) for name in names if name in FORMS}
        wanted = _wanted(made, trained, trained.checked)
        # In `folder` or above it: on the same disk, so that moving the bundle copies nothing.
        with tempfile.TemporaryDirectory(prefix=".export-", dir=_nearest(folder)) as work:
            bundle = Path(work, "bundle")
            bundle.mkdir()
            files = {name: content for form in made.values() for name, content in form.items()}
            files[PROBE_FILE] = _probe(made, trained)
            told = {name: {"files": sorted(form)} for name, form in made.items()}
            _write(bundle, files, _manifest(trained, files, told))  # which model.py reads
            proofs = prove(made, bundle, trained.checked, wanted, trained.labels)
            told = {name: told[name] | _proven(name, proofs, trained) for name in made}
            manifest = _manifest(trained, files, told)
            if CARD in names:
                from pennyweight.results.model_card import model_card

                shape = trained.architecture.input_shape
                files[CARD_FILE] = model_card(json.loads(manifest), shape).encode()
                manifest = _manifest(trained, files, told)
            _write(bundle, files, manifest)
            _install(bundle, folder)
    except OSError as error:
        raise UsageError(
            f"The bundle {folder} cannot be written: {error.strerror or error}. "
            "Make room there, or name another folder."
        ) from error
    seconds = time.perf_counter() - start
    return Exported(folder=folder, manifest=json.loads(manifest), seconds=seconds)


def _files(name: str, trained: Trained) -> dict[str, bytes]:
    try:
        return FORMS[name].files(trained)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pennyweight"):
            raise
        raise UsageError(
            f"--format {name} needs {error.name}: `pip install 'pennyweight[{EXTRA}]'`."
        ) from error


def _wanted(
    forms: Mapping[str, object], trained: Trained, images: np.ndarray
) -> dict[str, np.ndarray]:
    """The logits of `images` that each form must give."""
    logits = trained.classifier.logits(images)
    exact = all(FORMS[name].exact for name in forms)
    quantised = logits if exact else trained.quantised.logits(images)
    return {name: logits if FORMS[name].exact else quantised for name in forms}


def _proven(name: str, proofs: Mapping[str, Mapping[str, Any]], trained: Trained) -> dict[str, Any]:
    """A form's proof, beside what it is to be compared with."""
    proof = {"on": trained.part, **proofs[name]}
    if not FORMS[name].exact and "accuracy" in proof:
        proof["accuracy_before"] = proofs["python"]["accuracy"]
    if "flash_bytes" in proof:
        costs, exact = cost(trained.architecture), FORMS[name].exact
        weights, maps = costs.weight_bytes, costs.peak_activation_bytes
        proof["cost_weight_bytes"] = weights if exact else trained.quantised.weight_bytes
        proof["cost_activation_bytes"] = maps if exact else maps // 4  # a byte for a float's four
    return proof


def _probe(forms: Mapping[str, object], trained: Trained) -> bytes:
    wanted = _wanted(forms, trained, trained.probe)
    logits = {FORMS[name].probed: wanted[name] for name in forms}
    return pack_probe({"images": trained.probe, **logits})


def _manifest(
    trained: Trained, files: Mapping[str, bytes], forms: Mapping[str, Mapping[str, Any]]
) -> bytes:
    return make_manifest(trained.architecture, trained.facts, files=files, forms=forms)


def _write(bundle: Path, files: Mapping[str, bytes], manifest: bytes) -> None:
    for name, content in {**files, MANIFEST: manifest}.items():
        (bundle / name).write_bytes(content)


def _check_place(folder: Path, force: bool) -> None:
    """Raise UsageError where there is anything that we may not replace."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"A bundle is a folder, but {folder} is a file: name another.")
    if not any(folder.iterdir()):
        return
    if not is_bundle(folder):
        raise UsageError(
            f"A bundle needs a new or empty folder, but {folder} holds something else: "
            "name another."
        )
    if not force:
        raise UsageError(
            f"A bundle needs a new or empty folder, but {folder} holds a bundle: name another, "
            "or replace it with --force (in Python, force=True)."
        )


def _nearest(folder: Path) -> Path:
    """`folder`, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _install(bundle: Path, folder: Path) -> None:
    """Move the verified `bundle` to where it was asked for."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        bundle.rename(folder)
        return
    before = _listed(folder)
    # File by file, as the user may be in that folder; the manifest, with the others' hashes, last.
    for path in sorted(bundle.iterdir(), key=lambda path: path.name == MANIFEST):
        path.replace(folder / path.name)
        before.discard(path.name)
    for name in before:  # forms that are no longer there
        (folder / name).unlink(missing_ok=True)


def _listed(folder: Path) -> set[str]:
    """The files in `folder` that are as the manifest of the bundle there lists them.

    What only has a listed name may be somebody's own.
    """
    if not is_bundle(folder):
        return set()
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("files")
    listed = {
        name: file.get("sha256")
        for name, file in (files if isinstance(files, dict) else {}).items()
        if isinstance(file, dict)
    }
    plain = [path for path in folder.iterdir() if path.is_file() and path.name in listed]
    return {path.name for path in plain if sha256(path.read_bytes()) == listed[path.name]}
