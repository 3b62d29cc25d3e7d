"""How a form of an exported network is proven: run on pictures, and compared with the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pennyweight.arch.errors import RunError, in_a_line
from pennyweight.results.form import Form, Unavailable
from pennyweight.results.forms import FORMS
from pennyweight.train.cores import core_count

TOLERANCE = 1e-4  # absolute, of a logit
STRAYS = 0.01  # share of pictures whose class may differ in a quantised form: it rounds differently


class ExportError(RunError):
    """A form does not compute what the network does; the message says how."""


def prove(
    names: Iterable[str],
    folder: Path,
    images: np.ndarray,
    wanted: Mapping[str, np.ndarray],
    labels: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """What the manifest says of each form's proof: on how many pictures, and how close.

    `wanted` holds the logits (n, classes) that each form must give; where `labels` are known, it
    also says how accurate the form is. Where its proof needs what is not on this machine it says
    `skipped`, and why. Raises ExportError for a form that is wrong.
    """
    names = list(names)
    with ThreadPoolExecutor(core_count()) as pool:  # most wait for a process of their own
        proofs = {
            name: pool.submit(_proof, FORMS[name], folder, images, wanted[name], labels)
            for name in reversed(names)  # the slowest come last, and begin first
        }
        return {name: proofs[name].result() for name in names}


def _proof(
    form: Form, folder: Path, images: np.ndarray, wanted: np.ndarray, labels: np.ndarray | None
) -> dict[str, Any]:
    try:
        logits, details = _ran(form, folder, images, wanted.shape)
    except Unavailable as missing:
        return {"skipped": str(missing)}
    differences = np.abs(logits - wanted).max(axis=1)
    found = logits.argmax(axis=1)
    same = found == wanted.argmax(axis=1)
    if form.exact:
        _check_exact(form, differences, same)
    else:
        _check_quantised(form, differences, same, wanted)
    return {
        "pictures": len(images),
        "largest_difference": float(differences.max()),
        "same_class": int(same.sum()),
        **({} if labels is None else {"accuracy": float((found == labels).mean())}),
        **details,
    }


def _ran(
    form: Form, folder: Path, images: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, Mapping[str, Any]]:
    """The logits that the form's files give, and what there is to tell of running them."""
    try:
        ran = form.run(folder, images)
        logits = np.asarray(ran.logits, np.float32)
    except RunError as error:
        raise ExportError(str(error)) from error
    except (OSError, ValueError, TypeError) as error:
        raise ExportError(f"The form {form.name} cannot be run: {in_a_line(error)}") from error
    if logits.shape != shape:
        raise ExportError(f"The form {form.name} gives logits of {logits.shape}, not of {shape}.")
    return logits, ran.details


def _check_quantised(
    form: Form, differences: np.ndarray, same: np.ndarray, wanted: np.ndarray
) -> None:
    if (~same).mean() > STRAYS:
        raise ExportError(
            f"The form {form.name} must name the classes that the quantised network does, but "
            f"{(~same).sum()} of {len(same)} differ."
        )
    most = (form.apart or 0) * float(wanted.std())
    if not (apart := float(differences.mean())) <= most:  # nor may it be NaN
        raise ExportError(
            f"The logits of the form {form.name} must lie within {most:.3g} of the quantised "
            f"network's on average, but lie {apart:.3g} apart."
        )


def _check_exact(form: Form, differences: np.ndarray, same: np.ndarray) -> None:
    largest = float(differences.max())
    if not largest <= TOLERANCE:  # nor may it be NaN
        raise ExportError(
            f"The exported form {form.name} must give the network's logits to {TOLERANCE:g}, but "
            f"one of picture {differences.argmax()} (of {len(same)}) differs by {largest:.3g}."
        )
    if not same.all():
        raise ExportError(
            f"The exported form {form.name} must name the class that the network names, but for "
            f"picture {np.flatnonzero(~same)[0]} (of {len(same)}) it names another."
        )
