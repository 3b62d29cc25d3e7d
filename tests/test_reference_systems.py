"""What the reference systems reached is on record and in the guide; shortened, it still holds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import pennyweight

from pennyweight.arch.zoo import ZOO
from pennyweight.results.intervals import Interval, interval_of, welch_interval
from pennyweight.search.single import train
from pennyweight.train.data import available, load_training_set
from pennyweight.train.recipe import Recipe

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "reference_systems.md").read_text(encoding="utf-8")
RECORDS = ROOT / "benchmarks" / "records"
TRAINED = sorted(path.stem.removeprefix("zoo-") for path in RECORDS.glob("zoo-*.json"))
PUBLISHED = {"budget-1": 98.95, "budget-2": 99.35, "budget-3": 99.34, "budget-4": 99.46}
MUST_REACH = {
    "mlp-32": 96.0,
    "mlp-128": 97.5,
    "mlp-128-128": 97.5,
    "notebook-cnn": 98.8,
    **{name: published - 0.25 for name, published in PUBLISHED.items()},
    "vgg-436k": 99.4,
    "m3": 99.0,
}
WITHOUT = {"vgg-436k"}  # the training accuracy, which was not written down when it was trained


def record(name: str) -> Any:
    return json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TRAINED)
def test_each_reached_on_test_pictures_what_it_must(name: str) -> None:
    found = record(f"zoo-{name}")
    assert found["notation"] == ZOO[name].architecture.notation
    assert Recipe.from_json(found["recipe"]) == Recipe.from_json(ZOO[name].recipe)
    assert found["epochs"] <= ZOO[name].epochs
    assert 100 * found["test_accuracy"] >= MUST_REACH[name]
    assert [point["epoch"] for point in found["curve"]] == list(range(1, found["epochs"] + 1))
    learned = [point["train_accuracy"] for point in found["curve"]]
    assert name in WITHOUT or all(0 < share <= 1 for share in learned)


@pytest.mark.parametrize("name", TRAINED)
def test_the_guide_tells_what_is_on_record(name: str) -> None:
    found = record(f"zoo-{name}")
    shares = found["curve"][-1]["train_accuracy"], found["val_accuracy"], found["test_accuracy"]
    told = " | ".join("" if share is None else f"{100 * share:.2f}" for share in shares)
    assert f"| `{name}` | {found['epochs']} | {told} |" in GUIDE


def test_what_a_search_found_leads_what_was_made_by_hand() -> None:
    """Must show: the 95% interval of the difference lies above 0."""
    found = record("hand-made-budget-4")
    winner = json.loads((ROOT / "results" / "records" / found["winner"]).read_text())["test"]
    best = [correct / winner["total"] for correct in winner["correct"]]
    for recipe in {row["recipe"] for row in found["rows"]}:
        rows = [row for row in found["rows"] if row["recipe"] == recipe]
        assert {row["seed"] for row in rows} <= set(winner["seeds"])
        theirs = [row["correct"] / row["total"] for row in rows]
        mean, apart = interval_of(theirs), welch_interval(best, theirs)
        assert apart.low > 0
        shares = _in_percent(mean, ".2f"), _in_percent(apart, "+.2f")
        told = f"| {recipe} | {len(rows)} | {' | '.join(shares)} |"
        assert told in GUIDE


def _in_percent(found: Interval, form: str) -> str:
    mean, low, high = (format(100 * part, form) for part in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def test_classical_models_reached_on_the_csv_what_they_must() -> None:
    found = {row["model"]: row for row in record("baselines-csv")["baselines"]}
    for model, least in (("logistic", 91.0), ("svm", 97.3), ("trees", 97.0)):
        row = found[model]
        assert row["examples"] == 37_800
        assert 100 * row["val_accuracy"] >= least
        told = f"| `{model}` | {100 * row['val_accuracy']:.2f} | {row['params']:,}"
        assert told in GUIDE


def test_the_guide_tells_of_the_claims_what_is_on_record() -> None:
    found = record("claims")
    accuracy = {(row["variant"], row["seed"]): row["val_accuracy"] for row in found["rows"]}
    assert len(accuracy) == 55
    for each in found["differences"]:
        paired = [accuracy[each["one"], s] - accuracy[each["other"], s] for s in range(5)]
        mean, low, high = (100 * share for share in (np.mean(paired), *each["interval"]))
        assert mean == pytest.approx(100 * each["mean"])
        told = f"| {each['one']} less {each['other']} | {mean:+.2f} | {low:+.2f} to {high:+.2f} |"
        assert told in GUIDE


# Shortened: some thousand pictures, an epoch or two -----------------------------------------------


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """4,000 of MNIST's training pictures, as a file."""
    if "mnist" not in available():
        pytest.skip("MNIST is not prepared here")
    digits = load_training_set("mnist")
    drawn = np.random.default_rng(0).permutation(len(digits.labels))[:4_000]
    path = tmp_path_factory.mktemp("few") / "few.npz"
    np.savez(path, x=digits.images[drawn], y=digits.labels[drawn])
    return f"npz:{path}:test0"


@pytest.mark.extended
@pytest.mark.parametrize(
    ("name", "epochs", "least"),
    [
        ("mlp-128", 2, 0.85),
        ("mlp-128-128", 2, 0.80),
        ("notebook-cnn", 2, 0.85),
        ("budget-2", 2, 0.60),
        ("budget-3", 1, 0.40),
        ("budget-4", 2, 0.70),
    ],
)
def test_a_shortened_training_of_each_learns(
    name: str, epochs: int, least: float, few: str, tmp_path: Path
) -> None:
    found = train(f"zoo:{name}", few, max_epochs=epochs, runs=tmp_path, progress=False)
    assert found.best.val_accuracy is not None
    assert found.best.val_accuracy >= least


def test_the_small_mlp_of_the_digits_learns_them(tmp_path: Path) -> None:
    found = train("zoo:mlp-32", max_epochs=60, target_accuracy=0.9, runs=tmp_path, progress=False)
    assert found.study.trials[0].reason is not None, "90% was not reached in 60 epochs"


@pytest.mark.extended
def test_classical_models_learn_from_four_fifths_of_a_csv(few: str, tmp_path: Path) -> None:
    with np.load(few.removeprefix("npz:").removesuffix(":test0")) as arrays:
        rows = np.hstack([arrays["y"][:, None], arrays["x"].reshape(len(arrays["y"]), -1)])
    header = ",".join(["label", *(f"pixel{number}" for number in range(784))])
    np.savetxt(tmp_path / "train.csv", rows, "%d", ",", header=header, comments="")
    data = ["--data", "csv:train.csv:test0"]
    ran = pennyweight("baselines", *data, "--models", "logistic,svm", "--json", cwd=tmp_path)
    found = {row["model"]: row for row in ran.json["baselines"]}
    assert found["svm"]["examples"] == 3_200  # validation is a fifth of so few
    assert found["svm"]["val_accuracy"] > 0.94
    assert found["logistic"]["val_accuracy"] > 0.86
    refused = pennyweight("baselines", *data, "--test", cwd=tmp_path)
    assert refused.status == 2
    assert "csv:train.csv:test0 has no test set" in refused.err
