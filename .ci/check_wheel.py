"""Checks the installed wheel: run it with the Python of an environment that has only the wheel.

Every module imports from what was installed, so each dependency is declared; the command answers,
and a network that comes trained classifies a picture.
Only the modules of an extra, which is not there, may lack what it brings.
"""

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

OF_EXTRAS = {"dask", "distributed", "psycopg", "starlette", "uvicorn"}
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
    command = str(Path(sys.executable).with_name("pennyweight"))
    with tempfile.TemporaryDirectory() as elsewhere:
        draw_a_one(Path(elsewhere, "one.png"))
        for words in (["--help"], ["predict", "pretrained:digits", "one.png"]):
            ran = subprocess.run([command, *words], cwd=elsewhere, check=True, capture_output=True)
    if not ran.stdout.startswith(b"one.png: 1 "):
        raise SystemExit(f"A drawn 1 must be taken for one, but: {ran.stdout.decode()}")
    print(
        f"The wheel works: {len(names)} modules import, `pennyweight --help` answers, and a "
        "pretrained network reads a digit."
    )


def draw_a_one(path: Path) -> None:
    """White on black, with a flag, as large as the frame."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (80, 80), 0)
    ImageDraw.Draw(picture).line([(30, 22), (42, 8), (42, 72)], fill=255, width=9)
    picture.save(path)


def module_names(package: str) -> list[str]:
    """The package and its modules, by dotted name; a module that runs when imported is left out."""
    path = importlib.import_module(package).__path__
    modules = [module.name for module in pkgutil.iter_modules(path) if module.name != "__main__"]
    return [package, *(f"{package}.{module}" for module in modules)]


if __name__ == "__main__":
    main()
