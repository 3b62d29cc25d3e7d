"""The command `report`: what it writes and says, of a study in any state, and what it refuses."""

from pathlib import Path

import pytest
from command_line import confirmed, copied, pennyweight, said, trained, tree


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the confirmed study `small` and the training `one`; nothing changes it."""
    folder = copied(confirmed()[0], tmp_path_factory.mktemp("reporting") / "work")
    copied(trained()[0] / "runs" / "one", folder / "runs" / "one")
    return folder


@pytest.fixture
def folder(studies: Path, tmp_path: Path) -> Path:
    return copied(studies, tmp_path / "work")


def new_files(folder: Path, before: dict[str, bytes | None]) -> set[str]:
    """What is there that was not; asserts that the rest is as it was."""
    after = tree(folder)
    assert {path: after[path] for path in before} == before
    return set(after) - set(before)


@pytest.mark.parametrize("name", ["small", "one"])
def test_it_writes_one_file_and_says_how_large_it_is(folder: Path, name: str) -> None:
    before = tree(folder)
    ran = pennyweight("report", name, cwd=folder)
    assert (ran.status, ran.err) == (0, "")
    assert new_files(folder, before) == {f"runs/{name}/report.html"}
    size = (folder / "runs" / name / "report.html").stat().st_size
    assert ran.out == f"runs/{name}/report.html: {size / 1e6:.2f}MB\n"


def test_it_writes_where_it_is_told_to_and_over_an_older_one(folder: Path) -> None:
    before = tree(folder)
    (folder / "mine.html").write_text("an older one")
    ran = pennyweight("report", "one", "--out", "mine.html", "--png", "pictures", cwd=folder)
    assert (ran.status, ran.err) == (0, "")
    written = new_files(folder, before)
    assert {"mine.html", "pictures", "pictures/size.png", "pictures/confusion.png"} <= written
    assert written == {"pictures", *(line.rpartition(": ")[0] for line in ran.out.splitlines())}
    assert (folder / "mine.html").read_text().startswith("<!DOCTYPE html>")


def test_a_running_study_is_reported_as_far_as_it_came(folder: Path) -> None:
    path = folder / "runs" / "small" / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"kind":"end","trial":2' not in line))
    with path.open("ab") as file:
        file.write(b'{"kind":"rung","trial":2,"ep')  # a record that is being written
    before = tree(folder)
    assert pennyweight("report", "small", cwd=folder).status == 0
    assert new_files(folder, before) == {"runs/small/report.html"}
    page = (folder / "runs" / "small" / "report.html").read_text()
    assert "1 of its trials is still running, or was interrupted." in page


@pytest.mark.parametrize(
    ("kept", "clue"),
    [(1, "No trial was asked yet."), (3, "No trial has finished a rung yet.")],
)
def test_a_study_without_a_finished_rung_is_reported(folder: Path, kept: int, clue: str) -> None:
    path = folder / "runs" / "one" / "records.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    assert pennyweight("report", "one", cwd=folder).status == 0
    assert clue in (folder / "runs" / "one" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "clue"),
    [
        ("", "report needs STUDY"),
        ("smal", "There is no study 'smal' in runs: did you mean small"),
        ("small:1", "There is no study 'small:1' in runs"),
        ("../runs/small", "There is no study"),
        ("small --runs nowhere", "There is no study 'small' in nowhere"),
        ("small --out runs/small/records.jsonl", "--out must be a .html file in a folder that"),
        ("small --out here", "--out must be a .html file"),
        ("small --out nowhere/x.html", "in a folder that exists, but got nowhere/x.html."),
        ("small --out folder.html", "--out must be a .html file"),
        ("small --png record.json", "--png must be a folder"),
        ("small --png nowhere/pictures", "in one that exists, but got nowhere/pictures."),
        ("small --out /proc/x.html", "/proc/x.html cannot be written ("),
        ("small --jsn", "Unknown option: --jsn."),
    ],
)
def test_what_cannot_be_gets_one_line_and_writes_nothing(
    folder: Path, arguments: str, clue: str
) -> None:
    (folder / "folder.html").mkdir()
    before = tree(folder)
    assert clue in said(pennyweight("report", *arguments.split(), cwd=folder))
    assert tree(folder) == before


def test_damaged_records_are_refused(folder: Path) -> None:
    path = folder / "runs" / "small" / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"max_params":60', b'"max_params":61'))
    assert "records.jsonl:1: this line is damaged" in said(
        pennyweight("report", "small", cwd=folder)
    )


def test_a_full_disk_gets_one_line_and_leaves_the_older_report(folder: Path) -> None:
    """A limit on the size of a file stands for the disk."""
    (folder / "runs" / "one" / "report.html").write_text("an older one")
    before = tree(folder)
    ran = pennyweight("report", "one", cwd=folder, file_limit=1_000_000)
    assert "runs/one/report.html cannot be written (File too large)" in said(ran)
    assert tree(folder) == before
