"""A network with 7,919 trained parameters for 28x28x1 pictures of 10 classes.

Exported by Pennyweight, in whose notation it is

    c9br c8br m2 c12br c13br m2 c17br c17br A d10+

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
    """Normalised images (n, 28, 28, 1) to logits (n, 10)."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 9, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm1 = nnx.BatchNorm(9, use_running_average=True, rngs=rngs)
        self.conv2 = nnx.Conv(9, 8, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm2 = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        self.conv3 = nnx.Conv(8, 12, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm3 = nnx.BatchNorm(12, use_running_average=True, rngs=rngs)
        self.conv4 = nnx.Conv(12, 13, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm4 = nnx.BatchNorm(13, use_running_average=True, rngs=rngs)
        self.conv5 = nnx.Conv(13, 17, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm5 = nnx.BatchNorm(17, use_running_average=True, rngs=rngs)
        self.conv6 = nnx.Conv(17, 17, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm6 = nnx.BatchNorm(17, use_running_average=True, rngs=rngs)
        self.dense1 = nnx.Linear(17, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.batch_norm1(self.conv1(x)))
        x = nnx.relu(self.batch_norm2(self.conv2(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nnx.relu(self.batch_norm3(self.conv3(x)))
        x = nnx.relu(self.batch_norm4(self.conv4(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nnx.relu(self.batch_norm5(self.conv5(x)))
        x = nnx.relu(self.batch_norm6(self.conv6(x)))
        x = x.mean(axis=(1, 2))
        return self.dense1(x)


def load(folder: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, 28, 28, 1) to logits (n, 10)."""
    normalisation = read_manifest(folder)["normalisation"]
    mean, std = (np.float32(normalisation[name]).reshape(1, 1, 1, -1) for name in ("mean", "std"))
    model = nnx.eval_shape(lambda: Model(nnx.Rngs(0)))  # shapes only: drawing weights takes seconds
    weights = load_file(Path(folder, "weights.safetensors"))
    nnx.update(model, unflatten_dict(weights, sep="."))

    @jax.jit
    def classify(images: jax.Array) -> jax.Array:
        return model((images.astype(jnp.float32) / 255 - mean) / std)

    def logits(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28, 1):
            wanted, got = "uint8 (n, 28, 28, 1)", f"{images.dtype} {images.shape}"
            raise ValueError(f"Images must be {wanted}, but got {got}.")
        result = np.empty((len(images), 10), np.float32)
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
            image = np.array(picture.convert("L").resize((28, 28)))
    except Exception as error:  # Pillow raises every kind for damaged files
        print(f"{sys.argv[1]} must be a readable picture, but: {error}", file=sys.stderr)
        return 2
    folder = Path(__file__).parent
    logits = load(folder)(image.reshape(1, 28, 28, 1))
    probabilities = np.asarray(jax.nn.softmax(logits[0]))
    class_names = read_manifest(folder)["class_names"]
    for i in np.argsort(-probabilities, stable=True):
        print(f"{probabilities[i]:8.2%}  {class_names[i]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
