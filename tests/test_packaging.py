"""A wheel holds the files of the four folders and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("arch", "train", "results", "search")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what packaging reads: building in the repository would leave files behind in it."""
    copy = tmp_path / "tree"
    unwanted = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    return copy


def test_the_wheel_holds_every_file_of_the_folders_and_nothing_else(tree: Path) -> None:
    build(tree, "--wheel", "--no-isolation")
    assert packaged(tree / "dist") == expected()


@pytest.mark.extended
def test_a_wheel_from_the_source_distribution_is_the_same(tree: Path) -> None:
    """In isolation, so the requirements of the build are complete (they come from the registry)."""
    build(tree)
    assert packaged(tree / "dist") == expected()


def expected() -> set[str]:
    """Every file of the folders, those of a subfolder too: the wheel would miss it.

    Records of what was found are for readers of the repository.
    """
    found = (file for name in FOLDERS for file in (ROOT / name).rglob("*") if file.is_file())
    found = (file for file in found if file.parent != ROOT / "results" / "records")
    files = (file.relative_to(ROOT) for file in found)
    return {f"pennyweight/{file}" for file in files if "__pycache__" not in file.parts}


def packaged(folder: Path) -> set[str]:
    """The files of the one wheel in a folder, less its metadata."""
    (wheel,) = folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if ".dist-info/" not in name}


def build(tree: Path, *options: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "build", *options], cwd=tree, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
