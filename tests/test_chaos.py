"""The chaos of `benchmarks/chaos.py`, in short: eight kills, with one worker and with two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent.parent / "benchmarks" / "chaos.py"


@pytest.mark.extended
@pytest.mark.timeout(900)
def test_nothing_is_lost_repeated_or_stuck_when_processes_are_killed_at_random(
    tmp_path: Path,
) -> None:
    out = tmp_path / "chaos.json"
    ran = subprocess.run(
        [sys.executable, CHAOS, "--kills", "8", "--trials", "10", "--again", "2", "--out", out],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = json.loads(out.read_text())
    assert sum(record["kills"].values()) == 8
    assert [row["trials"] for row in record["rows"]] == [10, 10, 10]
    assert [row["problems"] for row in record["rows"]] == [[], [], []]
