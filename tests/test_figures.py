"""Pictures of what a network says are drawn for any number of classes and pictures."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from pennyweight.results.figures import (
    confusion_figure,
    pictures_figure,
    random_places,
    save_figure,
)
from pennyweight.results.predictions import Predictions


def predictions(classes: int, count: int) -> Predictions:
    random = np.random.default_rng(classes)
    likely = random.dirichlet(np.ones(classes), count)
    return Predictions(
        labels=random.integers(0, classes, count),
        probabilities=likely,
        class_names=[f"class {i}" for i in range(classes)],
        indices=np.arange(count),
    )


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_every_count_of_the_matrix_can_be_read_where_there_is_room(classes: int) -> None:
    found = predictions(classes, 200)
    (axes,) = confusion_figure(found).axes
    said = sorted(text.get_text() for text in axes.texts)
    counts = sorted(str(count) for count in found.confusion.ravel() if count)
    assert said == (counts if classes < 40 else [])
    assert [text.get_text() for text in axes.get_yticklabels()] == found.class_names


@pytest.mark.parametrize("count", [0, 1, 8, 11])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_says_what_it_was_taken_for(count: int, channels: int) -> None:
    found = predictions(3, 20)
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 5, channels), dtype=np.uint8)
    figure = pictures_figure(images, found, range(count), "title")
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == count
    for place, axes in enumerate(shown):
        right = found.labels[place] == found.predicted[place]
        said = axes.get_title()
        assert said.startswith(found.class_names[found.predicted[place]])
        assert ("is " in said) == (not right)
        assert to_rgb(axes.title.get_color()) == to_rgb("black" if right else "crimson")


def test_a_figure_is_written_as_a_picture(tmp_path: Path) -> None:
    save_figure(confusion_figure(predictions(4, 30)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 400
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_random_places_are_different_and_the_same_each_time() -> None:
    places = random_places(5, 9)
    assert places == random_places(5, 9) != random_places(5, 9, seed=1)
    assert len(set(places)) == 5
    assert random_places(5, 3) == [0, 1, 2]
