"""A trained network at work: pictures in, logits out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.network import Tree, abstract
from pennyweight.train import state_file
from pennyweight.train.score import CHUNK


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its weights, and the normalisation of the pictures that it learned from.

    Everything is computed in float32, as an exported network computes it.
    """

    architecture: Architecture
    params: Tree
    statistics: Tree
    mean: Sequence[float]  # by channel, on the scale from 0 to 1
    std: Sequence[float]

    @classmethod
    def of_model(
        cls, architecture: Architecture, model: bytes, mean: Sequence[float], std: Sequence[float]
    ) -> Classifier:
        """With the weights `model`, as a rung left them; ValueError where they are damaged."""
        return cls(architecture, *state_file.of_network(model, architecture), mean, std)

    @property
    def identity(self) -> str:
        """The network down to its weights, by which the ledger of test readings knows it."""
        digest = hashlib.sha256()
        for tree in (self.params, self.statistics):
            for layer, arrays in sorted(tree.items()):
                for name, array in sorted(arrays.items()):
                    digest.update(f"{layer}.{name} {array.shape} ".encode())
                    digest.update(np.asarray(array, np.float32, order="C").tobytes())
        return f"{self.architecture.fingerprint} {digest.hexdigest()[:16]}"

    def logits(self, images_nhwc: np.ndarray) -> np.ndarray:
        """Of uint8 pictures (n, h, w, c): float32 (n, classes)."""
        if not len(images_nhwc):
            return np.zeros((0, self.architecture.classes), np.float32)
        # The last, partial chunk compiles once more.
        starts = range(0, len(images_nhwc), CHUNK)
        return np.concatenate([self._run(images_nhwc[start : start + CHUNK]) for start in starts])

    def probabilities(self, images_nhwc: np.ndarray) -> np.ndarray:
        """Of uint8 pictures (n, h, w, c): float64 (n, classes), rows adding up to 1."""
        logits = self.logits(images_nhwc).astype(np.float64)
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)

    @cached_property
    def _run(self) -> Callable[[np.ndarray], np.ndarray]:
        graph, _, _ = abstract(self.architecture)
        mean_c, std_c = (
            np.asarray(values, np.float32).reshape(1, 1, 1, -1) for values in (self.mean, self.std)
        )

        @jax.jit
        def run(images_nhwc: jax.Array) -> jax.Array:
            network = nnx.merge(graph, self.params, self.statistics)
            with jax.default_matmul_precision("float32"):  # GPUs and TPUs would round to fewer bits
                return network((images_nhwc.astype(jnp.float32) / 255 - mean_c) / std_c)

        return lambda images: np.asarray(run(images))
