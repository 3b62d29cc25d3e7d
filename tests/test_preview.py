"""What a search would do, before anything is trained."""

import json
from pathlib import Path

import pytest

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError
from pennyweight.search.device import Device
from pennyweight.search.launch import Plan
from pennyweight.search.preview import Preview, preview
from pennyweight.search.settings import Settings


def of(trials: int = 30, workers: int | None = 2, seed: int = 0, **limits: int) -> Preview:
    settings = Settings(data="digits", budget=Budget(**limits), seed=seed)
    plan = Plan(settings=settings, runs=Path("/nowhere"), trials=trials)
    return preview(plan, workers)


LIMITS = [{"max_params": 500}, {"max_macs": 20_000}, {"max_activation_bytes": 2_000}]


@pytest.mark.parametrize("limits", LIMITS)
def test_everything_shown_is_within_the_budget(limits: dict[str, int]) -> None:
    shown, budget = of(**limits), Budget(**limits)
    assert len(shown.examples) == 3
    for architecture in (shown.smallest, shown.largest, *shown.examples):
        assert budget.fits(cost(architecture))
        assert (architecture.input_shape, architecture.classes) == ((8, 8, 1), 10)
    sizes = [cost(example).params for example in shown.examples]
    assert cost(shown.smallest).params <= min(sizes)
    assert max(sizes) <= cost(shown.largest).params


def test_the_largest_spends_the_budget() -> None:
    assert cost(of(max_params=2_000).largest).params > 0.95 * 2_000


def test_a_seed_gives_the_same_preview_again() -> None:
    assert of(seed=3) == of(seed=3)
    assert of(seed=3).examples != of(seed=4).examples


def test_the_expected_time_grows_with_trials_and_shrinks_with_workers() -> None:
    expected, longer = of().expected_s, of(max_epochs=60).expected_s
    assert expected is not None
    assert longer is not None
    assert longer > expected > 0
    assert of(trials=60).expected_s == pytest.approx(2 * expected)
    assert of(workers=4).expected_s == pytest.approx(expected / 2)
    assert of(workers=None).workers >= 1


def test_on_an_accelerator_there_is_one_worker_and_no_time_is_foretold() -> None:
    settings = Settings(data="digits", budget=Budget())
    gpu = Device(kind="gpu", platforms="cuda")
    plan = Plan(settings=settings, runs=Path("/nowhere"), trials=30, device=gpu)
    shown = preview(plan, None)
    assert shown.workers == 1
    assert shown.to_json()["expected_s"] is None
    assert shown.to_text().splitlines()[-1] == "30 trials on 1 worker"
    with pytest.raises(UsageError, match=r"--workers must be 1 on a GPU, .* but got 2"):
        preview(plan, 2)


def test_the_text_has_a_line_for_each_network_and_the_time() -> None:
    *networks, time = of(trials=1, workers=1).to_text().splitlines()
    assert [line.split()[0] for line in networks] == ["smallest", "largest"] + 3 * ["example"]
    for line in networks:
        assert " parameters " in line
        assert " MACs  " in line
    assert time.startswith("1 trial on 1 worker: roughly ")
    lasting = of(trials=1_000_000).to_text().splitlines()[-1]
    assert lasting.startswith("1,000,000 trials on 2 workers: roughly ")
    assert lasting.endswith(" days")


def test_the_json_says_the_same() -> None:
    shown = of()
    document = json.loads(json.dumps(shown.to_json()))
    assert document["smallest"]["notation"] == shown.smallest.notation
    assert document["largest"]["params"] == cost(shown.largest).params
    assert [example["notation"] for example in document["examples"]] == [
        example.notation for example in shown.examples
    ]
    assert (document["trials"], document["workers"]) == (30, 2)


def test_a_budget_below_the_smallest_network_has_no_preview() -> None:
    with pytest.raises(UsageError, match=r"--max-params must be at least 40 .*, but got 39\."):
        of(max_params=39)
