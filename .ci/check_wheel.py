"""Checks the installed wheel: run it with the Python of an environment that has only the wheel.

Every module imports from what was installed, so each dependency is declared; the command answers.
Only the modules of an extra, which is not there, may lack what it brings.
"""

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

OF_EXTRAS = {"starlette", "uvicorn"}
FOLDERS = ("arch", "train", "results", "search")


def main() -> None:
    installed = Path(sys.prefix).resolve()
    names = [name for folder in FOLDERS for name in module_names(f"pennyweight.{folder}")]
    for name in names:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in OF_EXTRAS:
                continue
            raise
        file = Path(str(module.__file__)).resolve()
        if not file.is_relative_to(installed):
            raise SystemExit(f"{name} must come from {installed}, but was imported from {file}.")
    command = [str(Path(sys.executable).with_name("pennyweight")), "--help"]
    with tempfile.TemporaryDirectory() as elsewhere:
        subprocess.run(command, cwd=elsewhere, check=True, stdout=subprocess.DEVNULL)
    print(f"The wheel works: {len(names)} modules import, and `pennyweight --help` answers.")


def module_names(package: str) -> list[str]:
    """The package and its modules, by dotted name; a module that runs when imported is left out."""
    path = importlib.import_module(package).__path__
    modules = [module.name for module in pkgutil.iter_modules(path) if module.name != "__main__"]
    return [package, *(f"{package}.{module}" for module in modules)]


if __name__ == "__main__":
    main()
