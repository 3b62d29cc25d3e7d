"""Malformed input of every kind: exit status 2, one line, soon, in little memory, nothing written.

The cases are made in `corpus_*.py`. They run in a few processes, through the command line's `main`;
now and then one is run as a user would.
"""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from command_line import confirmed, pennyweight, said
from corpus import MOST_BYTES, MOST_CHARACTERS, MOST_S, Case
from corpus_flags import SECRET
from corpus_parts import PARTS

RUNNER = Path(__file__).with_name("corpus_run.py")


@pytest.fixture(scope="module")
def made() -> Path:
    """A folder with the study that the malformed ones are made of."""
    return confirmed()[0]


def test_the_corpus_has_far_more_than_200_distinct_inputs(made: Path, tmp_path: Path) -> None:
    cases = list(chain.from_iterable(make(made) for make in PARTS.values()))
    assert len({case.name for case in cases}) == len(cases)
    assert len({(*case.words, *map(repr, case.files.items())) for case in cases}) == len(cases)
    assert len(cases) > 1_000


@pytest.mark.parametrize("part", PARTS)
def test_each_is_refused_in_one_line_and_nothing_is_written(
    part: str, made: Path, tmp_path: Path
) -> None:
    words = [sys.executable, str(RUNNER), part, str(tmp_path), str(made)]
    ran = subprocess.run(words, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / f"{part}.json").read_text())
    assert {name: wrong for name, came in found.items() if (wrong := _wrong(came))} == {}


def _wrong(came: dict) -> list[str]:
    """What is not as it must be of what a case came to."""
    line = came["err"].removesuffix("\n")
    rules = {
        f"status {came['status']}, {line[-200:]}": came["status"] == 2,
        f"printed {came['out'][:80]}": came["out"] == "",
        f"said {came['err']}": line.startswith("pennyweight: ") and line.isprintable(),
        f"said {len(line)} characters": len(line) < MOST_CHARACTERS,
        "told a password": SECRET not in came["err"],
        f"changed {came['changed']}": came["changed"] == [],
        f"took {came['took_s']:.1f} s": came["took_s"] < MOST_S,
        f"took {came['bytes']:,} bytes": came["bytes"] < MOST_BYTES,
    }
    return [rule for rule, holds in rules.items() if not holds]


@pytest.mark.parametrize("part", PARTS)
def test_one_of_each_part_is_refused_so_by_a_command_of_its_own(
    part: str, made: Path, tmp_path: Path
) -> None:
    cases = PARTS[part](made)
    case: Case = cases[len(cases) // 2]
    case.put(tmp_path)
    said(pennyweight(*case.words, cwd=tmp_path, **case.environment))
