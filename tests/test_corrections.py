"""Corrected labels: of training pictures alone, of the right data alone, and told."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from command_line import NETWORK, copied, pennyweight, said, trained, tree

from pennyweight.arch.errors import UsageError
from pennyweight.results.studies import load_study
from pennyweight.search import train
from pennyweight.train.corrections import Corrections, read_corrections, relabelled
from pennyweight.train.data import describe, load_training_set, overlap
from pennyweight.train.door import open_test_set


def corrected(folder: Path, rows: str, name: str = "fixes.csv") -> Path:
    path = folder / name
    path.write_text("index,label,prediction,confidence,split,correction\n" + rows)
    return path


def row(index: int, correction: str, split: str = "validation") -> str:
    digits = load_training_set("digits")
    return f"{index},{digits.class_names[digits.labels[index]]},5,0.9,{split},{correction}\n"


def test_labels_of_training_pictures_change_and_nothing_else(tmp_path: Path) -> None:
    plain = load_training_set("digits")
    new = {i: (int(plain.labels[i]) + 1) % 10 for i in (3, 700, 1_436)}
    fixes = corrected(tmp_path, "".join(row(i, str(label)) for i, label in new.items()))
    source = relabelled("digits", fixes)
    found = load_training_set(source)
    assert {i: int(found.labels[i]) for i in np.flatnonzero(found.labels != plain.labels)} == new
    np.testing.assert_array_equal(found.images, plain.images)
    assert found.fingerprint != plain.fingerprint
    assert not found.labels.flags.writeable
    assert describe(source) == describe("digits")


def test_corrected_pictures_stay_in_the_part_that_they_were_in(tmp_path: Path) -> None:
    plain = load_training_set("digits")
    rows = [row(i, str((int(plain.labels[i]) + 1) % 10)) for i in range(0, 400, 4)]
    found = load_training_set(relabelled("digits", corrected(tmp_path, "".join(rows))))
    assert (found.labels != plain.labels).sum() == 100
    for seed in range(5):
        before, after = plain.split(seed), found.split(seed)
        np.testing.assert_array_equal(before.validation, after.validation)
        np.testing.assert_array_equal(before.train, after.train)


def test_corrections_are_never_lost_to_others() -> None:
    once = relabelled("digits", Path("one.csv"))
    assert relabelled(once, None) == relabelled(once, Path("one.csv")) == once
    with pytest.raises(UsageError, match=r"corrections in one\.csv: put all .* name --data digits"):
        relabelled(once, Path("two.csv"))


def test_the_test_set_is_never_corrected(tmp_path: Path) -> None:
    source = relabelled("digits", corrected(tmp_path, row(0, "9")))
    ledger = tmp_path / "readings.jsonl"
    sets = [
        open_test_set(name, purpose="evaluate", model="x", ledger=ledger)
        for name in ("digits", source)
    ]
    assert sets[0].fingerprint == sets[1].fingerprint


def test_corrections_hide_no_overlap() -> None:
    other = relabelled("digits", Path("fixes.csv"))
    assert overlap(other, "digits:fold3")
    assert not overlap(other, "digits")


def test_rows_that_nobody_filled_in_count_for_nothing(tmp_path: Path) -> None:
    path = corrected(tmp_path, row(1, "") + row(2, "7") + row(3, " ") + row(2, "7"))
    found = read_corrections(path)
    assert [(index, correction) for index, _, correction in found.rows] == [(2, "7")]
    assert found.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert Corrections.of("digits") is None


def test_two_columns_are_enough(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("correction, index\n7,2\n")
    assert read_corrections(tmp_path / "two.csv").rows == ((2, None, "7"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have the columns `index` and `correction`, but lacks `index`"),
        ("index,label\n1,2\n", "but lacks `correction`: `pennyweight evaluate --mistakes` writes"),
        ("index,correction\n", "has no row with a `correction`: fill some in."),
        ("index,correction\n1,\n", "has no row with a `correction`: fill some in."),
        ("index,correction\none,2\n", "line 2: `index` must be a picture's number, but is 'one'."),
        ("index,correction\n-1,2\n", "line 2: `index` must be a picture's number, but is '-1'."),
        ("index,correction\n1,2\n1,3\n", "line 3: picture 1 is corrected to '3', but above to '2'"),
        ("index,split,correction\n1,test,2\n", "line 2: this picture is of the test set"),
        ('index,correction\n1,"2\n', "must be a CSV file, but: unexpected end of data."),
        ("index,correction\n1437,2\n", "corrects picture 1437, but the training pictures are numb"),
        ("index,correction\n1,ten\n", "corrects picture 1 to 'ten', but the classes are 0, 1, 2"),
        ("index,label,correction\n0,8,2\n", "says that picture 0 is labelled '8', but it is lab"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(UsageError) as refused:
        load_training_set(relabelled("digits", path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", [["search"], ["train", NETWORK]])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "The corrections fixes.csv cannot be read (No such file or directory): bring"),
        (b"\xff\xfe", "--relabel fixes.csv must be a CSV file, but it is no UTF-8 text."),
        (b"index,correction\n99999,2\n", "fixes.csv corrects picture 99999, but the training"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_written(
    tmp_path: Path, command: list[str], content: bytes | None, message: str
) -> None:
    load_training_set("digits")
    if content is not None:
        (tmp_path / "fixes.csv").write_bytes(content)
    before = tree(tmp_path)
    assert message in said(pennyweight(*command, "--relabel", "fixes.csv", cwd=tmp_path))
    assert tree(tmp_path) == before


def test_mistakes_come_back_as_corrections(tmp_path: Path) -> None:
    folder = copied(trained()[0], tmp_path / "work")
    assert pennyweight("evaluate", "one", "--mistakes", "wrong.csv", cwd=folder).status == 0
    with (folder / "wrong.csv").open() as file:
        rows = list(csv.DictReader(file))
    for each in rows[:2]:
        each["correction"] = each["prediction"]
    with (folder / "wrong.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    flags = ["--relabel", "wrong.csv", "--max-epochs", "1", "--study", "two"]
    ran = pennyweight("train", NETWORK, *flags, cwd=folder)
    assert ran.status == 0
    assert "two on digits relabelled by wrong.csv" in " ".join(ran.out.split())
    told = "The label of 2 training pictures was corrected, as wrong.csv says."
    assert told in " ".join(ran.out.split())
    told = pennyweight("leaderboard", "two", "--json", cwd=folder).json["relabel"]
    content = (folder / "wrong.csv").read_bytes()
    assert told == {
        "corrections": 2,
        "corrections_file": "wrong.csv",
        "corrections_fingerprint": hashlib.sha256(content).hexdigest()[:16],
    }
    (folder / "wrong.csv").write_bytes(content + b"0,,,,,9\n")
    line = said(pennyweight("train", NETWORK, *flags, cwd=folder))
    assert "corrections is 2 there and 3 here" in line


def test_a_search_goes_on_only_with_its_corrections(tmp_path: Path) -> None:
    (tmp_path / "fixes.csv").write_text("index,correction\n0,9\n")
    flags = ["search", "--max-params", "60", "--max-epochs", "1", "--workers", "1", "--study", "s"]
    ran = pennyweight(*flags, "--trials", "2", "--relabel", "fixes.csv", "--json", cwd=tmp_path)
    assert ran.json["relabel"]["corrections"] == 1
    line = said(pennyweight(*flags, "--trials", "3", cwd=tmp_path))
    assert "data is digits relabelled by fixes.csv there and digits here" in line
    (tmp_path / "fixes.csv").write_text("index,correction\n0,8\n")
    line = said(pennyweight(*flags, "--trials", "3", "--relabel", "fixes.csv", cwd=tmp_path))
    assert "corrections_fingerprint is" in line
    assert load_study(tmp_path / "runs", "s").counts["complete"] == 2


def test_from_python_too(tmp_path: Path) -> None:
    fixes = corrected(tmp_path, row(5, "3"))
    found = train(NETWORK, "digits", relabel=fixes, max_epochs=1, runs=tmp_path, progress=False)
    assert found.study.relabel is not None
    assert found.study.relabel["corrections"] == 1
    assert found.name.endswith("-relabelled")
