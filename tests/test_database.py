"""Searches in PostgreSQL: each trial is trained once, whatever is killed, stopped or restarted."""

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import pennyweight, said, start
from postgres import PASSWORD, SECRETS, Server, running, until
from searches import coordinate

from pennyweight.results.database import Database
from pennyweight.results.database_store import StudyInDatabase
from pennyweight.results.leaderboard import rows
from pennyweight.results.studies import load_study

# In groups of 20, which compile once, 60 trials take a minute.
FLAGS = ["--max-params", "60", "--max-epochs", "6", "--workers", "1", "--group", "20"]


def search(
    server: Server, folder: Path, trials: int, name: str = "shared"
) -> subprocess.Popen[str]:
    flags = [*FLAGS, "--trials", str(trials), "--study", name]
    return start("search", *flags, "--storage", server.url, cwd=folder)


def records(server: Server, name: str = "shared") -> list[dict[str, Any]]:
    return StudyInDatabase(Database(server.url), name).read_records()


def count(server: Server, kind: str, name: str = "shared") -> int:
    return sum(record["kind"] == kind for record in records(server, name))


def check_whole(server: Server, trials: int, name: str = "shared") -> None:
    """Assert that every trial came to one end, and no epoch was trained twice."""
    written = records(server, name)
    ends = Counter(record["trial"] for record in written if record["kind"] == "end")
    assert ends == dict.fromkeys(range(trials), 1)
    asked = Counter(record["trial"] for record in written if record["kind"] == "trial")
    assert asked == ends
    epochs: dict[int, list[int]] = {trial: [] for trial in ends}
    for record in written:
        if record["kind"] == "rung":
            epochs[record["trial"]] += [point["epoch"] for point in record["curve"]]
    for seen in epochs.values():
        assert seen == sorted(set(seen))
    assert not [file for file in server.files(name) if file.startswith("states/")]
    told = server.ask(
        "SELECT t.number, t.state::text FROM trials AS t JOIN studies USING (study_id) "
        "WHERE study_name = %s ORDER BY 1",
        name,
    )
    assert [number for number, _ in told] == list(range(trials))
    assert {state for _, state in told} <= {"COMPLETE", "PRUNED", "FAIL"}


@pytest.mark.extended
@pytest.mark.timeout(900)
def test_a_standby_finishes_what_a_killed_coordinator_began(tmp_path: Path) -> None:
    """Must show: 60 trials, each trained once, the one that was cut from its last rung."""
    with running() as server:
        first = search(server, tmp_path, 60)
        until(lambda: server.ask("SELECT to_regclass('pennyweight_readings')") != [(None,)])
        until(lambda: server.ask("SELECT FROM pennyweight_studies WHERE holder IS NOT NULL"))
        standby = search(server, tmp_path, 60)
        try:
            until(lambda: count(server, "end") >= 20 and _cut(server), 400)
            os.kill(first.pid, signal.SIGKILL)
            killed, cut = time.time(), _cut(server)
            out, err = standby.communicate(timeout=400)
        finally:
            first.kill()
            standby.kill()
            first.communicate()
        assert standby.returncode == 0, err
        waiting = [line for line in err.splitlines() if line.startswith("waiting: ")]
        assert len(waiting) == 1
        assert re.fullmatch(
            rf"waiting: study shared is run by \S+, pid {first.pid}; this takes over when it ends",
            waiting[0],
        )
        sessions = [record for record in records(server) if record["kind"] == "session"]
        assert [session["pid"] for session in sessions] == [first.pid, standby.pid]
        took_s = sessions[1]["started"] - killed
        print(f"taken over {took_s:.1f} s after the kill, with {len(cut)} trials cut")
        assert took_s < 30
        check_whole(server, 60)
        assert "60 trials" in out
        _check_gone_on(server, cut)


def _cut(server: Server) -> list[str]:
    """States of trials that are between two rungs."""
    return [file for file in server.files("shared") if file.startswith("states/")]


