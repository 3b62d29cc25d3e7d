"""Imports flow one way, and what the command line needs for flags and tables stays light."""

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOW = ("arch", "train", "results", "search")  # each may import itself and those before it
FILES = {str(file.relative_to(ROOT)): file for name in FLOW for file in (ROOT / name).rglob("*.py")}
OTHERS = [file for name in ("tests", "benchmarks") for file in (ROOT / name).rglob("*.py")]
MODULES = [
    f"pennyweight.{name}.{module.name}"
    for name in FLOW
    for module in pkgutil.iter_modules([str(ROOT / name)])
    if module.name != "__main__"
]

HEAVY = (
    *("jax", "flax", "optax", "optuna", "sklearn", "tensorflow_datasets", "tensorflow"),
    *("plotly", "jinja2", "matplotlib"),
)
LIGHT = {
    "pennyweight.arch": HEAVY,
    "pennyweight.train": HEAVY,
    "pennyweight.results": HEAVY,
    "pennyweight.search": HEAVY,
    "pennyweight.train.data": HEAVY,
    "pennyweight.train.door": HEAVY,
    "pennyweight.results.records": (*HEAVY, "numpy"),
    "pennyweight.results.leaderboard": (*HEAVY, "numpy"),
    "pennyweight.search.cli": HEAVY,
}


@pytest.mark.parametrize("file", FILES)
def test_imports_flow_one_way(file: str) -> None:
    place = FLOW.index(Path(file).parts[0])
    against = [
        name
        for name in named_modules(FILES[file])
        if name.startswith("pennyweight.") and FLOW.index(name.split(".")[1]) > place
    ]
    assert not against, f"{file} imports against the flow {' <- '.join(FLOW)}: {against}"


def test_no_file_imports_a_folder_by_its_own_name() -> None:
    """`search` and `pennyweight.search` would be two modules, with two of every class.

    So would `strategies` and `tests.strategies`: pytest puts tests/ on the path, not its parent.
    """
    own_names = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in [*FILES.values(), *OTHERS]
        for name in named_modules(file)
        if name.split(".")[0] in (*FLOW, "tests")
    }
    assert not own_names


def test_a_file_is_never_loaded_under_two_names() -> None:
    for module in MODULES:
        importlib.import_module(module)
    names_by_file: dict[Path, list[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve() in FILES.values():
            names_by_file.setdefault(Path(file).resolve(), []).append(name)
    assert len(names_by_file) >= len(MODULES)
    assert [names for names in names_by_file.values() if len(names) > 1] == []


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert sorted(set(LIGHT[module]) & set(run.stdout.split())) == []


@pytest.mark.parametrize("package", [f"pennyweight.{name}" for name in FLOW])
def test_every_exported_name_exists(package: str) -> None:
    module = importlib.import_module(package)
    missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
    assert not missing


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_every_distribution_that_is_imported_is_declared() -> None:
    """A dependency's dependency may be gone with its next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    users = [name for name in extras if name != "dev"]
    requirements = [*project["dependencies"], *(line for name in users for line in extras[name])]
    declared = {plain(requirement) for requirement in requirements}
    owners = packages_distributions()
    imported = {name.split(".")[0] for file in FILES.values() for name in named_modules(file)}
    for name in sorted(imported - sys.stdlib_module_names - {"pennyweight"}):
        owned_by = {plain(owner) for owner in owners.get(name, [name])}
        assert owned_by & declared, f"{name} is imported, but {owned_by} is not declared"


def named_modules(file: Path) -> Iterator[str]:
    """The modules a file names: in imports, wherever they stand, and in strings (lazy exports)."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module="pennyweight", names=aliases):
                yield from (f"pennyweight.{alias.name}" for alias in aliases)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Constant(value=str(text)) if re.fullmatch(r"pennyweight(\.\w+)+", text):
                yield text


def plain(requirement: str) -> str:
    """A distribution's name, as the registry compares names: `Scikit_learn>=1` is scikit-learn."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()
