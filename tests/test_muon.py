"""Steps along matrices of convolutions are orthogonal, whatever they are padded with."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import candidate

from pennyweight.train.muon import MOMENTUM, matrices_of, muon, orthogonal
from pennyweight.train.program import Frame, Program

RANDOM = np.random.default_rng(0)


def test_orthogonal_keeps_the_singular_vectors_and_makes_the_values_about_1() -> None:
    matrices = RANDOM.normal(size=(4, 5, 12)).astype(np.float32)
    found = np.asarray(orthogonal(jnp.asarray(matrices)))
    for before, after in zip(matrices, found, strict=True):
        left, _, right = np.linalg.svd(before, full_matrices=False)
        values = left.T @ after @ right.T
        assert np.abs(values - np.diag(np.diag(values))).max() < 1e-5
        assert 0.65 < np.diag(values).min() <= np.diag(values).max() < 1.25


def test_orthogonal_matrices_of_nothing_are_nothing() -> None:
    np.testing.assert_array_equal(orthogonal(jnp.zeros((2, 3, 4))), np.zeros((2, 3, 4)))


def direction(kernels: list[np.ndarray], gradient: np.ndarray) -> np.ndarray:
    """The second of two steps with the same gradient."""
    transform = muon(matrices_of(kernels, len(gradient)))
    _, state = transform.update(jnp.asarray(gradient), transform.init(jnp.asarray(gradient)))
    found, _ = transform.update(jnp.asarray(gradient), state)
    return np.asarray(cast(jax.Array, found))


def numbers(start: int, *shape: int) -> np.ndarray:
    return np.arange(start, start + np.prod(shape)).reshape(shape)


def test_each_kernel_moves_by_itself_and_what_is_in_none_as_with_adam() -> None:
    gradient = RANDOM.normal(size=100).astype(np.float32)
    tall, square, wide = numbers(5, 3, 3, 1, 2), numbers(23, 1, 1, 4, 4), numbers(39, 1, 1, 4, 10)
    found = direction([tall, square, wide], gradient)
    inside = np.isin(np.arange(100), np.concatenate([np.ravel(k) for k in (tall, square, wide)]))
    np.testing.assert_allclose(found[~inside], np.sign(gradient[~inside]), rtol=1e-4)
    for kernel in (tall, square, wide):
        matrix = gradient[kernel].reshape(-1, kernel.shape[-1])
        flipped = matrix if len(matrix) <= matrix.shape[1] else matrix.T
        wanted = (
            0.2 * np.sqrt(max(matrix.shape)) * np.asarray(orthogonal(jnp.asarray(flipped)[None]))[0]
        )
        wanted = wanted if flipped is matrix else wanted.T
        np.testing.assert_allclose(found[kernel].reshape(matrix.shape), wanted, atol=1e-5)
        assert np.sqrt(np.square(found[kernel]).mean()) == pytest.approx(0.2, rel=0.25)


def test_the_momentum_is_nesterovs() -> None:
    one, two = RANDOM.normal(size=(2, 12)).astype(np.float32)
    transform = muon(matrices_of([numbers(0, 3, 4)], 12))
    _, state = transform.update(jnp.asarray(one), transform.init(jnp.asarray(one)))
    found, _ = transform.update(jnp.asarray(two), state)
    along = two + MOMENTUM * (two + MOMENTUM * one)
    wanted = direction([numbers(0, 3, 4)], along)
    np.testing.assert_allclose(np.asarray(cast(jax.Array, found)), wanted, atol=1e-5)


def test_a_network_without_convolutions_learns_as_with_adam() -> None:
    gradient = RANDOM.normal(size=9).astype(np.float32)
    adam = optax.scale_by_adam()
    wanted, _ = adam.update(jnp.asarray(gradient), adam.init(jnp.asarray(gradient)))
    transform = muon()
    found, _ = transform.update(jnp.asarray(gradient), transform.init(jnp.asarray(gradient)))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("notation", "moved"),
    [
        ("c3b w c4k1b r F d3", {"conv1": (9, 3), "conv2": (3, 4)}),
        ("c4k1b 2[w c4k1b] (c4) A d3+", {"conv1": (1, 4), "conv2": (4, 4), "conv3": (36, 4)}),
        ("c5x2+ m2 c3k1+ A", {"conv1": (9, 5)}),  # what tells the classes moves as with Adam
        ("F d5r d3", {}),
    ],
)
def test_what_moves_so_are_the_kernels_that_mix_channels(
    notation: str, moved: dict[str, tuple[int, int]]
) -> None:
    chosen = candidate(notation, (6, 6, 1), 3, optimiser="muon")
    frame = Frame.of(Program.of(chosen, 1))
    size = len(frame.decayed)
    params = frame.unravel(jnp.arange(size))
    wanted = [np.asarray(params[layer]["kernel"]).reshape(shape) for layer, shape in moved.items()]
    assert len(frame.matrices_mrc) == len(wanted)
    for matrix, indices in zip(frame.matrices_mrc, wanted, strict=True):
        inside = matrix[(matrix < size).any(1)][:, (matrix < size).any(0)]
        assert inside.tolist() in (indices.tolist(), indices.T.tolist())
        assert inside.shape[0] <= inside.shape[1]
        assert (matrix < size).sum() == indices.size
