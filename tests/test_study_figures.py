"""Pictures of a study: every trial is in them, and the best can be told."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from command_line import searched
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_leaderboard import study, trial

from pennyweight.results.leaderboard import rows
from pennyweight.results.studies import load_study
from pennyweight.results.study_figures import curves_figure, sizes_figure
from pennyweight.results.study_records import StudyRecords

BLUE = to_hex("tab:blue")


def xy(line: Any) -> tuple[list[float], list[float]]:
    return list(line.get_xdata()), list(line.get_ydata())


def dots(figure: Figure) -> list[Any]:
    """What lies in the middle of the intervals: of other trials, and of the front."""
    containers: list[Any] = figure.axes[0].containers
    return [container.lines[0] for container in containers]


def drawn(figure: Figure) -> bytes:
    """The picture, which is only made when it is asked for."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def test_the_curves_of_every_trial_are_drawn_and_the_best_ones_are_blue() -> None:
    found = load_study(searched()[0] / "runs", "small")
    figure = curves_figure(found)
    assert drawn(figure)
    best = found.trials[rows(found)[0].trial]
    accuracies = [100 - 100 * (point.val_accuracy or 0) for point in best.curve]
    for axes, wanted in zip(
        figure.axes, (accuracies, [point.train_loss for point in best.curve]), strict=True
    ):
        solid = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert len(solid) == len(found.trials)
        (blue,) = [line for line in solid if to_hex(line.get_color()) == BLUE]
        epochs, values = xy(blue)
        assert epochs == [point.epoch for point in best.curve]
        assert values == pytest.approx(wanted)
    (dotted,) = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    learned = [100 - 100 * (point.train_accuracy or 0) for point in best.curve]
    assert xy(dotted)[1] == pytest.approx(learned)


def test_a_trial_that_was_scored_once_is_a_point() -> None:
    found = load_study(searched()[0] / "runs", "small")
    best, other = (found.trials[row.trial] for row in rows(found)[:2])
    once_scored = replace(other.rungs[0], curve=other.rungs[0].curve[:1])
    trials = {best.trial: best, other.trial: replace(other, rungs=(once_scored,))}
    figure = curves_figure(replace(found, trials=trials))
    for axes in figure.axes:
        once = [line for line in axes.lines if len(xy(line)[0]) == 1]
        assert once
        assert {str(line.get_marker()) for line in once} == {"."}


def test_complete_trials_are_drawn_by_size_and_the_front_is_blue() -> None:
    found = study(
        trial(0, correct=80, params=100),
        trial(1, correct=90, params=200),
        trial(2, correct=85, params=300),
        trial(3, "pruned", correct=99, params=50),
    )
    figure = sizes_figure(found)
    assert drawn(figure)
    others, front = dots(figure)
    assert to_hex(front.get_color()) == BLUE
    assert xy(others)[0] == [300]
    assert dict(zip(*xy(front), strict=True)) == pytest.approx({100: 20, 200: 10})


def test_accuracy_grows_upwards_on_an_axis_of_errors() -> None:
    (axes,) = sizes_figure(study(trial(0, correct=80), trial(1, correct=99, params=200))).axes
    low, high = axes.get_ylim()
    assert low > 20 > 1 > high
    assert axes.yaxis.get_major_formatter()(0.5) == "99.5"


def test_a_perfect_trial_is_drawn_too() -> None:
    figure = sizes_figure(study(trial(0, correct=100)))
    assert drawn(figure)
    others, front = dots(figure)
    assert xy(others) == ([], [])
    (error,) = xy(front)[1]
    assert 0 < error < 0.1


@pytest.mark.parametrize("draw", [curves_figure, sizes_figure])
def test_a_study_without_a_result_is_an_empty_picture(
    draw: Callable[[StudyRecords], Figure],
) -> None:
    assert drawn(draw(study()))
    assert drawn(draw(study(trial(0, "running", None))))


def test_what_diverged_leaves_the_other_losses_to_be_seen() -> None:
    wild = trial(1, "diverged", 10)
    points = tuple(point._replace(train_loss=1e12) for point in wild.curve)
    rungs = tuple(replace(rung, curve=points) for rung in wild.rungs)
    _, losses = curves_figure(study(trial(0), replace(wild, rungs=rungs))).axes
    assert losses.get_ylim()[1] < 10
