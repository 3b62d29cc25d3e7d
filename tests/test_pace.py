"""How long something still takes: nothing is guessed without evidence, and a guess is honest."""

from pennyweight.search.pace import Pace


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(pace: Pace, clock: Clock, *moments: tuple[float, int]) -> list[float | None]:
    """What is left at each moment, so many being done by then."""
    left = []
    for clock.now, done in moments:
        pace.note(done)
        left.append(pace.left_s)
    return left


def test_nothing_is_guessed_before_enough_was_done() -> None:
    pace = Pace(10, 4, evidence=3, clock=(clock := Clock()))
    assert told(pace, clock, (5, 4), (10, 5), (20, 6), (30, 7)) == [None, None, None, 30]


def test_at_a_steady_pace_the_guess_is_exact_until_the_last_one() -> None:
    pace = Pace(10, 0, evidence=2, clock=(clock := Clock()))
    moments = [(moment, moment // 10) for moment in range(20, 91)]
    assert told(pace, clock, *moments) == [100 - moment for moment, _ in moments]


def test_what_was_done_in_an_earlier_session_is_no_evidence_and_costs_nothing() -> None:
    pace = Pace(1_000, 990, evidence=2, clock=(clock := Clock()))
    assert told(pace, clock, (10, 992)) == [40]


def test_the_first_that_compiles_for_the_others_does_not_count() -> None:
    pace = Pace(5, 0, evidence=1, compiles=True, clock=(clock := Clock()))
    assert told(pace, clock, (100, 1), (102, 2)) == [None, 6]


def test_when_the_next_takes_longer_more_is_left_again() -> None:
    pace = Pace(10, 0, evidence=1, clock=(clock := Clock()))
    at_once, later, much_later = told(pace, clock, (10, 5), (30, 5), (60, 5))
    assert at_once == 10
    assert later == 30 / 6 * 4
    assert much_later == 60 / 6 * 4


def test_more_than_nothing_is_left_until_the_last_is_done() -> None:
    pace = Pace(2, 0, evidence=1, clock=(clock := Clock()))
    *before, after = told(pace, clock, (1, 1), (2, 1), (3, 1), (50, 1), (50, 2))
    assert all(left is not None and left >= 1 for left in before)
    assert after is None


def test_no_more_is_left_than_until_the_deadline() -> None:
    pace = Pace(100, 0, evidence=1, deadline=25, clock=(clock := Clock()))
    assert told(pace, clock, (10, 1), (20, 2), (30, 3)) == [15, 5, 0]
