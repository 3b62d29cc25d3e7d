"""A network with 7,981 trained parameters for 28x28x1 pictures of 10 classes.

Exported by Pennyweight, in whose notation it is

    c12bp c12bp m2 w c29k1bp w c29k1bp w c29k1bp m2 w c35k1bp w c36k1bp m2 wvp F d10+

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
        self.conv1 = nnx.Conv(1, 12, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm1 = nnx.BatchNorm(12, use_running_average=True, rngs=rngs)
        self.prelu1 = nnx.PReLU()
        self.conv2 = nnx.Conv(12, 12, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.batch_norm2 = nnx.BatchNorm(12, use_running_average=True, rngs=rngs)
        self.prelu2 = nnx.PReLU()
        self.depthwise1 = nnx.Conv(
            12, 12, kernel_size=(3, 3), feature_group_count=12, use_bias=False, rngs=rngs
        )
        self.conv3 = nnx.Conv(12, 29, kernel_size=(1, 1), use_bias=False, rngs=rngs)
        self.batch_norm3 = nnx.BatchNorm(29, use_running_average=True, rngs=rngs)
        self.prelu3 = nnx.PReLU()
        self.depthwise2 = nnx.Conv(
            29, 29, kernel_size=(3, 3), feature_group_count=29, use_bias=False, rngs=rngs
        )
        self.conv4 = nnx.Conv(29, 29, kernel_size=(1, 1), use_bias=False, rngs=rngs)
        self.batch_norm4 = nnx.BatchNorm(29, use_running_average=True, rngs=rngs)
        self.prelu4 = nnx.PReLU()
        self.depthwise3 = nnx.Conv(
            29, 29, kernel_size=(3, 3), feature_group_count=29, use_bias=False, rngs=rngs
        )
        self.conv5 = nnx.Conv(29, 29, kernel_size=(1, 1), use_bias=False, rngs=rngs)
        self.batch_norm5 = nnx.BatchNorm(29, use_running_average=True, rngs=rngs)
        self.prelu5 = nnx.PReLU()
        self.depthwise4 = nnx.Conv(
            29, 29, kernel_size=(3, 3), feature_group_count=29, use_bias=False, rngs=rngs
        )
        self.conv6 = nnx.Conv(29, 35, kernel_size=(1, 1), use_bias=False, rngs=rngs)
        self.batch_norm6 = nnx.BatchNorm(35, use_running_average=True, rngs=rngs)
        self.prelu6 = nnx.PReLU()
        self.depthwise5 = nnx.Conv(
            35, 35, kernel_size=(3, 3), feature_group_count=35, use_bias=False, rngs=rngs
        )
        self.conv7 = nnx.Conv(35, 36, kernel_size=(1, 1), use_bias=False, rngs=rngs)
        self.batch_norm7 = nnx.BatchNorm(36, use_running_average=True, rngs=rngs)
        self.prelu7 = nnx.PReLU()
        self.depthwise6 = nnx.Conv(
            36,
            36,
            kernel_size=(3, 3),
            padding="VALID",
            feature_group_count=36,
            use_bias=False,
            rngs=rngs,
        )
        self.prelu8 = nnx.PReLU()
        self.dense1 = nnx.Linear(36, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.prelu1(self.batch_norm1(self.conv1(x)))
        x = self.prelu2(self.batch_norm2(self.conv2(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = self.depthwise1(x)
        x = self.prelu3(self.batch_norm3(self.conv3(x)))
        x = self.depthwise2(x)
        x = self.prelu4(self.batch_norm4(self.conv4(x)))
        x = self.depthwise3(x)
        x = self.prelu5(self.batch_norm5(self.conv5(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = self.depthwise4(x)
        x = self.prelu6(self.batch_norm6(self.conv6(x)))
        x = self.depthwise5(x)
        x = self.prelu7(self.batch_norm7(self.conv7(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = self.prelu8(self.depthwise6(x))
        x = x.reshape(len(x), -1)
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
