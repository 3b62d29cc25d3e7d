"""What is counted of the records: how trials ended, the best of each size, who is trained again."""

from command_line import confirmed, searched
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.results.leaderboard import pareto_front, rows
from pennyweight.results.studies import fold_records, load_study
from pennyweight.search.tally import Best, Tally


def of_800() -> Tally:
    """A tally of a study of at most 800 parameters."""
    fields = {"versions": {}, "command": [], "created": 0.0, "data_fingerprint": "0"}
    settings = {"data": "digits", "budget": {"max_params": 800, "max_epochs": 9}}
    study = {"kind": "study", "study": "known", "settings": settings}
    return Tally(9, 0, known=fold_records([study | fields]))


def end(tally: Tally, number: int, params: int, correct: int, state: str = "complete") -> None:
    """Tell `tally` of a trial from its question to its end."""
    cost, notation = {"params": params}, f"c{number} A d10"
    tally.note("trial", {"trial": number, "cost": cost, "notation": notation})
    tally.note("rung", {"trial": number, "epoch": 9, "val_correct": correct, "val_total": 100})
    tally.note("end", {"trial": number, "state": state, "reason": None})


def test_the_best_is_kept_of_the_limit_and_of_each_share_of_it() -> None:
    tally = of_800()
    for number, (params, correct) in enumerate([(790, 90), (395, 80), (200, 70), (101, 60)]):
        end(tally, number, params, correct)
    assert [(best.within, best.params) for best in tally.front] == [
        (800, 790),
        (400, 395),
        (200, 200),
    ]
    end(tally, 4, 100, 50)
    assert tally.front[-1] == Best(100, 0.5, 100, "c4 A d10")


def test_a_small_network_that_beats_the_large_ones_stands_alone() -> None:
    tally = of_800()
    end(tally, 0, 790, 90)
    end(tally, 1, 90, 91)
    assert tally.front == [Best(100, 0.91, 90, "c1 A d10")]


def test_of_equally_accurate_ones_the_smaller_is_the_best() -> None:
    tally = of_800()
    for number, params in enumerate((790, 780, 785)):
        end(tally, number, params, 90)
    assert [best.params for best in tally.front] == [780]


def test_only_complete_trials_are_among_the_best() -> None:
    tally = of_800()
    end(tally, 0, 300, 70)
    for number, state in enumerate(("pruned", "diverged", "failed"), 1):
        end(tally, number, 300, 99, state)
    assert [best.accuracy for best in tally.front] == [0.7]
    assert tally.states == "1 complete, 1 diverged, 1 failed, 1 pruned"


@given(st.lists(st.tuples(st.integers(1, 800), st.integers(0, 100)), min_size=1, max_size=30))
def test_the_best_of_each_size_are_on_the_pareto_front(trials: list[tuple[int, int]]) -> None:
    tally = of_800()
    for number, (params, correct) in enumerate(trials):
        end(tally, number, params, correct)
    front = pareto_front((params, correct / 100) for params, correct in trials)
    shown = [(best.params, best.accuracy) for best in tally.front]
    assert set(shown) <= front
    assert shown[0] == max(front)
    assert shown == sorted(set(shown), reverse=True)


def test_a_trial_that_has_not_ended_is_running() -> None:
    tally = of_800()
    end(tally, 0, 300, 70)
    for number in (1, 2):
        tally.note("trial", {"trial": number, "cost": {"params": 9}, "notation": "A d10"})
    assert tally.running == 2
    tally.note("end", {"trial": 1, "state": "failed", "reason": "MemoryError"})
    assert tally.running == 1


def test_a_study_gone_on_with_counts_as_its_leaderboard_does() -> None:
    study = load_study(searched()[0] / "runs", "small")
    tally = Tally(9, 3, known=study)
    best = rows(study)[0]
    assert tally.front[0][1:] == (best.val_accuracy, best.params, best.notation)
    assert tally.running == 0
    assert tally.states == "3 complete"


def test_who_is_trained_again_is_shown_with_the_mean_of_its_seeds() -> None:
    study = load_study(confirmed()[0] / "runs", "small")
    tally = Tally(9, 0, "trainings")
    for run in study.fresh_runs:
        tally.note("fresh", vars(run))
    assert tally.ended == len(study.fresh_runs)
    assert tally.fresh[0].part == "test"
    for trial, part, mean, seeds in tally.fresh:
        accuracies = [r.accuracy for r in study.fresh_runs if (r.trial, r.part) == (trial, part)]
        assert seeds == len(accuracies) == 2
        assert abs(mean - sum(accuracies) / seeds) < 1e-12
