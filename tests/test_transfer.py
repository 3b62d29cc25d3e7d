"""Which trained weights another set of classes starts from."""

import dataclasses

import numpy as np
import pytest
from training import candidate

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.network import Tree, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.train import state_file
from pennyweight.train.recipe import UNCHANGED
from pennyweight.train.rung import Task, train_rung
from pennyweight.train.transfer import kept_for, pack_start, started_from

ABC = ("a", "b", "c")
SHAPE = (8, 8, 1)


def drawn(notation: str, classes: int = 3) -> tuple[Architecture, Tree]:
    architecture = parse(notation, SHAPE, classes)
    return architecture, draw_weights(architecture, 1)[0]


def test_the_same_classes_keep_every_weight() -> None:
    architecture, params = drawn("c4br A d3+")
    kept = kept_for(architecture, params, ABC, ABC)
    assert (kept.architecture, kept.params, kept.anew) == (architecture, params, None)


@pytest.mark.parametrize("notation", ["c4br A d3+", "c4br c3k1+ A", "c4br c3k1+r A"])
@pytest.mark.parametrize("ours", [("x", "y"), ("a", "b", "c", "d"), ("a", "x", "c")])
def test_for_classes_that_it_does_not_know_the_head_is_made_anew(
    notation: str, ours: tuple[str, ...]
) -> None:
    architecture, params = drawn(notation)
    kept = kept_for(architecture, params, ABC, ours)
    head = "dense1" if "d3" in notation else "conv2"
    assert kept.anew == head
    assert kept.params == {name: arrays for name, arrays in params.items() if name != head}
    assert kept.architecture == parse(notation.replace("3", str(len(ours))), SHAPE, len(ours))


@pytest.mark.parametrize("notation", ["c4br A d3+", "c4br c3k1+ A"])
@pytest.mark.parametrize("ours", [("c", "a", "b"), ("c", "a")])
def test_classes_that_it_knows_keep_their_part_of_the_head(
    notation: str, ours: tuple[str, ...]
) -> None:
    architecture, params = drawn(notation)
    kept = kept_for(architecture, params, ABC, ours)
    assert kept.anew is None
    head = list(params)[-1]
    for name, array in params[head].items():
        for place, label in enumerate(ours):
            np.testing.assert_array_equal(
                kept.params[head][name][..., place], array[..., ABC.index(label)]
            )


@pytest.mark.parametrize("notation", ["c4b c3b A", "c3 2[w c3k1] A", "c3 (c3) A"])
def test_a_network_without_such_a_head_serves_its_own_classes_alone(notation: str) -> None:
    architecture, params = drawn(notation)
    with pytest.raises(UsageError, match="For other classes the last layer with weights must be"):
        kept_for(architecture, params, ABC, ("x", "y"))


def test_weights_that_are_started_from_take_the_place_of_those_drawn() -> None:
    _, drawn_ones = drawn("c4br A d3+")
    theirs = {"conv1": {"kernel": np.ones_like(drawn_ones["conv1"]["kernel"])}}
    found = started_from(drawn_ones, pack_start(theirs))
    np.testing.assert_array_equal(found["conv1"]["kernel"], 1)
    np.testing.assert_array_equal(found["dense1"]["kernel"], drawn_ones["dense1"]["kernel"])
    assert not (drawn_ones["conv1"]["kernel"] == 1).any()


@pytest.mark.parametrize(
    "theirs", [{"conv9": {"kernel": np.ones(3)}}, {"conv1": {"kernel": np.ones(3)}}]
)
def test_weights_of_another_network_are_refused(theirs: Tree) -> None:
    with pytest.raises(ValueError, match="do not fit at conv"):
        started_from(drawn("c4br A d3+")[1], pack_start(theirs))


# Trained from there.

CHOSEN = candidate("m2 c4r A d10+", peak_learning_rate=1e-7, averaging=0.0, **UNCHANGED)
FIRST = Task(source="digits", split_seed=0, candidate=CHOSEN, epochs=2, from_epoch=0, to_epoch=1)


def weights(model: bytes) -> np.ndarray:
    """All of them, sorted by name: a file has no order."""
    layers = sorted(state_file.layers(model, "weights").items())
    return np.concatenate(
        [array.ravel() for _, each in layers for _, array in sorted(each.items())]
    )


def test_a_training_begins_with_the_weights_that_it_is_given() -> None:
    """At a rate that moves nothing, they come out as they went in."""
    params, _ = draw_weights(CHOSEN.architecture, 7)
    begun = dataclasses.replace(FIRST, start=pack_start(params))
    found = weights(train_rung(begun).model)
    np.testing.assert_allclose(found, weights(begun.start or b""), atol=1e-4)
    assert np.abs(found - weights(train_rung(FIRST).model)).max() > 0.1


def test_a_training_goes_on_only_from_a_state_that_started_as_it_did() -> None:
    params, _ = draw_weights(CHOSEN.architecture, 7)
    begun = dataclasses.replace(FIRST, start=pack_start(params))
    state = train_rung(begun).state
    second = dataclasses.replace(begun, from_epoch=1, to_epoch=2, state=state)
    whole = train_rung(dataclasses.replace(begun, to_epoch=2))
    assert train_rung(second).model == whole.model
    with pytest.raises(ValueError, match="belongs to another network"):
        train_rung(dataclasses.replace(second, start=None))
