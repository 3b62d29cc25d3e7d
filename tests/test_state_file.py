"""A state's bytes give back the very same arrays, or say why they cannot."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load

from pennyweight.train.state_file import layers, pack, unpack


class Carried(NamedTuple):
    """Nested as a training state is."""

    params: Any
    optimiser: Any
    step: Any


def state(size: int = 5) -> Carried:
    odd = np.array([0.0, -0.0, np.nan, np.inf, 1e-45], np.float32)
    params = jnp.asarray(np.resize(odd, size))
    return Carried(params, optax.adam(1.0).init(params), np.int32(7))


def test_every_bit_comes_back() -> None:
    before = state()
    after = unpack(pack(before), before)
    assert isinstance(after, Carried)
    assert isinstance(after.optimiser[0], optax.ScaleByAdamState)
    assert np.asarray(before.params).tobytes() == after.params.tobytes()
    assert (after.step.shape, after.step.dtype, int(after.step)) == ((), np.int32, 7)
    assert pack(after) == pack(before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_is_no_matter(order: Any) -> None:
    """Safetensors itself writes an array in column order with its numbers exchanged."""
    matrix = np.asarray(np.arange(6, dtype=np.float32).reshape(2, 3), order=order)
    np.testing.assert_array_equal(unpack(pack({"a": matrix}), {"a": matrix})["a"], matrix)


def test_arrays_are_named_by_their_path() -> None:
    tree = {
        "weights": {"conv1": {"kernel": np.ones(2)}},
        "statistics": {"batch_norm1": {"mean": 1}},
    }
    assert sorted(load(pack(tree))) == ["statistics/batch_norm1/mean", "weights/conv1/kernel"]


def test_a_part_comes_back_by_layer_and_name() -> None:
    weights = {
        "conv1": {"kernel": np.ones((1, 2)), "bias": np.zeros(2)},
        "dense1": {"bias": np.ones(3)},
    }
    packed = pack({"weights": weights, "statistics": {}})
    found = layers(packed, "weights")
    assert {layer: sorted(arrays) for layer, arrays in found.items()} == {
        "conv1": ["bias", "kernel"],
        "dense1": ["bias"],
    }
    np.testing.assert_array_equal(found["conv1"]["kernel"], np.ones((1, 2)))
    assert layers(packed, "statistics") == {}


@pytest.mark.parametrize(
    ("stored", "place"),
    [
        (state(size=6), "params"),
        (state()._replace(params=np.zeros(5)), "params"),  # float64
        (state()._replace(optimiser=optax.trace(0.9).init(jnp.zeros(5))), "optimiser/0/count"),
        (state()._replace(step=np.zeros(1, np.int32)), "step"),
        ({}, "params"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_where_it_does_not(stored: Any, place: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^The training state does not fit the network at {place}\.$"
    ):
        unpack(pack(stored), state())


@pytest.mark.parametrize("kept", [slice(-1), slice(1, None), slice(0)])
def test_damaged_bytes_are_refused(kept: slice) -> None:
    for read in (lambda data: unpack(data, state()), lambda data: layers(data, "weights")):
        with pytest.raises(ValueError, match=r"^The training state is damaged: "):
            read(pack(state())[kept])