def _check_gone_on(server: Server, cut: list[str]) -> None:
    """Assert that the trials in these states were gone on with from there."""
    for state in cut:
        trial, epoch = (int(part) for part in Path(state).stem.split("-"))
        rungs = [r for r in records(server) if r["kind"] == "rung" and r["trial"] == trial]
        after = [rung["curve"][0]["epoch"] for rung in rungs if rung["epoch"] > epoch]
        assert after[:1] in ([], [epoch + 1], [epoch + 2])  # [] where it was pruned then


@pytest.mark.extended
def test_a_coordinator_that_slept_through_a_takeover_writes_nothing(tmp_path: Path) -> None:
    with running() as server:
        first = search(server, tmp_path, 10)
        try:
            until(lambda: server.ask("SELECT to_regclass('pennyweight_readings')") != [(None,)])
            until(lambda: count(server, "end") >= 2, 120)
            os.kill(first.pid, signal.SIGSTOP)
            assert server.cut_off() == 1
            standby = search(server, tmp_path, 10)
            _, err = standby.communicate(timeout=200)
            assert standby.returncode == 0, err
            before = _everything(server)
            os.kill(first.pid, signal.SIGCONT)
            out, err = first.communicate(timeout=60)
        finally:
            first.kill()
        assert (first.returncode, out) == (1, "")
        last = err.splitlines()[-1]
        assert last.startswith("pennyweight: Study shared was taken over by ")
        assert "Traceback" not in err
        assert "ERROR" not in err
        assert _everything(server) == before
        check_whole(server, 10)


def _everything(server: Server) -> dict[str, Any]:
    tables = [f"pennyweight_{name}" for name in ("studies", "records", "files", "readings")]
    optuna = ["trials", "trial_values", "trial_intermediate_values", "trial_system_attributes"]
    return {name: server.ask(f"SELECT * FROM {name} ORDER BY 1, 2") for name in [*tables, *optuna]}


@pytest.mark.extended
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_search_goes_on_after_its_database_was_restarted(mode: str, tmp_path: Path) -> None:
    with running() as server:
        first = search(server, tmp_path, 14)
        try:
            until(lambda: server.ask("SELECT to_regclass('pennyweight_readings')") != [(None,)])
            for ended in (2, 6):
                until(lambda n=ended: count(server, "end") >= n, 120)
                server.stop(mode)
                time.sleep(3)
                server.start()
            _, err = first.communicate(timeout=200)
        finally:
            first.kill()
        assert first.returncode == 0, err
        assert "Traceback" not in err
        check_whole(server, 14)


@pytest.mark.extended
def test_who_stood_by_to_confirm_looks_at_the_study_anew(tmp_path: Path) -> None:
    """What was the best as it began to wait is not, when the search has ended."""
    with running() as server:
        store = StudyInDatabase(Database(server.url), "shared")

        def best() -> int:
            ranked = rows(load_study(store.database, "shared"))
            return next(row.trial for row in ranked if row.state == "complete")

        with store.standing_by():
            coordinate(store, 10)
            before = best()
            flags = ["--top", "1", "--seeds", "1", "--workers", "1", "--storage", server.url]
            waiting = start("confirm", "shared", *flags, cwd=tmp_path)
            assert waiting.stderr
            assert any(line.startswith("waiting: ") for line in waiting.stderr)
            for trials in range(20, 100, 10):
                coordinate(store, trials)
                if best() != before:
                    break
        _, err = waiting.communicate(timeout=200)
        assert waiting.returncode == 0, err
        tested = [record["trial"] for record in records(server) if record["kind"] == "fresh"]
        assert tested == [best()] != [before]


def test_what_a_standby_could_not_go_on_with_is_refused_as_it_begins(tmp_path: Path) -> None:
    with running() as server:
        store = StudyInDatabase(Database(server.url), "shared")
        with store.standing_by():
            coordinate(store, 1)
            ran = pennyweight(
                *("search", "--study", "shared", "--max-params", "501", "--max-epochs", "9"),
                *("--storage", server.url),
                cwd=tmp_path,
            )
        assert said(ran).startswith("Study shared exists with other settings (")


