"""How many lanes are best is measured where there is more than one core to be filled."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import pytest
from searches import check_whole, coordinate
from test_together import TASKS

from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import RunError
from pennyweight.results.folder import StudyFolder
from pennyweight.search.device import Device
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.proposals import Proposals
from pennyweight.search.settings import Settings
from pennyweight.search.side_by_side import lanes_on
from pennyweight.train.lanes import best_lanes, device_name

SEVERAL = "--xla_force_host_platform_device_count="
on_a_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="about a CPU")


@on_a_cpu
def test_a_cpu_trains_one_at_a_time_and_is_not_measured() -> None:
    measured = best_lanes(TASKS[0], 32)
    assert measured.to_json() == {"device": "1 x cpu", "lanes": 1, "pictures_per_s": {}}
    assert measured.device == device_name()


def test_several_devices_are_measured_in_multiples_of_their_number() -> None:
    program = (
        "import json; from test_together import TASKS; from pennyweight.train.lanes import *\n"
        "print(json.dumps(best_lanes(TASKS[1], 4).to_json()))"
    )
    environment = {"XLA_FLAGS": f"{SEVERAL}2", "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    measured = json.loads(run.stdout)
    assert measured["device"] == "2 x cpu"
    rates = {int(lanes): rate for lanes, rate in measured["pictures_per_s"].items()}
    assert list(rates) == [2, 4]
    assert measured["lanes"] == max(rates, key=lambda lanes: rates[lanes])
    assert all(100 < rate < 1e8 for rate in rates.values())


@on_a_cpu
def test_what_was_recorded_on_another_device_is_measured_again() -> None:
    def record(device: str, lanes: int) -> dict[str, Any]:
        return {"device": device, "lanes": lanes, "pictures_per_s": {}}

    with ThreadPoolExecutor(1) as executor:
        for known in ([], [record("1 x NVIDIA H200", 32)]):
            assert lanes_on(executor, TASKS[0], 8, known) == record("1 x cpu", 1)
        here = record("1 x cpu", 16)
        assert lanes_on(executor, TASKS[0], 8, [here, record("8 x TPU v5e", 8)]) is here


def test_a_measurement_that_fails_stops_the_search_with_one_line() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RunError, match=r"^The device could not .* \(RuntimeError: .*--device cpu"):
        lanes_on(executor, TASKS[0], 8, [])


@on_a_cpu
def test_a_study_measures_once_on_a_kind_of_device_and_trains_its_groups_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers with several simulated devices stand in for an accelerator; all else is real."""
    budget = Budget(max_params=300, max_epochs=1)  # both groups have two networks from seed 10
    settings = Settings(data="digits", budget=budget, sampler="random", group=2, seed=10)
    folder = StudyFolder(tmp_path / "study")
    whole = Device(kind="gpu", platforms="cpu")
    said = []
    monkeypatch.setenv("XLA_FLAGS", f"{SEVERAL}4")
    alone = Proposals().alone
    for trials in (alone + 2, alone + 4):
        with LocalExecutor(device=whole) as executor:
            study = coordinate(
                folder,
                trials,
                executor=executor,
                settings=settings,
                side_by_side=True,
                watch=lambda kind, fields: said.append((kind, dict(fields))),
            )
        (measured,) = study.lanes
        check_whole(folder, trials, settings)
    assert measured["device"] == "4 x cpu"
    assert measured["lanes"] == 4
    assert measured["pictures_per_s"].keys() == {"4"}
    kinds = [kind for kind, _ in said]
    rungs = [(kind, fields.get("trial")) for kind, fields in said]
    first = rungs.index(("rung", alone))
    assert kinds.index("group") < kinds.index("lanes") < first
    assert study.coordinator_seconds["measure"] > 0
    # Those of one rung of a group trained side by side, so their ledgers are equal.
    for leader in (alone, alone + 2):
        ledgers = [study.trials[number].rungs[0].seconds for number in (leader, leader + 1)]
        assert ledgers[0] == ledgers[1]
