"""`pennyweight evaluate` and `pennyweight predict`, as one types them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from command_line import copied, pennyweight, said, searched
from PIL import Image
from typeset import DIGITS, WAYS, digit, saved

from pennyweight.train.data import load_training_set

MNIST = Path(__file__).parents[1] / "results" / "pretrained" / "mnist-8k"  # a bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(searched()[0], tmp_path_factory.mktemp("evaluate") / "work")


def test_evaluate_says_what_the_search_said_and_counts_every_picture(folder: Path) -> None:
    found = pennyweight("evaluate", "small", "--json", cwd=folder).json
    row = searched()[1].json["rows"][0]
    assert (found["data"], found["split"], found["learned_from"]) == ("digits", "validation", False)
    assert found["accuracy"] == row["val_accuracy"]
    assert (found["low"], found["high"]) == (row["val_low"], row["val_high"])
    assert np.sum(found["confusion"]) == found["pictures"]
    assert len(found["mistakes"]) == found["pictures"] - found["correct"]


def test_evaluate_prints_classes_confusion_and_mistakes(folder: Path) -> None:
    ran = pennyweight("evaluate", "small", "--split", "train", cwd=folder)
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "small on the training pictures of digits, which it learned from"
    assert lines[1].startswith("accuracy ")
    assert any(line.split() == ["label", "\\", "predicted", *"0123456789"] for line in lines)
    assert any(line.startswith("most confused: ") for line in lines)
    assert any(line.startswith("surest mistakes of ") for line in lines)


def test_evaluate_overwrites_no_corrections(folder: Path) -> None:
    ask = ["evaluate", "small", "--mistakes", "doubtful.csv"]
    for _ in range(2):  # nobody filled in any
        assert pennyweight(*ask, cwd=folder).status == 0
    path = folder / "doubtful.csv"
    lines = path.read_text().splitlines()
    for content in ("\n".join([*lines[:2], f"{lines[2]}7", *lines[3:]]), "shopping"):
        path.write_text(content)
        assert "--mistakes doubtful.csv would be overwritten, and may" in said(
            pennyweight(*ask, cwd=folder)
        )
        assert path.read_text() == content


def test_evaluate_writes_pictures_and_the_list_of_mistakes(folder: Path) -> None:
    flags = ["--out", "seen", "--mistakes", "wrong.csv", "--json"]
    found = pennyweight("evaluate", "small", *flags, cwd=folder).json
    for name in ("confusion", "predictions", "mistakes"):
        with Image.open(folder / "seen" / f"{name}.png") as picture:
            assert min(picture.size) > 300
    with (folder / "wrong.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["mistakes"])
    dataset = load_training_set("digits")
    validation = dataset.split(0).validation
    for row in rows:
        assert int(row["index"]) in validation
        assert dataset.class_names[dataset.labels[int(row["index"])]] == row["label"]
        assert row["prediction"] != row["label"]


def test_a_look_at_the_test_set_is_counted_on_the_leaderboard(folder: Path) -> None:
    before = pennyweight("leaderboard", "small", "--json", cwd=folder).json["test_readings"]
    ran = pennyweight("evaluate", "small", "--split", "test", cwd=folder)
    assert "small on the test pictures of digits" in ran.out
    after = pennyweight("leaderboard", "small", "--json", cwd=folder).json["test_readings"]
    assert after == before + 1


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty digits in type, plain and in each way that files have them."""
    place = tmp_path_factory.mktemp("pictures")
    for way in ("plain", *WAYS):
        (place / way).mkdir()
        for number, variant in DIGITS:
            ink = digit(number, variant)
            content = saved(ink) if way == "plain" else WAYS[way](ink)
            (place / way / f"{number}-{variant}.bin").write_bytes(content)
    return place


