"""What the guides to long searches and to clusters say was measured is on record."""

import re
from statistics import median

from test_readme import ROOT, record


def told(name: str) -> str:
    """A guide in one line."""
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())


def test_what_a_long_search_took() -> None:
    found = record("long-run.json")
    grown = {each["role"]: each["growth"] for each in found["memory"]}
    last = found["asking"][-1]
    guide = told("many_trials.md")
    assert max(grown.values()) <= 0.1
    assert last["ask_s"] + last["tell_s"] <= 0.25
    assert found["share"] <= 0.05
    assert f"{found['trials']:,} trials in {found['seconds'] / 60:.0f} minutes" in guide
    assert (
        f"asking took {last['ask_s']:.3f} s a trial and telling {last['tell_s']:.3f} s, over the "
        f"whole search {found['share']:.1%} of the workers' time"
    ) in guide
    assert (
        f"memory of the coordinator grew by {grown['coordinator']:.1%}, and of the workers by "
        f"{grown['worker 0']:.1%} and {grown['worker 1']:.1%}"
    ) in guide


def test_what_a_study_of_many_trials_costs() -> None:
    found = record("many-trials.json")
    first, last = found["costs"][0], found["costs"][-1]
    guide = told("many_trials.md")
    assert found["trials"] == 10_000
    assert median(found["seconds"]["leaderboard"]) < 2
    for row in (first, last):
        assert (
            f"| {row['trial']:,} | {1e3 * row['ask_s']:.0f} | {1e3 * row['tell_s']:.0f} | "
            f"{1e3 * row['record_s']:.0f} | {1e3 * row['cpu_s']:.0f} | {row['mb']:.0f} |"
        ) in guide
    for command, seconds in found["seconds"].items():
        assert re.search(rf"`{command}` (took )?{median(seconds):.1f} s", guide)


def test_what_dask_costs() -> None:
    found = record("engines.json")
    guide = told("cluster.md")
    assert found["overhead"][1]["overhead_s"] < 0.02
    assert [row["processes"] for row in found["throughput"]] == [1, 2, 4]
    nothing, rung = (1e3 * row["overhead_s"] for row in found["overhead"])
    assert f"takes {rung:.1f} ms more than the local executor" in guide
    assert f"one that does nothing {nothing:.1f} ms" in guide
    for row in found["throughput"]:
        local, dask = (row["trials_per_hour"][name] for name in ("local", "dask"))
        assert f"| {row['processes']} | {local:,.0f} | {dask:,.0f} |" in guide
