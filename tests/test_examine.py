"""A model on parts of the data: those it was trained with, and through the test set's door."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from command_line import copied, searched, trained

from pennyweight.arch.errors import UsageError
from pennyweight.results.examine import examine, learned_from
from pennyweight.results.loaded import LoadedModel, load_model
from pennyweight.train.data import describe, load_training_set
from pennyweight.train.door import distinct_readings, readings


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return load_model(copied(searched()[0] / "runs", tmp_path / "runs"), "small")


def test_validation_pictures_give_what_the_search_said(model: LoadedModel) -> None:
    found, images = examine(model)
    dataset = load_training_set("digits")
    indices = dataset.split(model.split_seed).validation
    assert found.indices.tolist() == indices.tolist()
    np.testing.assert_array_equal(images, dataset.images[indices])
    row = searched()[1].json["rows"][0]
    assert found.accuracy == row["val_accuracy"]
    assert found.log_loss == pytest.approx(row["val_log_loss"], rel=1e-3)


def test_training_and_validation_pictures_are_apart(model: LoadedModel) -> None:
    parts = [set(examine(model, part=part)[0].indices.tolist()) for part in ("train", "validation")]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == len(load_training_set("digits").labels)


def test_the_test_set_gives_what_training_measured_and_is_written_down(tmp_path: Path) -> None:
    folder = copied(trained()[0], tmp_path / "one")
    model = load_model(folder / "runs", "one")
    assert [reading["purpose"] for reading in readings(model.readings)] == ["evaluate"]
    found, _ = examine(model, part="test")  # as training did
    assert found.accuracy == trained()[1].json["test_accuracy"]
    assert [reading["purpose"] for reading in readings(model.readings)] == ["evaluate", "verify"]
    assert distinct_readings(model.readings) == 1


def test_nothing_but_the_test_part_opens_the_door(model: LoadedModel) -> None:
    examine(model, part="train")
    examine(model)
    assert readings(model.readings) == []


def test_pictures_that_it_may_have_learned_from_are_no_test(model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="small learned from digits, which may have test pictures"):
        examine(model, data="digits:fold3", part="test")
    assert readings(model.readings) == []
    assert learned_from(model, "digits:fold3", "validation")
    assert not learned_from(model, "digits", "validation")


def test_data_that_changed_are_refused_unless_named(model: LoadedModel) -> None:
    other = dataclasses.replace(model, data_fingerprint="0" * 16)
    with pytest.raises(UsageError, match=r"are not those that small learned from .* name --data"):
        examine(other)
    assert examine(other, data="digits")[0].labels.size


def test_pictures_of_another_shape_are_refused_before_a_reading(
    model: LoadedModel, tmp_path: Path
) -> None:
    classifier = dataclasses.replace(
        model.classifier,
        architecture=dataclasses.replace(model.classifier.architecture, input_shape=(16, 16, 1)),
    )
    other = dataclasses.replace(model, classifier=classifier)
    with pytest.raises(UsageError, match=r"small takes 16x16x1 pictures, but digits has 8x8x1"):
        examine(other, part="test")
    assert readings(model.readings) == []


def test_identities_differ_with_the_weights(model: LoadedModel) -> None:
    changed = dataclasses.replace(model.classifier, params={})
    assert changed.identity != model.classifier.identity


def test_labels_are_matched_by_name_and_strange_ones_are_refused(
    model: LoadedModel, tmp_path: Path
) -> None:
    dataset = load_training_set("digits")
    some = (dataset.labels == 8) | (dataset.labels == 3)
    np.savez(tmp_path / "a.npz", images=dataset.images[some], labels=dataset.labels[some])
    source = f"npz:{tmp_path / 'a.npz'}"
    found, images = examine(model, data=source, part="all")
    assert len(images) == len(found.labels) == describe(source).train_examples
    assert set(found.labels.tolist()) == {3, 8}
    other = dataclasses.replace(model, class_names=(*"0123456", "7", "x", "y"))
    with pytest.raises(UsageError, match=r"small tells apart 0, 1, .* has pictures of '8'"):
        examine(other, data=source)


def test_what_was_learned_from_is_known_by_its_pictures(model: LoadedModel) -> None:
    whole = dataclasses.replace(model, whole=True)
    for data in (None, "digits"):
        assert learned_from(model, data, "train")
        assert learned_from(model, data, "all")
        assert not learned_from(model, data, "validation")
        assert learned_from(whole, data, "validation")
        assert not learned_from(whole, data, "test")
    assert learned_from(model, "digits:fold1", "train")  # divided otherwise
