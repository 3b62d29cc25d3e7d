"""Forms in Python: Flax source, which every bundle has, and the folded twin in NumPy alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.results.form import Form, Ran
from pennyweight.results.fresh_process import fresh_logits

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.trained import Trained


def _flax_files(trained: Trained) -> dict[str, bytes]:
    import numpy as np
    from safetensors.numpy import save

    from pennyweight.results.bundle import pretty
    from pennyweight.results.model_source import model_source

    weights = {
        f"{layer}.{name}": np.asarray(array, np.float32, order="C")
        for tree in (trained.params, trained.statistics)
        for layer, arrays in tree.items()
        for name, array in arrays.items()
    }
    return {
        "architecture.json": pretty(trained.architecture.to_json()),
        "weights.safetensors": save(weights),
        "model.py": model_source(trained.architecture).encode(),
    }


def _numpy_files(trained: Trained) -> dict[str, bytes]:
    import numpy as np
    from safetensors.numpy import save

    from pennyweight.results.numpy_source import WEIGHTS, numpy_source

    arrays = trained.deployed.arrays()
    content = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    source = numpy_source(trained.deployed, trained.architecture.notation)
    return {"model_numpy.py": source.encode(), WEIGHTS: save(content)}


def _run(module: str, folder: Path, images: np.ndarray) -> Ran:
    program = f"import {module}; logits = {module}.load(folder)(images)"
    return Ran(fresh_logits(f"{module}.py", program, folder, images))


FLAX = Form(
    name="python",
    what="Flax source and weights",
    needs="jax, flax, numpy, safetensors, Pillow",
    use="""\
import model

logits = model.load(".")(pictures)""",
    files=_flax_files,
    run=lambda folder, images: _run("model", folder, images),
)

NUMPY = Form(
    name="numpy",
    what="BatchNorm folded, in NumPy",
    needs="numpy, safetensors",
    use="""\
import model_numpy

logits = model_numpy.load(".")(pictures)""",
    files=_numpy_files,
    run=lambda folder, images: _run("model_numpy", folder, images),
)
