"""optuna-dashboard on a study: the real server shows it, follows it, and changes nothing."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browser import chromium, needs_chromium, opened
from command_line import SMALL, copied, pennyweight, said, searched, start, trained, tree

from pennyweight.results.studies import load_study


class Page(NamedTuple):
    """A dashboard that is being served."""

    address: str
    process: subprocess.Popen[str]
    said: str

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=60) as answer:
            return json.loads(answer.read())

    def trials(self) -> list[dict[str, Any]]:
        (study,) = self.get("api/studies")["study_summaries"]
        return self.get(f"api/studies/{study['study_id']}")["trials"]


@contextlib.contextmanager
def served(folder: Path, *flags: str) -> Iterator[Page]:
    """The dashboard of the study `small` in `folder`; its temporary files go to `folder`/tmp."""
    (folder / "tmp").mkdir(exist_ok=True)
    with start(
        "dashboard", "small", "--port", "0", *flags, cwd=folder, TMPDIR=folder / "tmp"
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            address = re.search(r"http://\S+", lines[0])
            assert address, process.communicate()
            yield Page(address[0], process, "".join(lines))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(searched()[0], tmp_path_factory.mktemp("dashboard") / "work")


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    with served(folder) as page:
        yield page


def test_the_page_shows_every_trial_with_its_network(page: Page, folder: Path) -> None:
    known = load_study(folder / "runs", "small").trials
    shown = page.trials()
    assert [trial["number"] for trial in shown] == list(known) == [0, 1, 2]
    for trial in shown:
        record = known[trial["number"]]
        assert trial["state"] == "Complete"
        assert trial["values"] == [record.val_accuracy]
        assert {fact["key"]: fact["value"] for fact in trial["user_attrs"]} == {
            "architecture": record.notation,
            "parameters": str(record.cost["params"]),
            "multiply-accumulates": str(record.cost["macs"]),
        }


WRITES = [
    ("POST", "api/studies", {"study_name": "mine", "directions": ["maximize"]}),
    ("POST", "api/studies/1/rename", {"study_name": "mine"}),
    ("PUT", "api/studies/1/note", {"body": "mine", "version": 1}),
    ("POST", "api/trials/1/user-attrs", {"user_attrs": {"mine": 1}}),
    ("DELETE", "api/studies/1", {}),
]


@pytest.mark.parametrize(("method", "path", "content"), WRITES, ids=[path for _, path, _ in WRITES])
def test_the_page_refuses_to_write(
    page: Page, folder: Path, method: str, path: str, content: dict[str, Any]
) -> None:
    before = tree(folder / "runs"), page.trials()
    request = urllib.request.Request(
        page.address + path,
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 403
    assert json.loads(refused.value.read()) == {"reason": "This page only shows the study."}
    assert (tree(folder / "runs"), page.trials()) == before


def test_only_programs_of_this_machine_reach_the_page(page: Page) -> None:
    """Served at all addresses, the port of another one of them would be taken."""
    host, port = page.address.removeprefix("http://").rstrip("/").split(":")
    assert host == "127.0.0.1"
    with socket.socket() as other:
        other.bind(("127.0.0.2", int(port)))


def test_what_it_is_is_said_plainly(page: Page) -> None:
    assert page.said.splitlines() == [
        f"small is shown at {page.address}",
        "The page has a copy, which follows the study; nothing done there changes the study.",
        "Ctrl-C ends it.",
    ]


def test_a_port_that_is_in_use_is_refused(page: Page, folder: Path) -> None:
    port = page.address.rstrip("/").rpartition(":")[2]
    line = said(pennyweight("dashboard", "small", "--port", port, cwd=folder))
    assert line.startswith(f"The page cannot be served at 127.0.0.1:{port} (Address already in use")
    assert "choose another --port" in line


def test_an_address_of_another_machine_is_refused(folder: Path) -> None:
    line = said(pennyweight("dashboard", "small", "--host", "203.0.113.1", cwd=folder))
    assert line.startswith("The page cannot be served at 203.0.113.1:8080 (")


def test_the_page_follows_a_search_that_goes_on(folder: Path, tmp_path: Path) -> None:
    folder = copied(folder, tmp_path / "work")
    with served(folder) as page:
        assert len(page.trials()) == 3
        search = start("search", *SMALL, "--trials", "5", cwd=folder)
        deadline = time.monotonic() + 120
        seen = set()
        while len(seen) < 5 or search.poll() is None:
            seen |= {trial["number"] for trial in page.trials()}
            assert time.monotonic() < deadline
            time.sleep(0.2)
        _, err = search.communicate()
        assert search.returncode == 0, err
        time.sleep(2.5)  # what the page asks for is at most so old
        assert {trial["state"] for trial in page.trials()} <= {"Complete", "Pruned"}
    known = load_study(folder / "runs", "small")
    assert len(known.trials) == 5
    assert not list((folder / "runs" / "small").glob("study.db-*"))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_without_a_word_and_leaves_nothing(
    folder: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    folder = copied(folder, tmp_path / "work")
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    before = tree(folder / "runs")
    with served(folder) as page:
        page.trials()
        assert list((folder / "tmp").iterdir())
        os.kill(page.process.pid, ending)
        assert page.process.communicate(timeout=30) == ("", "")
        assert page.process.returncode == 0
    assert list((folder / "tmp").iterdir()) == []
    assert tree(folder / "runs") == before


def test_a_training_has_no_dashboard(tmp_path: Path) -> None:
    folder = copied(trained()[0], tmp_path / "work")
    line = said(pennyweight("dashboard", "one", cwd=folder))
    assert line.startswith("Study one has no Optuna database: a training has none")


def test_a_damaged_database_is_refused(folder: Path, tmp_path: Path) -> None:
    folder = copied(folder, tmp_path / "work")
    database = folder / "runs" / "small" / "study.db"
    database.write_bytes(b"no database at all" * 1_000)
    line = said(pennyweight("dashboard", "small", "--port", "0", cwd=folder))
    assert line.startswith("runs/small/study.db is no readable Optuna study (")


def test_without_the_extra_it_is_named(folder: Path, tmp_path: Path) -> None:
    hook = "import sys; sys.modules['optuna_dashboard'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hook)
    line = said(pennyweight("dashboard", "small", cwd=folder, PYTHONPATH=tmp_path))
    assert line == "dashboard needs optuna-dashboard: `pip install 'pennyweight[dashboard]'`."


@needs_chromium
@pytest.mark.extended
def test_a_browser_shows_the_study_and_asks_nobody_else(page: Page) -> None:
    with chromium() as browser, opened(browser) as seen:
        seen.page.goto(f"{page.address}dashboard/studies/1")
        seen.page.get_by_text("validation accuracy").first.wait_for()
        assert seen.problems == []
        assert [url for url in seen.requested if not url.startswith(page.address)] == []
