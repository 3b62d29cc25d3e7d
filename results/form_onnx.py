"""The form for whatever runs ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.arch.errors import RunError
from pennyweight.results.form import EXTRA, Form, Ran, Unavailable

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.results.trained import Trained


def _files(trained: Trained) -> dict[str, bytes]:
    from pennyweight.results.onnx_file import onnx_file

    content = onnx_file(
        trained.deployed,
        notation=trained.architecture.notation,
        class_names=trained.facts.class_names,
    )
    return {"model.onnx": content}


def _int8_files(trained: Trained) -> dict[str, bytes]:
    from pennyweight.results.onnx_int8_file import onnx_int8_file

    content = onnx_int8_file(
        trained.quantised,
        notation=trained.architecture.notation,
        class_names=trained.facts.class_names,
    )
    return {"model_int8.onnx": content}


def _in_onnxruntime(path: Path, images: np.ndarray) -> Ran:
    """What onnxruntime makes of `images`; Unavailable where it is not installed."""
    import numpy as np

    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise Unavailable(f"no onnxruntime: pip install 'pennyweight[{EXTRA}]'") from None
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        parts = range(0, len(images), 256)
        runs = [session.run(None, {"pictures": images[i : i + 256]}) for i in parts]
        logits = np.concatenate([np.asarray(logits) for (logits,) in runs])
    except Exception as error:  # onnxruntime has a class for each kind of trouble
        raise RunError(f"onnxruntime refuses {path.name}: {error}") from error
    return Ran(logits, {"onnxruntime": onnxruntime.__version__})


def _example(file: str) -> str:
    return f"""\
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
(logits,) = session.run(None, {{"pictures": pictures}})"""


ONNX = Form(
    name="onnx",
    what="ONNX",
    needs="an ONNX runtime",
    use=_example("model.onnx"),
    files=_files,
    run=lambda folder, images: _in_onnxruntime(folder / "model.onnx", images),
)

ONNX_INT8 = Form(
    name="onnx-int8",
    what="ONNX in 8-bit integers",
    needs="an ONNX runtime",
    use=_example("model_int8.onnx"),
    files=_int8_files,
    run=lambda folder, images: _in_onnxruntime(folder / "model_int8.onnx", images),
    apart=0.1,  # a runtime may round halves otherwise, and sum in float
)
