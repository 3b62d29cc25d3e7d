"""A bundle verifies itself: what was changed is named, and what computes something else fails."""

import contextlib
import json
import os
import py_compile
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_forms import SMALL, random_network

from pennyweight.arch.errors import UsageError
from pennyweight.results.bundle import pretty, seal, sha256
from pennyweight.results.bundle_reader import read_manifest
from pennyweight.results.export import export_bundle
from pennyweight.results.probe import pack_probe, read_probe
from pennyweight.results.proof import ExportError
from pennyweight.results.verify import verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verified") / "bundle"
    export_bundle(random_network(SMALL), folder, forms=["numpy", "card"])
    return folder


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "bundle")


def probe_of(bundle: Path) -> dict[str, np.ndarray]:
    return read_probe(bundle, read_manifest(bundle), SMALL)


def resealed(bundle: Path, name: str, content: bytes) -> None:
    """Changes a file, and the manifest with it, as one may who wants no one to see it."""
    (bundle / name).write_bytes(content)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": sha256(content)}
    (bundle / "manifest.json").write_bytes(pretty(manifest | {"sha256": seal(manifest)}))


def test_a_whole_bundle_is_as_it_was(bundle: Path) -> None:
    verified = verify(bundle)
    assert verified.files == len(list(bundle.iterdir()))
    assert {name: told["same_class"] for name, told in verified.forms.items()} == {
        "python": 12,
        "numpy": 12,
    }


def test_every_changed_file_is_named(bundle: Path) -> None:
    for path in sorted(bundle.iterdir()):
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        with pytest.raises(UsageError, match=path.name):
            verify(bundle)
        path.write_bytes(before)
    verify(bundle)


def test_a_missing_file_and_one_too_many_are_named(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"\(notes.txt is not part of it\)"):
        verify(bundle)
    (bundle / "notes.txt").unlink()
    (bundle / "README.md").unlink()
    with pytest.raises(UsageError, match=r"\(README.md is missing\)"):
        verify(bundle)


def test_bytecode_beside_the_source_is_neither_refused_nor_run(whole: Path, bundle: Path) -> None:
    (bundle / "model_numpy.py").write_text(
        (bundle / "model_numpy.py").read_text().replace("MEAN, STD =", "STD, MEAN =")
    )
    py_compile.compile(
        str(bundle / "model_numpy.py"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    resealed(bundle, "model_numpy.py", (bundle / "model_numpy.py").read_bytes())
    with pytest.raises(ExportError, match="form numpy must give"):
        verify(bundle)  # so what is wrong in the source is seen
    resealed(bundle, "model_numpy.py", whole.joinpath("model_numpy.py").read_bytes())
    assert (bundle / "__pycache__").is_dir()
    verify(bundle)  # though the bytecode is still wrong


def test_a_number_that_was_changed_in_the_manifest_is_seen(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["validation"]["accuracy"] = 1.0
    (bundle / "manifest.json").write_bytes(pretty(manifest))
    with pytest.raises(UsageError, match=r"manifest.json was changed"):
        verify(bundle)


def test_weights_that_compute_something_else_fail_though_the_hashes_hold(bundle: Path) -> None:
    content = bytearray((bundle / "folded.safetensors").read_bytes())
    content[-2] ^= 0x40  # an exponent of the last weight
    resealed(bundle, "folded.safetensors", bytes(content))
    with pytest.raises(ExportError, match="form numpy must give the network's logits"):
        verify(bundle)


def test_a_damaged_probe_is_refused(bundle: Path) -> None:
    probe = probe_of(bundle)
    for content, why in (
        (b"", "not a zip file"),
        (pack_probe({"images": probe["images"]}), "no pictures or no logits"),
        (pack_probe({"images": probe["images"][:0], "logits": probe["logits"]}), "no pictures"),
        (pack_probe(probe | {"logits": probe["logits"][:3]}), "its logits are"),
        (pack_probe(probe | {"logits": probe["logits"].astype(str)}), "its logits are"),
        (pack_probe(probe | {"images": probe["images"] / 255}), "its images are"),
        (pack_probe(probe | {"images": probe["images"][:, :4]}), "its images are"),
        (pack_probe(probe | {"quantised": probe["logits"][0]}), "its quantised are"),
        (pack_probe({"images": np.array(3, np.uint8), "logits": probe["logits"]}), "TypeError"),
    ):
        resealed(bundle, "probe.npz", content)
        with pytest.raises(UsageError, match=rf"probe\.npz is damaged \(.*{why}"):
            verify(bundle)


def test_a_probe_that_unpacks_to_too_much_is_refused(bundle: Path) -> None:
    with zipfile.ZipFile(bundle / "probe.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("images.npy", bytes(101_000_000))
    resealed(bundle, "probe.npz", (bundle / "probe.npz").read_bytes())
    with pytest.raises(UsageError, match=r"unpacks to more than 100,000,000 bytes"):
        verify(bundle)


def test_a_manifest_may_name_no_file_elsewhere(bundle: Path) -> None:
    (bundle.parent / "secret").write_text("x")
    resealed(bundle, "../secret", b"x")
    with pytest.raises(UsageError, match=r"secret is missing"):
        verify(bundle)


def test_the_probe_is_what_it_says(bundle: Path) -> None:
    probe = probe_of(bundle)
    assert probe["images"].shape == (12, 8, 8, 1)
    assert probe["logits"].dtype == np.float32


def test_a_probe_with_damaged_members_is_refused(bundle: Path) -> None:
    content = bytearray((bundle / "probe.npz").read_bytes())
    for place in range(80, len(content), max(1, len(content) // 40)):
        spoiled = bytearray(content)
        spoiled[place] ^= 0xFF
        resealed(bundle, "probe.npz", bytes(spoiled))
        with contextlib.suppress(UsageError, ExportError):  # or the byte did not matter
            verify(bundle)


def test_what_is_no_plain_file_is_refused_and_not_waited_for(bundle: Path) -> None:
    (bundle / "probe.npz").unlink()
    os.mkfifo(bundle / "probe.npz")
    with pytest.raises(UsageError, match=r"probe\.npz must be a plain file"):
        verify(bundle)
    (bundle / "probe.npz").unlink()
    (bundle / "probe.npz").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match=r"probe\.npz must be a plain file"):
        verify(bundle)


def changed(bundle: Path, **fields: Any) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text()) | fields
    (bundle / "manifest.json").write_bytes(pretty(manifest | {"sha256": seal(manifest)}))


def test_nothing_to_prove_is_no_proof(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    changed(bundle, forms={})
    with pytest.raises(UsageError, match="lacks the form python"):
        verify(bundle)
    changed(bundle, forms=manifest["forms"] | {"c": {"files": ["model.c", "model.h"]}})
    with pytest.raises(UsageError, match="lacks files of the form c"):
        verify(bundle)
    changed(bundle, forms=manifest["forms"] | {"rust": {"files": ["model.py"]}})
    assert verify(bundle).forms["rust"] == {"skipped": "this version does not know the form"}


def test_a_bundle_without_a_seal_is_told_from_a_changed_one(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["sha256"]
    (bundle / "manifest.json").write_bytes(pretty(manifest))
    with pytest.raises(UsageError, match="is of an older version, without a seal"):
        verify(bundle)


def test_a_program_that_ends_early_is_a_form_that_is_wrong(bundle: Path) -> None:
    resealed(bundle, "model_numpy.py", b"raise SystemExit(0)")
    with pytest.raises(ExportError, match=r"model_numpy\.py ends before it has classified"):
        verify(bundle)