@pytest.mark.extended
def test_two_studies_begin_at_once_in_a_new_database(tmp_path: Path) -> None:
    with running() as server:
        names = ["one", "two"]
        both = [search(server, tmp_path, 2, name) for name in names]
        for process in both:
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
        for name in names:
            check_whole(server, 2, name)
        listed = pennyweight("leaderboard", "--storage", server.url, cwd=tmp_path)
        assert listed.out.split() == names


@pytest.mark.extended
def test_passwords_are_nowhere(tmp_path: Path) -> None:
    with running() as server:
        url, at = server.url, ["--storage", server.url]
        flags = [*FLAGS, "--study", "shared"]
        wrong = url.replace("n0t%40", "n0t%40wrong")
        nobody = url.replace(f":{server.port}/", ":1/")
        open_url = url.replace(":n0t%40to%2Fbe%3Aseen", "")
        ran = [
            pennyweight("search", *flags, "--trials", "2", *at, cwd=tmp_path),
            pennyweight("search", *flags, "--trials", "3", *at, "--seed", "1", cwd=tmp_path),
            pennyweight("leaderboard", "shared", *at, "--json", cwd=tmp_path),
            pennyweight("confirm", "shared:0", "--seeds", "1", "--workers", "1", *at, cwd=tmp_path),
            pennyweight("evaluate", "shared", "--split", "test", *at, cwd=tmp_path),
            pennyweight("export", "shared", *at, cwd=tmp_path),
            pennyweight("report", "shared", *at, cwd=tmp_path),
            pennyweight("leaderboard", "shared", *at, "--top", "x", "--debug", cwd=tmp_path),
            pennyweight("leaderboard", f"--storag={url}", cwd=tmp_path),
            pennyweight("leaderboard", url, cwd=tmp_path),
            *(
                pennyweight("leaderboard", "x", "--storage", bad, *debug, cwd=tmp_path)
                for bad in (wrong, nobody, url.replace("%40", "@"), url.replace("+psycopg", "+x"))
                for debug in ([], ["--debug"])
            ),
            pennyweight("leaderboard", "--storage", open_url, cwd=tmp_path, PGPASSWORD=PASSWORD),
            pennyweight("leaderboard", "--storage", open_url, cwd=tmp_path, PGPASSWORD="n0t"),
        ]
        assert [one.status for one in ran] == [0, 2, 0, 0, 0, 0, 0, *[2] * 11, 0, 2]
        assert said(ran[10]).startswith(f"The database {server.shown} cannot be used (")
        written = [content for one in ran for content in (one.out, one.err)]
        written += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*.*")]
        written += [json.dumps(records(server))]
        for content in written:
            assert not [secret for secret in SECRETS if secret in content], content[-500:]
        assert f"penny@127.0.0.1:{server.port}" in json.dumps(records(server)[0]["command"])


@pytest.mark.extended
def test_optunas_dashboard_shows_a_study_of_the_same_database(tmp_path: Path) -> None:
    import optuna_dashboard
    from optuna.storages import RDBStorage

    with running() as server:
        _, err = search(server, tmp_path, 3).communicate(timeout=200)
        assert "3/3" in err
        storage = RDBStorage(server.url)
        page = optuna_dashboard.wsgi(storage)
        answer = _get(page, "/api/studies")
        assert [study["study_name"] for study in answer["study_summaries"]] == ["shared"]
        trials = _get(page, f"/api/studies/{answer['study_summaries'][0]['study_id']}")["trials"]
        assert [trial["number"] for trial in trials] == [0, 1, 2]
        storage.remove_session()
        storage.engine.dispose()


def _get(page: Any, path: str) -> Any:
    from wsgiref.util import setup_testing_defaults

    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
    setup_testing_defaults(environ)
    return json.loads(b"".join(page(environ, lambda status, headers, *error: None)))
