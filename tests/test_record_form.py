"""What each field of a record may hold is checked where a study is read."""

from typing import Any

import pytest

from pennyweight.arch.errors import UsageError
from pennyweight.results.record_form import RULES, check_fields
from pennyweight.results.records import FIELDS

END: dict[str, Any] = {"kind": "end", "trial": 1, "state": "pruned", "reason": None}


def test_there_is_a_rule_for_every_field() -> None:
    assert {kind: set(rules) for kind, rules in RULES.items()} == FIELDS


def test_kinds_and_fields_of_a_later_version_may_hold_anything() -> None:
    check_fields(END | {"more": [1]}, "records", 1)
    check_fields({"kind": "of tomorrow", "trial": []}, "records", 1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"trial": -1}, "`trial` of the end record cannot be -1"),
        ({"trial": True}, "`trial` of the end record cannot be True"),
        ({"state": "finished"}, "`state` of the end record cannot be 'finished'"),
        ({"reason": 7}, "`reason` of the end record cannot be 7"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        check_fields(END | wrong, "runs/a/records.jsonl", 5)
    assert str(refusal.value).startswith(f"runs/a/records.jsonl:5: {told}")


def test_more_right_than_there_are_is_refused() -> None:
    rung = {
        "kind": "rung",
        "trial": 0,
        "epoch": 1,
        "curve": [{"epoch": 1, "train_loss": 1.0, "val_accuracy": None, "val_log_loss": None}],
        "val_correct": 8,
        "val_total": 9,
        "seconds": {"train": 0.5},
        "worker": 1,
    }
    check_fields(rung, "records", 1)
    with pytest.raises(UsageError, match="`val_correct` of the rung record cannot be 10 of 9"):
        check_fields(rung | {"val_correct": 10}, "records", 1)
