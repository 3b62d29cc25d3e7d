"""Every form that a network is exported in.

A form is proven by running its files, as a stranger would, on the same pictures as the network.
"""

from __future__ import annotations

from collections.abc import Iterable

from pennyweight.arch.errors import UsageError, close_names
from pennyweight.results.form_c import C_INT8, C
from pennyweight.results.form_html import HTML
from pennyweight.results.form_onnx import ONNX, ONNX_INT8
from pennyweight.results.form_python import FLAX, NUMPY
from pennyweight.results.form_stablehlo import STABLEHLO

FORMS = {form.name: form for form in (FLAX, NUMPY, STABLEHLO, ONNX, ONNX_INT8, C, C_INT8, HTML)}
"""By the name that `--format` takes."""

CARD = "card"  # made of what the manifest says of the forms
CARD_FILE = "README.md"


def pick_forms(names: Iterable[str]) -> tuple[str, ...]:
    """The forms named, `python` always among them; UsageError for another name.

    >>> pick_forms(["onnx", "card"])
    ('python', 'onnx', 'card')
    """
    choices = (*FORMS, CARD)
    wanted = {FLAX.name, *names}
    for name in sorted(wanted - {"all", *choices}):
        near = close_names(name[:60], ("all", *choices))
        raise UsageError(f"No form of export is called {name[:60]!r}: {near}")
    return tuple(name for name in choices if name in wanted or "all" in wanted)
