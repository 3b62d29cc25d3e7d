"""The form for whatever runs StableHLO: JAX on a CPU, a GPU or a TPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.results.form import EXTRA, Form, Ran, Unavailable
from pennyweight.results.fresh_process import fresh_logits

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.trained import Trained

_FILE = "model.stablehlo"

_CALL = f"""
from pathlib import Path
from jax import export

network = export.deserialize(bytearray(Path(folder, "{_FILE}").read_bytes()))
parts = range(0, len(images), 256)
logits = np.concatenate([np.asarray(network.call(images[i : i + 256])) for i in parts])
"""


def _files(trained: Trained) -> dict[str, bytes]:
    import flatbuffers  # noqa: F401 (JAX serialises with it, and says so late)

    from pennyweight.results.stablehlo_file import stablehlo_file

    return {_FILE: stablehlo_file(trained.deployed)}


def _run(folder: Path, images: np.ndarray) -> Ran:
    if find_spec("flatbuffers") is None:
        raise Unavailable(f"no flatbuffers: pip install 'pennyweight[{EXTRA}]'")
    return Ran(fresh_logits(_FILE, _CALL, folder, images))


STABLEHLO = Form(
    name="stablehlo",
    what="StableHLO, for JAX on a CPU, a GPU or a TPU",
    needs="jax, flatbuffers",
    use=f"""\
from pathlib import Path
from jax import export

network = export.deserialize(bytearray(Path("{_FILE}").read_bytes()))
logits = network.call(pictures)""",
    files=_files,
    run=_run,
)