def right(pictures: Path, way: str) -> float:
    """The share of pictures of which an MNIST network says what they show."""
    files = sorted((pictures / way).iterdir())
    found = pennyweight("predict", MNIST, *files, "--json", cwd=pictures).json["pictures"]
    return float(np.mean([Path(each["file"]).name[0] == each["class"] for each in found]))


def test_predict_is_as_accurate_on_peoples_files_as_on_plain_ones(pictures: Path) -> None:
    plain = right(pictures, "plain")
    assert plain >= 0.8
    for way in WAYS:
        assert right(pictures, way) >= plain - 0.1, way


def test_predict_names_the_likeliest_classes_and_saves_what_it_saw(
    pictures: Path, tmp_path: Path
) -> None:
    files = [pictures / "inverted" / "3-0.bin", pictures / "photographed" / "8-1.bin"]
    ran = pennyweight("predict", MNIST, *files, "--show", tmp_path / "seen", cwd=pictures)
    for file, line in zip(files, ran.out.splitlines(), strict=True):
        assert line.startswith(f"{file}: {file.name[0]} ")
        assert line.count("%") == 3
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["001-3-0.png", "002-8-1.png"]
    with Image.open(tmp_path / "seen" / names[0]) as picture:
        assert picture.size == (28, 28)
        assert np.asarray(picture)[0].max() == 0  # an empty border, as in MNIST


def test_predict_refuses_what_is_no_picture_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "blank.png").write_bytes(saved(Image.new("L", (9, 9), 40)))
    for name, rule in {
        "text.png": "is no picture: name a PNG, JPEG or WebP file.",
        "empty.png": "is empty: name a PNG, JPEG or WebP picture.",
        "blank.png": "nothing in the picture stands out from its background",
        "missing.png": "must be a picture that can be read, but: No such file",
        ".": "must be a picture that can be read, but: Is a directory",
    }.items():
        assert rule in said(pennyweight("predict", "small", tmp_path / name, cwd=folder))
    (tmp_path / "good.png").write_bytes(saved(digit(3, 0)))
    files = [tmp_path / name for name in ("text.png", "good.png", "empty.png")]
    ran = pennyweight("predict", "small", *files, cwd=folder)
    assert ran.status == 2
    assert ran.out.startswith(f"{files[1]}: ")
    first, second = ran.err.splitlines()
    assert first.startswith(f"pennyweight: {files[0]} is no picture")
    assert second.startswith(f"pennyweight: {files[2]} ")


def test_predict_writes_a_submission_for_rows_without_labels(folder: Path) -> None:
    dataset = load_training_set("digits")
    validation = dataset.split(0).validation
    rows = [",".join(map(str, image.ravel())) for image in dataset.images[validation]]
    header = ",".join(f"pixel{i}" for i in range(64))
    (folder / "test.csv").write_text("\n".join([header, *rows]))
    flags = ["--data", "csv:test.csv", "--submission", "out.csv"]
    ran = pennyweight("predict", "small", *flags, cwd=folder)
    assert ran.out == f"written: out.csv, {len(validation):,} predictions\n"
    with (folder / "out.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["ImageId"] for row in written] == [str(n) for n in range(1, len(validation) + 1)]
    labels = dataset.labels[validation]
    right = np.mean(
        [int(row["Label"]) == label for row, label in zip(written, labels, strict=True)]
    )
    assert right == searched()[1].json["rows"][0]["val_accuracy"]
    assert "go together" in said(pennyweight("predict", "small", *flags[:2], cwd=folder))
    before = (folder / "test.csv").read_bytes()
    (folder / "same.csv").symlink_to("test.csv")
    for out in ("test.csv", folder / "test.csv", "same.csv"):
        line = said(pennyweight("predict", "small", *flags[:3], out, cwd=folder))
        assert line == f"--submission {out} would overwrite the rows to read: name another file."
    assert (folder / "test.csv").read_bytes() == before
    flags[1] = "digits"
    assert "takes csv:FILE, but got" in said(pennyweight("predict", "small", *flags, cwd=folder))
