"""`README.md` of a bundle: what one should know of the network. Every number is the manifest's."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pennyweight.results.export_table import proof_in_words
from pennyweight.results.forms import FORMS

_COSTS = {
    "params": "parameters, trained",
    "deployed_params": "parameters, deployed (BatchNorm folded)",
    "macs": "multiply-accumulates a picture",
    "peak_activation_bytes": "bytes of feature maps at once, in float32",
    "weight_bytes": "bytes of deployed weights, in float32",
    "receptive_field": "pixels across that one value of the last map sees",
}


def model_card(manifest: Mapping[str, Any], shape: Sequence[int]) -> str:
    """The card of the bundle with this `manifest`, for pictures of `shape` (h, w, c)."""
    height, width, channels = shape
    names = [_plain(name) for name in manifest["class_names"]]
    data = _plain(manifest["data"]["name"])
    picture = f"{height}x{width}x{channels}"
    lines = [
        f"# {data}: {manifest['cost']['params']:,} parameters",
        "",
        f"A convolutional network that sorts {picture} pictures into {len(names)} classes: "
        f"{', '.join(names)}. It was found and trained by Pennyweight, in whose notation it is",
        "",
        _code(manifest["notation"]),
        "",
        "## How accurate",
        "",
        *_accuracy(manifest),
        "",
        "## What it costs",
        "",
        "| number | of |",
        "| ---: | --- |",
        *(f"| {manifest['cost'][name]:,} | {of} |" for name, of in _COSTS.items()),
        "",
        "## How to use it",
        "",
        f"`pictures` are uint8 levels of the shape (n, {height}, {width}, {channels}), from 0 to "
        "255, as in the data; normalisation is part of each form. The largest of the logits is the "
        "class, numbered as above.",
        "",
        *_forms(manifest),
        *_caution(manifest),
        "`pennyweight export --verify FOLDER` compares every file with `manifest.json`, and runs "
        "each form on the pictures in `probe.npz`.",
        "",
        "## What it learned from",
        "",
        *_training(manifest, data),
        "",
        "## Limits",
        "",
        *_limits(manifest, data),
    ]
    return "\n".join(lines) + "\n"


def _accuracy(manifest: Mapping[str, Any]) -> Iterator[str]:
    tested, validated = manifest["confirmed"], manifest["validation"]
    if tested:
        yield (
            f"{tested['mean']:.2%} of the test pictures, as the mean over {len(tested['seeds'])} "
            f"networks trained alike from fresh seeds (95% interval {tested['low']:.2%} to "
            f"{tested['high']:.2%}). This one is from the first of these seeds, not the luckiest."
        )
    elif validated:
        yield (
            f"{validated['accuracy']:.2%} of the validation pictures (95% interval "
            f"{validated['low']:.2%} to {validated['high']:.2%}). If the network was picked for "
            "this number, expect a little less; the test pictures were not looked at."
        )
    else:
        yield "It was not measured: it learned from the validation pictures too."
    if manifest["training"]["ended"] != "complete":
        yield ""
        epochs = manifest["training"]["epochs"]
        yield f"Its training was not finished: it stopped after {epochs} epochs."


def _forms(manifest: Mapping[str, Any]) -> Iterator[str]:
    for name, told in manifest["forms"].items():
        form = FORMS[name]
        size = sum(manifest["files"][file]["bytes"] for file in told["files"])
        files = ", ".join(f"`{file}`" for file in told["files"])
        yield f"### {form.what}"
        yield ""
        yield f"{files} ({size:,} bytes); needs {form.needs}. {_proof(name, told)}"
        yield ""
        yield f"```{form.language}\n{form.use}\n```"
        yield ""


def _proof(name: str, told: Mapping[str, Any]) -> str:
    if "skipped" in told:
        return f"It was not run when it was exported ({_plain(told['skipped'].rstrip('.'))})."
    return f"Proof on the {told['on']} pictures: {proof_in_words(name, told)}."


def _caution(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest["training"]["whole"]:
        yield (
            "The network learned from these validation pictures too: they tell whether a form "
            "computes the same, and not how accurate it is."
        )
        yield ""


def _training(manifest: Mapping[str, Any], data: str) -> Iterator[str]:
    training = manifest["training"]
    parts = "training and validation pictures" if training["whole"] else "training pictures"
    yield (
        f"The {parts} of {data} (fingerprint {_plain(manifest['data']['fingerprint'])}), "
        f"{training['epochs']} epochs, seed {training['seed']}, matrix products in "
        f"{_plain(training['precision'])}. It is trial {training['trial']} of study "
        f"{_plain(training['study'])}. Up to 256 of these pictures are in `probe.npz`, for whoever "
        "has this folder."
    )
    yield ""
    yield "| recipe | |"
    yield "| --- | --- |"
    for name, value in training["recipe"].items():
        yield f"| {_plain(name)} | {_plain(value)} |"
    yield ""
    versions = ", ".join(
        f"{_plain(name)} {_plain(version)}" for name, version in manifest["versions"].items()
    )
    yield f"Trained with {versions}. Exported {_plain(manifest['created'])} by"
    yield ""
    command = manifest["command"]
    yield _code(command if isinstance(command, str) else shlex.join(command))


def _limits(manifest: Mapping[str, Any], data: str) -> Iterator[str]:
    yield (
        f"- It knows its {len(manifest['class_names'])} classes alone, and names one of them for "
        "whatever it is shown."
    )
    look = manifest["look"]
    if look:
        ink, paper = ("light", "dark") if look["light"] else ("dark", "light")
        yield (
            f"- Its pictures showed {ink} ink on {paper}, the longer side {look['extent']:.0%} of "
            f"the picture, its {look['centre']} in the middle, strokes {look['stroke']:.0%} as "
            "thick as that side is long. Others must be made to look like these first, as "
            "`pennyweight predict` and `pennyweight draw` do."
        )
    yield f"- How well it does on pictures from elsewhere than {data} was not measured."


def _plain(value: object) -> str:
    """`value` without what Markdown or HTML would take for its own."""
    return "".join(c if c.isalnum() or c in " .,:-/=+'_" else f"&#{ord(c)};" for c in str(value))


def _code(text: str) -> str:
    """`text` as a block of one line, in which nothing is markup."""
    return f"    {' '.join(text.split())}"
