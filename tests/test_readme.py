"""The README's commands exist, and its numbers are those of the committed records."""

import json
import re
import shlex
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.results.public_record import FORMAT
from pennyweight.search.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```[a-z]*\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line for block in BLOCKS for line in block.splitlines() if re.match(r" *pennyweight ", line)
]
RECORDS = ROOT / "benchmarks" / "records"


def shown(command: str) -> str:
    """What the README shows `command` to print."""
    found = re.search(rf"<!-- shown: {re.escape(command)} -->\n```\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md shows no output of `{command}`."
    return found[1]


def record(name: str) -> dict:
    return json.loads((RECORDS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_parses(command: str) -> None:
    app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 8


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {word for block in BLOCKS for word in re.findall(r"^make ([a-z-]+)$", block, re.M)}
    assert named == {"search", "test"}
    assert named <= set(targets)


def test_the_leaderboard_shown_is_the_recorded_one() -> None:
    rows = {row["rank"]: row for row in record("digits-8000.json")["rows"]}
    output = shown("make search")
    lines = re.findall(r"^\W*(\d+) +(\d+) (\d+\.\d+) \[.*?\] +([\d,]+) ", output, re.M)
    assert len(lines) == 10
    for rank, trial, accuracy, params in lines:
        row = rows[int(rank)]
        assert int(trial) == row["trial"]
        assert accuracy == f"{row['val_accuracy'] * 100:.2f}"
        assert int(params.replace(",", "")) == row["params"]


def test_the_retrained_winner_shown_is_the_recorded_one() -> None:
    measured = record("digits-8000-retrained.json")
    output = shown(".venv/bin/python benchmarks/retrain_winner.py digits-8000")
    shares = re.findall(r"^seed \d+: ([\d.]+)%", output, re.M)
    assert shares == [f"{accuracy:.2%}".rstrip("%") for accuracy in measured["test_accuracy"]]
    assert f"mean {measured['mean']:.2%}" in output
    best = next(row for row in record("digits-8000.json")["rows"] if row["rank"] == 1)
    assert f"{measured['params']:,} parameters" in output
    assert measured["trial"] == best["trial"]


def test_the_search_on_mnist_told_of_is_the_recorded_one() -> None:
    mnist = record("mnist-8000.json")
    best, minutes = mnist["rows"][0], mnist["seconds"]["wall"] / 60
    told = " ".join(README.split())
    assert f"{best['val_accuracy']:.2%} on validation with {best['params']:,} parameters" in told
    assert f"took {minutes:.0f} minutes for {mnist['trials']['asked']} trials" in told
    assert best["val_accuracy"] >= 0.992
    assert (mnist["trials"]["asked"], mnist["budget"]["max_epochs"]) == (12, 15)
    assert all(row["params"] <= 8_000 for row in mnist["rows"])


def test_the_table_of_what_was_found_is_that_of_the_records() -> None:
    folder = ROOT / "results" / "records"
    wanted = []
    for path in folder.glob("*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            continue
        low, high = 100 * found["test"]["low"], 100 * found["test"]["high"]
        cap, params = found["search"]["settings"]["budget"]["max_params"], found["cost"]["params"]
        row = f"| [{found['data']}](results/records/{path.name}) | {cap:,} | {params:,} | "
        row += f"{100 * found['test']['mean']:.2f} [{low:.2f}, {high:.2f}] | "
        wanted.append(row + f"`{found['notation']}` |")
        assert len(found["test"]["seeds"]) >= (10 if found["data"] == "mnist" else 5)
        assert found["epochs"] <= (60 if found["data"] == "digits" else 15)
        assert params <= cap
    shown = re.search(r"<!-- records: .*? -->\n.*\n.*\n((?:\|.*\n)+)", README)
    assert shown
    assert sorted(shown[1].splitlines()) == sorted(wanted)


def test_what_is_said_of_the_folds_is_in_their_record() -> None:
    path = "results/records/digits-999-folds.json"
    found = json.loads((ROOT / path).read_text(encoding="utf-8"))
    told = f"[{found['mean']:.2%} ({found['low']:.2%} to {found['high']:.2%})]({path})"
    assert told in README
    assert [row["fold"] for row in found["rows"]] == list(range(1, 11))
    assert all(row["params"] < 1_000 for row in found["rows"])
    assert found["mean"] >= 0.98


def test_what_each_dimension_is_worth_is_in_its_record() -> None:
    text = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| change \|.*\n\| --- .*\n((?:\|.*\n)+)", text, re.M)
    records = ["dimensions-digits.json", "dimensions-mnist.json"]
    assert len(tables) == len(records)
    for table, name in zip(tables, records, strict=True):
        rows = record(name)["rows"]
        apart = {
            row["change"]: welch_interval(row["accuracies"], rows[0]["accuracies"]) for row in rows
        }
        assert set(table.splitlines()) == {
            f"| `{change}` | {100 * worth.mean:+.2f} "
            f"[{100 * worth.low:+.2f}, {100 * worth.high:+.2f}] |"
            for change, worth in apart.items()
            if worth.low > 0 or worth.high < 0
        }


@pytest.mark.parametrize(
    ("name", "file", "base"),
    [
        ("optimiser", "optimisers-digits.json", "adamw"),
        ("normalisation", "normalisations-digits.json", "batch"),
        ("activation", "activations-digits.json", "prelu"),
    ],
)
def test_what_each_way_to_learn_gives_is_in_its_record(name: str, file: str, base: str) -> None:
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(record(file)["rows"], key=lambda row: row["seed"]):
        runs.setdefault((row[name], f"{row['rate']:g}"), []).append(row)
    losses = {key: [row["log_loss"] for row in rows] for key, rows in runs.items()}
    sound = sorted((k for k in runs if None not in losses[k]), key=lambda key: mean(losses[key]))
    best = next(key for key in sound if key[0] == base)
    wanted = []
    for key in sound:
        apart = interval_of([a - b for a, b in zip(losses[key], losses[best], strict=True)])
        shown = f"{apart.mean:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]" if key != best else ""
        loss, right = (mean(row[each] for row in runs[key]) for each in ("train_loss", "accuracy"))
        line = f"| {' | '.join(key)} | {loss:.4f} | {100 * right:.2f} | {mean(losses[key]):.4f} | "
        wanted.append(line + shown + " |")
    for key in sorted(runs.keys() - set(sound)):
        lost = f"{losses[key].count(None)} of {len(runs[key])} diverged"
        wanted.append(f"| {' | '.join(key)} | {lost} |  |  |  |")
    text = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    _, _, below = text.partition(f"\n| {name} | rate |")
    rows = below.partition("\n\n")[0].splitlines()[2:]
    assert rows == wanted


def test_how_well_early_scores_tell_the_end_is_in_its_record() -> None:
    found = record("scores-digits.json")
    assert len(found["candidates"]) >= 40
    lines = {}
    for row in found["rows"]:
        told = "{rho:.2f} [{low:.2f}, {high:.2f}]".format(**row)
        lines.setdefault(row["epoch"], f"| epoch {row['epoch']} |")
        lines[row["epoch"]] += f" {told} |"
    text = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| epoch .*\|$", text, re.M) == list(lines.values())


def test_what_each_sampler_found_is_in_its_record() -> None:
    found: dict[str, list[Any]] = {}
    for row in record("samplers-digits.json")["rows"]:
        found.setdefault(row["sampler"], []).append(row)
    wanted = []
    for name, rows in found.items():
        told = [f"sampler `{name}`"]
        told += [f"{mean([row[what] for row in rows]):.0f}" for what in ("trials", "complete")]
        told += [f"{100 * mean([row[w] for row in rows]):.2f}" for w in ("val_accuracy", "fresh")]
        pairs = zip(rows, found["random"], strict=True)
        apart = interval_of([100 * (ours["fresh"] - theirs["fresh"]) for ours, theirs in pairs])
        better = f"{apart.mean:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}]"
        wanted.append(f"| {' | '.join(told)} | {'' if name == 'random' else better} |")
    text = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| sampler .*\|$", text, re.M) == wanted


def test_what_was_tried_by_hand_is_in_its_record() -> None:
    wanted = []
    for row in record("by-hand-mnist-3999.json")["rows"]:
        numbers = f"| {100 * row['accuracy']:.2f} | {row['log_loss']:.4f} | {row['params']:,} | "
        changed = ", ".join(f"{name} {value:g}" for name, value in row["changed"].items())
        wanted.append(f"{numbers}`{row['notation']}`{changed and f' with {changed}'} |")
    text = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| [0-9.]+ \|.*\|$", text, re.M) == wanted


def test_what_groups_save_is_as_recorded() -> None:
    groups, alone = record("groups.json")["rows"]
    told = " ".join(README.split())
    assert f"took {groups['seconds']:.0f} seconds so, and {alone['seconds']:.0f}" in told
    assert groups["seconds"] <= 120
    assert groups["networks"] == alone["networks"] == record("groups.json")["trials"] == 200
    assert min(groups["complete"], alone["complete"]) >= 20


def test_the_table_of_forms_is_that_of_its_record() -> None:
    found = record("export.json")
    table = re.search(r"<!-- forms: (.*) -->\n((?:\|.*\n)+)", README)
    assert table
    assert found["command"].startswith(table[1])
    rows = [re.split(r" *\| *", line)[1:-1] for line in table[2].splitlines()[2:]]
    wanted = []
    for name, told in found["forms"].items():
        files = ", ".join(f"`{file}`" for file in told["files"])
        sizes = [f"{told[x]:,}" if x in told else "" for x in ("flash_bytes", "ram_bytes")]
        same = f"{told['same_class']:,} of {told['pictures']:,}"
        wanted.append([f"`{name}`", files, f"{told['bytes']:,}", *sizes, same])
    assert [[cell for cell in row if cell] for row in rows] == [
        [cell for cell in row if cell] for row in wanted
    ]
    assert found["pictures"] == 6_000
    assert found["seconds"] < 60
    test = found["test"]
    assert test["network"] == test["c"]
    told = " ".join(README.split())
    assert (
        f"Of the {test['pictures']:,} test pictures the network and the C program class "
        f"{test['c']:,} rightly, and the one in 8-bit integers {test['c-int8']:,}."
    ) in told
    assert test["c-int8"] >= test["network"] - 20, "a fifth of a point"


def test_what_is_said_of_another_generator_is_in_its_record() -> None:
    rows = record("c-code.json")["rows"]
    ours, peer = rows["model"], rows["peer"]
    assert f"[{peer['ram_bytes']:,} bytes of RAM](benchmarks/records/c-code.json)" in README
    ratio = median(peer["us-Os"]) / median(ours["us-Os"])
    assert f"and {ratio:.1f} times the time." in " ".join(README.split())


def test_what_is_said_of_starting_from_a_network_is_in_its_record() -> None:
    means = {
        row["way"]: f"{row['mean']:.2%}"
        for row in record("transfer.json")["rows"]
        if (row["data"], row["labels"]) == ("digits", 10)
    }
    told = " ".join(README.split())
    assert f"reached [{means['its weights']}](benchmarks/records/transfer.json), against " in told
    assert f"against {means['random weights, four times as long']} from random weights" in told


def test_the_records_keep_what_the_project_promises() -> None:
    digits, retrained = record("digits-8000.json"), record("digits-8000-retrained.json")
    assert digits["trials"]["asked"] == 30
    assert digits["seconds"]["wall"] < 120
    assert f"seconds: {digits['seconds']['wall']:.1f} on the clock" in shown("make search")
    assert digits["rows"][0]["val_accuracy"] >= 0.98
    assert len(retrained["seeds"]) == 5
    assert retrained["mean"] >= 0.97
    assert all(row["params"] <= digits["budget"]["max_params"] for row in digits["rows"])


def test_the_speeds_told_of_are_the_recorded_ones() -> None:
    for name in ("training.json", "training-xla.json"):
        measured: dict[str, list[float]] = {}
        for row in record(name)["rows"]:
            measured.setdefault(row["network"], []).append(row["ratio"])
        assert len(measured) == 6
        table = "".join(
            f"| {network} | {one_process:.2f} times as fast | {a_process_per_core:.2f} |\n"
            for network, (one_process, a_process_per_core) in measured.items()
        )
        assert table in GUIDE
    told = " ".join(GUIDE.split())
    for against, words in (("steps", "as fast where Flax"), ("scan", "where it compiles")):
        ratio = record(f"training-flax-{against}.json")["rows"][1]["ratio"]
        assert re.search(rf"{ratio:.2f} times (?:{words})", told)


def test_how_many_candidates_each_tool_trains_is_as_recorded() -> None:
    found = record("candidates.json")
    assert (found["cores"], found["epochs"], found["rounds"]) == (2, 3, 1)
    assert len(found["notations"]) == 12
    rows = {row["side"]: row for row in found["rows"]}
    ways = {
        "pennyweight": "pennyweight, a process per core",
        "optuna": "Optuna with PyTorch, a process per core",
        "kerastuner": "KerasTuner with PyTorch, one process",
    }
    for side, way in ways.items():
        middle = median(curve[-1] for curve in rows[side]["curves"])
        assert f"| {way} | {rows[side]['per_hour']:.0f} | {middle:.2%} |\n" in GUIDE
    ours, optuna, kerastuner = (f"{rows[side]['per_hour']:.0f}" for side in ways)
    assert f"it trains {ours} an hour" in README
    assert f"trains {optuna} and KerasTuner {kerastuner}](" in README


def test_what_a_search_spends_beside_training_is_as_recorded() -> None:
    found = record("overhead.json")
    assert len(found["rows"]) == 12
    rounds = found["overhead_by_round"]
    ledger = f"{found['overhead_by_ledger']:.1%} are not spent training by its own ledger, and "
    speed = f"{found['overhead']:.1%} ({min(rounds):.1%} to {max(rounds):.1%}: a machine's speed"
    assert ledger + speed in " ".join(GUIDE.split())


def test_how_slow_the_slowest_network_is_told_as_recorded() -> None:
    found = record("speed.json")
    assert len(found["rows"]) == 100
    assert f"the slowest does {found['ratio']:.2f} of the median's FLOP a second" in GUIDE


def test_how_much_the_kernels_in_c_gain_is_as_recorded() -> None:
    told = re.search(r"up to ([0-9.]+) times as fast, and on 8x8 pictures up to four", README)
    gains = [(row["network"], row["ratio"]) for row in record("training-xla.json")["rows"]]
    assert told
    assert float(told[1]) == round(max(gain for name, gain in gains if name != "8x8"), 1)
    assert round(max(gain for name, gain in gains if name == "8x8")) == 4


def test_what_is_said_of_bfloat16_is_in_its_record() -> None:
    found = record("precision.json")
    cost = re.search(r"\[cost ([0-9.]+) points\]\(benchmarks/records/precision.json\)", README)
    took = re.search(r"took ([0-9.]+) times as long", README)
    assert cost
    assert took
    assert float(cost[1]) == round(-100 * found["mean"], 1)
    assert float(took[1]) == round(found["ratio"], 2)


def test_what_is_said_of_frames_is_in_their_record() -> None:
    found = record("frames.json")
    numbers = re.search(
        r"was ([-+][0-9.]+) points, 95% interval ([-+][0-9.]+) to ([-+][0-9.]+)", GUIDE
    )
    assert numbers
    wanted = [found["mean"], *found["interval"]]
    assert [float(n) for n in numbers.groups()] == [round(100 * n, 2) for n in wanted]
