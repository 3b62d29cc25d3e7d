"""What an export or a verification tells: a line for each form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pennyweight.results.forms import FORMS

if TYPE_CHECKING:
    from rich.table import Table


def forms_table(
    forms: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int] | None = None
) -> Table:
    """A table of proven `forms`, with the bytes of each where `sizes` tells them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=Text("\n".join(_notes(forms)), style="not italic not dim"),
        caption_justify="left",
    )
    rows = {name: {} if sizes is None else {"bytes": f"{sizes[name]:,}"} for name in forms}
    for name, told in forms.items():
        rows[name] |= _cells(name, told)
    table.add_column("form", no_wrap=True)
    headings = dict.fromkeys(heading for row in rows.values() for heading in row)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(row.get(heading, "") for heading in headings))
    return table


def _cells(name: str, told: Mapping[str, Any]) -> dict[str, str]:
    """What there is to say of a form, by heading."""
    if "skipped" in told:
        return {"same class": "skipped"}
    cells = {"same class": f"{told['same_class']:,}/{told['pictures']:,}"}
    if FORMS[name].exact:
        cells["within"] = f"{told['largest_difference']:.0e}"
    if "accuracy" in told:
        cells["right"] = f"{told['accuracy']:.2%}"
    for heading, size in (("flash", "flash_bytes"), ("RAM", "ram_bytes")):
        if size in told:
            cells[heading] = f"{told[size]:,}"
    return cells


def _notes(forms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "Same class: as the network says; within: how far a logit is from its own."
    if not all(FORMS[name].exact for name in forms if name in FORMS):
        yield "Forms in 8 bits are compared with their own arithmetic in NumPy."
    for name, told in forms.items():
        if "skipped" in told:
            yield f"{name} was not run: {told['skipped']}"
    told = forms.get("c", {})
    if "flash_bytes" in told:
        yield f"Flash and RAM in bytes, compiled for {told.get('target', 'this machine')}."
    if "cost_activation_bytes" in told:
        yield (
            f"The cost model says {told['cost_weight_bytes']:,} for weights and "
            f"{told['cost_activation_bytes']:,} for feature maps in float."
        )


def proof_in_words(name: str, told: Mapping[str, Any]) -> str:
    """Such as `the same class on 288 of 288, logits within 2e-06`."""
    if "skipped" in told:
        return f"skipped: {told['skipped']}"
    words = f"the same class on {told['same_class']:,} of {told['pictures']:,}"
    if FORMS[name].exact:
        words += f", logits within {told['largest_difference']:.1g}"
    else:
        words += " as the quantised network"
    if "accuracy_before" in told:
        words += f"; {told['accuracy']:.2%} right ({told['accuracy_before']:.2%} in float)"
    if "flash_bytes" in told:
        words += f"; compiled for {told.get('target', 'this machine')} it takes "
        words += f"{told['flash_bytes']:,} bytes of flash"
        if "cost_weight_bytes" in told:
            words += f" ({told['cost_weight_bytes']:,} for weights)"
    if "ram_bytes" in told:
        words += f" and {told['ram_bytes']:,} of RAM"
        if "cost_activation_bytes" in told:
            words += f" ({told['cost_activation_bytes']:,} by the cost model)"
    return words
