"""What each form of an exported network takes, in bytes: the README's table.

    .venv/bin/python benchmarks/export.py pretrained:mnist-8k --out benchmarks/records/export.json

Exports the network in every form, each proven on its whole validation split, and prints a table in
Markdown. Then some of the forms classify the test pictures, through the test set's door, to tell
what 8 bits cost on pictures that nothing has seen. Needs the extra `export`, and for all of the
proofs a C compiler and a browser.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.arch.cost import cost
from pennyweight.results.export import export_bundle
from pennyweight.results.forms import FORMS
from pennyweight.results.loaded import bundle_folder
from pennyweight.results.models import find_model, trained_model
from pennyweight.results.trained import Trained, trained_bundle
from pennyweight.train.door import open_test_set

ON_TEST = ("c", "onnx-int8", "c-int8")

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    model: str,
    *,
    runs: Path = Path("runs"),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Export MODEL in every form, and show what came of it."""
    folder = bundle_folder(runs, model)
    trained = (
        trained_bundle(folder, command=[])
        if folder
        else trained_model(find_model(runs, model), command=[])
    )
    with tempfile.TemporaryDirectory() as place:
        exported = export_bundle(trained, Path(place, "bundle"), forms=["all"])
        right = on_test(trained, exported.folder, runs / "test-readings.jsonl")
    forms = {
        name: {**told, "bytes": exported.bytes_of(name)} for name, told in exported.forms.items()
    }
    print("\n".join(table(forms)))
    print(f"{len(trained.checked):,} pictures, {exported.seconds:.0f} s")
    print("right on test: " + ", ".join(f"{name} {count:,}" for name, count in right.items()))
    if out:
        record = {
            "model": model,
            "notation": trained.architecture.notation,
            "cost": cost(trained.architecture).to_json(),
            "part": trained.part,
            "pictures": len(trained.checked),
            "seconds": round(exported.seconds, 1),
            "forms": forms,
            "test": right,
            **origin(),
        }
        out.write_text(f"{json.dumps(record, indent=1)}\n", encoding="utf-8")


def on_test(trained: Trained, folder: Path, ledger: Path) -> dict[str, int]:
    """How many test pictures there are, and how many the network and its forms get right."""
    identity = trained.classifier.identity
    test = open_test_set(trained.facts.data, purpose="verify", model=identity, ledger=ledger)
    logits = {name: FORMS[name].run(folder, test.images).logits for name in ON_TEST}
    logits = {"network": trained.classifier.logits(test.images), **logits}
    right = {name: int((of.argmax(axis=1) == test.labels).sum()) for name, of in logits.items()}
    return {"pictures": len(test.labels), **right}


def table(forms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a table in Markdown: what each form takes, and how many classes are the same."""
    yield "| `--format` | files | bytes | flash | RAM | same class |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name, told in forms.items():
        files = ", ".join(f"`{file}`" for file in told["files"])
        device = [
            f"{told[size]:,}" if size in told else "" for size in ("flash_bytes", "ram_bytes")
        ]
        same = f"{told['same_class']:,} of {told['pictures']:,}" if "pictures" in told else "-"
        yield f"| `{name}` | {files} | {told['bytes']:,} | {' | '.join(device)} | {same} |"


if __name__ == "__main__":
    app()
