"""The code of a bundle: one network as Flax source that a stranger reads and runs without us.

Each layer writes itself (`Layer.source`); here their lines are put in order, as ruff formats them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from string import Template

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError

_LINE = 100  # columns
_BODY = " " * 8
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # what Pillow calls pictures of so many channels


def model_source(architecture: Architecture) -> str:
    """The text of `model.py` for `architecture`: the module, `load(folder)` and a command line.

    Raises UsageError for pictures with more channels than a picture file has.
    """
    height, width, channels = architecture.input_shape
    if channels not in _MODES:
        raise UsageError(
            f"A bundle is for pictures of 1 to {max(_MODES)} channels, but got {channels}: "
            "export a network that was trained on fewer."
        )
    network = textwrap.fill(
        architecture.notation,
        width=_LINE,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    layers = [line for placed in architecture.flat() for line in _construction(placed)]
    if not any("rngs" in line for line in layers):
        layers = [f"{_BODY}del rngs  # there is no weight to draw", *layers]
    calls = _calls(architecture.placed)
    calls[-1] = calls[-1].replace("x = ", "return ", 1)
    moved = any(placed.layer.views > 1 for placed in architecture.flat())
    return _TEMPLATE.substitute(
        network=network,
        shape=f"{height}x{width}x{channels}",
        params=f"{cost(architecture).params:,}",
        height=height,
        width=width,
        channels=channels,
        classes=architecture.classes,
        layers="\n".join(layers),
        calls="\n".join(_BODY + call for call in calls),
        views=_VIEWS if moved else "",
        mode=_MODES[channels],
    )


def _construction(placed: Placed) -> list[str]:
    """The lines that construct a layer, none if it needs no construction.

    One that shares weights takes the other layer's; without any of its own it is not constructed.
    """
    constructor, _ = placed.layer.source(placed.input_shape)
    if not constructor or (placed.shares and not placed.weights()):
        return []
    lines = _constructor(placed.name, *constructor)
    if placed.shares:
        shared = placed.layer.weights(placed.input_shape).keys() - placed.weights().keys()
        here, there = f"{_BODY}self.{placed.name}", f"self.{placed.shares}"
        lines += [f"{here}.{name} = {there}.{name}" for name in sorted(shared)]
    return lines


def _constructor(name: str, function: str, *arguments: str) -> list[str]:
    start = f"{_BODY}self.{name} = {function}("
    if len(line := f"{start}{', '.join(arguments)})") <= _LINE:
        return [line]
    inner = [f"{_BODY}    {', '.join(arguments)}"]
    if len(inner[0]) > _LINE:
        inner = [f"{_BODY}    {argument}," for argument in arguments]
    return [start, *inner, f"{_BODY})"]


def _calls(sequence: Iterable[Placed], depth: int = 1) -> list[str]:
    """The statements that turn `x` into the output of `sequence`; glued layers share one."""
    statements: list[str] = []
    skip = "skip" if depth == 1 else f"skip{depth}"
    value = "x"
    for placed in sequence:
        _, output = placed.layer.source(placed.input_shape)
        own = placed.name if placed.weights() else placed.shares or placed.name
        names = {"self": f"self.{own}", "skip": skip}
        longer = output.format(x=value, **names)
        if not placed.layer.glued or len(f"{_BODY}return {longer}") > _LINE:
            statements += _assignment(value)
            longer = output.format(x="x", **names)
        if placed.children:
            kept = [f"{skip} = x"] if "{skip}" in output else []
            within = depth + (len(kept) or placed.layer.views > 1)
            inside = _calls(placed.children, within)
            statements += [*kept, *placed.layer.source_around(inside, depth)]
        value = longer
    return statements + _assignment(value)


def _assignment(value: str) -> list[str]:
    return [] if value == "x" else [f"x = {value}"]


_VIEWS = '''
def views(x: jax.Array) -> tuple[jax.Array, ...]:
    """Maps (n, h, w, c) as they are, and moved by a pixel up, down, left and right."""
    wide = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return x, wide[:, 2:, 1:-1], wide[:, :-2, 1:-1], wide[:, 1:-1, 2:], wide[:, 1:-1, :-2]

'''

_TEMPLATE = Template('''\
"""A network with $params trained parameters for $shape pictures of $classes classes.

Exported by Pennyweight, in whose notation it is

$network

and `manifest.json` says how it was trained. From Python, and on one picture:

    logits = load("this/folder")(images)
    python model.py picture.png
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.traverse_util import unflatten_dict
from PIL import Image
from safetensors.numpy import load_file


class Model(nnx.Module):
    """Normalised images (n, $height, $width, $channels) to logits (n, $classes)."""

    def __init__(self, rngs: nnx.Rngs) -> None:
$layers

    def __call__(self, x: jax.Array) -> jax.Array:
$calls

$views
def load(folder: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, $height, $width, $channels) to logits (n, $classes)."""
    normalisation = read_manifest(folder)["normalisation"]
    mean, std = (np.float32(normalisation[name]).reshape(1, 1, 1, -1) for name in ("mean", "std"))
    model = nnx.eval_shape(lambda: Model(nnx.Rngs(0)))  # shapes only: drawing weights takes seconds
    weights = load_file(Path(folder, "weights.safetensors"))
    nnx.update(model, unflatten_dict(weights, sep="."))

    @jax.jit
    def classify(images: jax.Array) -> jax.Array:
        return model((images.astype(jnp.float32) / 255 - mean) / std)

    def logits(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != ($height, $width, $channels):
            wanted, got = "uint8 (n, $height, $width, $channels)", f"{images.dtype} {images.shape}"
            raise ValueError(f"Images must be {wanted}, but got {got}.")
        result = np.empty((len(images), $classes), np.float32)
        with jax.default_matmul_precision("float32"):  # GPUs and TPUs would round to fewer bits
            for i in range(0, len(images), 256):  # in parts, which bounds the memory
                result[i : i + 256] = classify(images[i : i + 256])
        return result

    return logits


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """What the bundle says about itself, such as its `class_names`."""
    return json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))


def main() -> int:
    """Print the probability of each class for the picture that the command line names."""
    if len(sys.argv) != 2:
        print("usage: python model.py picture.png", file=sys.stderr)
        return 2
    try:
        with Image.open(sys.argv[1]) as picture:
            image = np.array(picture.convert("$mode").resize(($width, $height)))
    except Exception as error:  # Pillow raises every kind for damaged files
        print(f"{sys.argv[1]} must be a readable picture, but: {error}", file=sys.stderr)
        return 2
    folder = Path(__file__).parent
    logits = load(folder)(image.reshape(1, $height, $width, $channels))
    probabilities = np.asarray(jax.nn.softmax(logits[0]))
    class_names = read_manifest(folder)["class_names"]
    for i in np.argsort(-probabilities, stable=True):
        print(f"{probabilities[i]:8.2%}  {class_names[i]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
''')
