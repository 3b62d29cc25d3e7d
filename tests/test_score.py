"""A score counts every picture once, with BatchNorm statistics of the very weights it scores."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import bind, evaluate, random_arrays
from training import candidate, normalised, pictures, quickly, random_labelled, vector

from pennyweight.train.program import Pictures, Program
from pennyweight.train.recipe import Candidate
from pennyweight.train.score import CHUNK, Score, score

SHAPE = (3, 3, 1)


@cache
def score_of(program: Program) -> Any:
    return quickly(partial(score, program))


def scored(notation: str, calibration: Pictures, validation: Pictures) -> tuple[Score, Candidate]:
    """The score of random weights for three classes."""
    chosen = candidate(notation, SHAPE, 3)
    params, _ = random_arrays(chosen.architecture, 7)
    found = score_of(Program.of(chosen, 1))(jnp.asarray(vector(params)), calibration, validation)
    assert jax.tree.all(jax.tree.map(np.array_equal, found.weights, params))
    return found, chosen


def plain_score(logits: np.ndarray, validation: Pictures) -> tuple[int, float]:
    """(correct, mean log-loss), in double precision."""
    labels = np.asarray(validation.labels_n)
    logits = np.asarray(logits, np.float64)
    top_two = np.sort(logits)[:, -2:]
    assert (top_two[:, 1] - top_two[:, 0]).min() > 1e-5  # else rounding may decide
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = -np.log(chances[np.arange(len(labels)), labels])
    return int((logits.argmax(1) == labels).sum()), float(losses.mean())


@pytest.mark.parametrize("n", [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5])
def test_a_score_counts_every_picture_once(n: int) -> None:
    validation = random_labelled(n, SHAPE, 3)
    found, _ = scored("F d3+", random_labelled(CHUNK, SHAPE, 3), validation)
    layer = {name: np.asarray(array, np.float64) for name, array in found.weights["dense1"].items()}
    logits = normalised(validation).reshape(n, -1) @ layer["kernel"] + layer["bias"]
    correct, log_loss = plain_score(logits, validation)
    assert int(found.correct) == correct
    assert float(found.log_loss) == pytest.approx(log_loss, rel=1e-5)
    assert found.statistics == {}


def by_brightness(data: Pictures) -> Pictures:
    """In an order that makes chunks as different as can be."""
    order = np.asarray(data.images_nhwc).sum((1, 2, 3)).argsort()
    return pictures(
        np.asarray(data.images_nhwc)[order],
        np.asarray(data.labels_n)[order],
        float(data.mean_c[0]),
        float(data.std_c[0]),
    )


@pytest.mark.parametrize(("calibration", "validation"), [(40, 3), (2 * CHUNK, 530)])
def test_batch_norm_of_the_pictures_has_the_statistics_of_all_of_them(
    calibration: int, validation: int
) -> None:
    """Of chunks with other means than their neighbours, too: the law of total variance."""
    seen = by_brightness(random_labelled(calibration, SHAPE, 3))
    found, _ = scored("b F d3+", seen, random_labelled(validation, SHAPE, 3, seed=1))
    values = normalised(seen)
    measured = found.statistics["batch_norm1"]
    np.testing.assert_allclose(measured["mean"], values.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(measured["var"], values.var((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("notation", "calibration", "validation", "tolerance"),
    [
        ("c4br c3+rb o0.5 A d3+", 90, 10, 1e-4),
        ("c4br c3+rb o0.5 A d3+", 4 * CHUNK, CHUNK + 9, 0.03),
        ("{c4br c3+rb o0.5 A d3+}", 90, 10, 1e-4),
    ],
)
def test_batch_norm_uses_statistics_of_the_very_weights_that_are_scored(
    notation: str, calibration: int, validation: int, tolerance: float
) -> None:
    """Exactly those of one pass where one chunk holds all; later layers' may differ a little.

    Of several views, they are those of the pictures as they are.
    """
    seen = random_labelled(calibration, SHAPE, 3)
    shown = random_labelled(validation, SHAPE, 3, seed=1)
    found, chosen = scored(notation, seen, shown)
    params, others = random_arrays(chosen.architecture, 7)

    @quickly
    def one_pass(images: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        wanted: list[tuple[jax.Array, jax.Array]] = []
        evaluate(bind(chosen.architecture.layers, params, others), images, wanted)
        return wanted

    wanted = one_pass(jnp.asarray(normalised(seen), jnp.float32))
    assert len(found.statistics) == len(wanted) == 2
    for (_, measured), (mean, var) in zip(sorted(found.statistics.items()), wanted, strict=True):
        np.testing.assert_allclose(measured["var"], var, rtol=tolerance)
        assert np.all(np.abs(measured["mean"] - mean) <= tolerance * np.sqrt(var))
    nodes = bind(chosen.architecture.layers, params, found.statistics)
    logits = quickly(partial(evaluate, nodes))(jnp.asarray(normalised(shown), jnp.float32))
    correct, log_loss = plain_score(logits, shown)
    assert int(found.correct) == correct
    assert float(found.log_loss) == pytest.approx(log_loss, rel=1e-4)


def test_weights_that_are_no_numbers_give_a_log_loss_that_is_none() -> None:
    chosen = candidate("F d3+", SHAPE, 3)
    broken = jnp.full(30, jnp.nan)
    data = random_labelled(CHUNK, SHAPE, 3)
    found = score_of(Program.of(chosen, 1))(broken, data, data)
    assert not np.isfinite(found.log_loss)
    assert 0 <= int(found.correct) <= CHUNK
