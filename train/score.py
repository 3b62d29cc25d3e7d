"""How averaged weights do: accuracy and log-loss on pictures, in one compiled scan.

Shapes: n pictures, h rows, w columns, c channels, k classes, b batch.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from pennyweight.arch.layers import Call
from pennyweight.arch.native_library import native
from pennyweight.arch.network import Tree
from pennyweight.train.program import Frame, Pictures, Program, as_precise

# Pictures scored at once: large enough for fast matrix products, small enough for the cache.
CHUNK = 512
NATIVE_CHUNK = 128  # the kernels in C take 1.5 times as long with 512


class Score(NamedTuple):
    """How the averaged weights do; they and their statistics by layer and name, to export."""

    weights: Tree
    statistics: Tree
    correct: jax.Array  # int32 count
    log_loss: jax.Array  # mean, in nats


@as_precise
def score(
    program: Program, average: jax.Array, calibration: Pictures, validation: Pictures
) -> Score:
    """Accuracy and log-loss of the weights `average` on every picture of `validation`.

    BatchNorm uses statistics of these very weights, measured on `calibration`: what was gathered in
    training belongs to other weights (Izmailov et al., arXiv:1803.05407, section 3.2). Both happen
    in one scan over chunks, so that the network is compiled once, not twice.
    """
    frame = Frame.of(program)
    weights = frame.unravel(average)
    # Statistics of a small chunk would be biased, however few pictures there are to validate on.
    most = NATIVE_CHUNK if native(jnp.finfo(average.dtype).bits) else CHUNK
    b = min(most, len(calibration.labels_n), max(len(validation.labels_n), CHUNK // 2))
    first = len(calibration.labels_n) // b if frame.no_statistics else 0
    images, labels, real = _chunked(calibration, validation, first, b)

    def step(statistics: Tree, chunk: _Chunk) -> tuple[Tree, tuple[jax.Array, jax.Array]]:
        measuring = chunk.number < first
        network = nnx.merge(frame.graph, weights, statistics)
        call = Call(batch_statistics=measuring if first else False)
        logits_bk = network(validation.normalised(chunk.images), call)
        if first:
            measured = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
            merged = _merged(statistics, measured, chunk.number)
            statistics = jax.tree.map(
                lambda new, old: jnp.where(measuring, new, old), merged, statistics
            )
        return statistics, tally(logits_bk, chunk.labels, chunk.real)

    chunks = _Chunk(jnp.arange(len(real)), images, labels, real)
    statistics, (correct, loss) = jax.lax.scan(step, frame.no_statistics, chunks)
    total = len(validation.labels_n)
    return Score(weights, statistics, correct.sum(), loss.sum() / total)


class _Chunk(NamedTuple):
    """Pictures scored at once; `real` is False for calibration pictures and padding."""

    number: jax.Array
    images: jax.Array
    labels: jax.Array
    real: jax.Array


def _chunked(
    calibration: Pictures, validation: Pictures, first: int, b: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`first` chunks of calibration pictures, then all of validation, the last chunk filled up."""
    n = len(validation.labels_n)
    padding = -n % b
    index = jnp.minimum(jnp.arange(n + padding), n - 1)
    images = validation.images_nhwc.at[index].get(mode="promise_in_bounds")
    images = jnp.concatenate([calibration.images_nhwc[: first * b], images])
    labels = validation.labels_n.at[index].get(mode="promise_in_bounds")
    labels = jnp.concatenate([calibration.labels_n[: first * b], labels])
    place = jnp.arange(len(labels)) - first * b
    real = (place >= 0) & (place < n)
    return images.reshape(-1, b, *images.shape[1:]), labels.reshape(-1, b), real.reshape(-1, b)


def _merged(pooled: Tree, chunk: Tree, chunks: jax.Array) -> Tree:
    """Statistics of `chunks` chunks and one more of equal size (law of total variance)."""
    known = chunks.astype(jnp.float32)
    part = 1 / (known + 1)
    merged = {}
    for layer, old in pooled.items():
        new = chunk[layer]
        apart = new["mean"] - old["mean"]
        within = old["var"] + part * (new["var"] - old["var"])
        merged[layer] = {
            "mean": old["mean"] + part * apart,
            "var": within + part * (1 - part) * jnp.square(apart),
        }
    return merged


def tally(
    logits_bk: jax.Array, labels_b: jax.Array, real_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(correct, summed log-loss in nats) of the pictures that are `real`."""
    loss_b = optax.softmax_cross_entropy_with_integer_labels(logits_bk, labels_b)
    right_b = (logits_bk.argmax(1).astype(labels_b.dtype) == labels_b) & real_b
    return right_b.sum(), jnp.where(real_b, loss_b, 0).sum()
