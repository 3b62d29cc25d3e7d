"""A study is the same, whatever keeps it: a folder or a PostgreSQL database."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from postgres import Server, running, until
from searches import Arithmetic, coordinate, story

from pennyweight.arch.errors import UsageError
from pennyweight.results.database import Database
from pennyweight.results.database_hold import Hold
from pennyweight.results.database_store import DatabaseLedger
from pennyweight.results.fetch import fetch
from pennyweight.results.places import Place, store_in, study_names
from pennyweight.results.records import read_records
from pennyweight.results.store import Store
from pennyweight.results.studies import find_study, load_study
from pennyweight.train.door import distinct_readings, open_test_set, readings

LEDGER: dict[str, Any] = {"seconds": {}, "wall_s": 1.5}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return tmp_path
    return Database(request.getfixturevalue("server").url, tmp_path)


@pytest.fixture
def store(place: Place, request: pytest.FixtureRequest) -> Store:
    return store_in(place, request.node.name)


def test_records_come_back_as_they_were_written(store: Store) -> None:
    assert not store.has_begun()
    with store.writing(), store.locked():
        with store.open_records() as records:
            assert store.read_records() == []
            records.append("ledger", **LEDGER)
        with store.open_records() as records:
            records.append("ledger", **LEDGER | {"wall_s": float("nan")})
            with pytest.raises(ValueError, match="must be one of"):
                records.append("joke")
    assert store.has_begun()
    first, second = store.read_records()
    assert {key: first[key] for key in LEDGER} == LEDGER
    assert (second["kind"], second["wall_s"]) == ("ledger", None)


def test_files_are_whole_and_cleared_by_trial(store: Store) -> None:
    with store.writing(), store.locked():
        for trial, epoch in [(1, 2), (1, 6), (10, 2), (11, 6)]:
            store.state(trial, epoch).write(b"old")
            store.model(trial, epoch).write(bytes([trial, epoch]))
            store.state(trial, epoch).write(b"new")
        assert store.state(1, 6).read_bytes() == b"new"
        assert store.trials_with_states() == {1, 10, 11}
        store.clear(1, keep=6, running=True)
        assert [store.model(1, epoch).exists() for epoch in (2, 6)] == [False, True]
        assert [store.state(1, epoch).exists() for epoch in (2, 6)] == [False, True]
        store.clear(1, keep=6, running=False)
        assert store.trials_with_states() == {10, 11}
        assert store.model(1, 6).read_bytes() == bytes([1, 6])
        store.state(10, 2).unlink()
        store.state(10, 2).unlink(missing_ok=True)
        with pytest.raises(OSError, match="10-0002"):
            store.state(10, 2).unlink()
        with pytest.raises(OSError, match="10-0002"):
            store.state(10, 2).read_bytes()


def test_the_model_of_the_best_epoch_outlives_the_state_of_the_last(store: Store) -> None:
    with store.writing(), store.locked():
        for epoch in (1, 2, 3):
            store.state(1, epoch).write(b"state")
            store.model(1, epoch).write(b"model")
        store.clear(1, keep=3, best=2, running=True)
        assert [store.model(1, epoch).exists() for epoch in (1, 2, 3)] == [False, True, False]
        assert [store.state(1, epoch).exists() for epoch in (1, 2, 3)] == [False, False, True]
        store.clear(1, keep=3, best=2, running=False)
        assert store.trials_with_states() == set()
        assert store.model(1, 2).exists()


def test_a_study_that_was_let_go_of_was_not_left(store: Store) -> None:
    for _ in range(2):
        with store.standing_by():
            assert not store.was_left()
            with store.writing(), store.locked():
                pass


def test_a_study_whose_coordinator_broke_off_was_left_until_one_comes_to_its_end(
    store: Store,
) -> None:
    """It may have recorded the end of its last trial, and not told Optuna: a disk was full."""
    refused, broke_off = UsageError("other settings"), ZeroDivisionError()
    for error, left in ((refused, False), (broke_off, True), (refused, True)):
        with pytest.raises(type(error)), store.writing(), store.locked():
            raise error
        assert store.was_left() is left
    with store.standing_by(), store.writing(), store.locked():  # as to confirm it
        pass
    assert store.was_left()
    with store.standing_by(), store.writing(), store.locked(settles=True):
        pass
    assert not store.was_left()


def test_a_search_is_the_same_in_both(store: Store, tmp_path: Path) -> None:
    coordinate(store, 10)
    coordinate(store, 14)  # gone on with
    alone = coordinate(store_in(tmp_path, "alone"), 14)
    place = store.database if hasattr(store, "database") else tmp_path  # type: ignore[attr-defined]
    study = load_study(place, store.name)
    assert story(study) == story(alone)
    assert store.name in study_names(place)
    assert store.trials_with_states() == set()
    assert all(store.model(n, t.epochs).exists() for n, t in study.trials.items() if t.rungs)


def test_a_reading_of_the_test_set_is_written_down_once_as_new(store: Store) -> None:
    with store.writing(), store.locked():
        assert store.count_readings() == 0
    for model in ("a", "a", "b"):
        open_test_set("digits", purpose="evaluate", model=model, ledger=store.readings)
    told = [reading["purpose"] for reading in readings(store.readings)]
    assert told == ["evaluate", "verify", "evaluate"]
    assert distinct_readings(store.readings) == store.count_readings() == 2


def test_a_study_that_is_not_there_is_named(place: Place) -> None:
    assert find_study(place, "nowhere") is None
    with pytest.raises(UsageError, match=r"There is no study 'nowhere' in .*: "):
        load_study(place, "nowhere")


def test_a_study_that_is_fetched_goes_on_in_a_folder(server: Server, tmp_path: Path) -> None:
    store = store_in(database := Database(server.url, tmp_path), "fetched")
    coordinate(store, 3)
    open_test_set("digits", purpose="evaluate", model="a", ledger=store.readings)
    copy = fetch(database, "fetched")
    assert copy.path == tmp_path / "fetched"
    assert copy.read_records() == store.read_records()
    assert copy.count_readings() == 1
    for number, trial in load_study(tmp_path, "fetched").trials.items():
        content = store.model(number, trial.epochs).read_bytes()
        assert copy.model(number, trial.epochs).read_bytes() == content
    assert story(coordinate(copy, 9)) == story(coordinate(store, 9))
    with pytest.raises(UsageError, match="exists: remove it, or choose another --runs"):
        fetch(database, "fetched")
    assert [path.name for path in tmp_path.iterdir()] == ["fetched"]


def test_a_file_of_a_name_that_leads_elsewhere_is_not_fetched(
    server: Server, tmp_path: Path
) -> None:
    coordinate(store_in(database := Database(server.url, tmp_path / "runs"), "stranger"), 1)
    server.ask("UPDATE pennyweight_files SET name = '../../' || name WHERE name LIKE 'models%%'")
    with pytest.raises(UsageError, match=r"has a file of no study: '../../models"):
        fetch(database, "stranger")
    assert [path.name for path in tmp_path.rglob("*")] == ["runs"]


def test_a_damaged_row_is_refused_by_its_number(server: Server) -> None:
    database = Database(server.url)
    coordinate(store_in(database, "damaged"), 2)
    server.ask("UPDATE pennyweight_records SET line = replace(line, '\"share\":1', '\"share\":2')")
    with pytest.raises(UsageError, match=rf"study damaged in {server.shown}:2: this line is da"):
        load_study(database, "damaged")


def test_a_row_is_the_line_that_a_file_would_have(server: Server, tmp_path: Path) -> None:
    store = store_in(Database(server.url), "lines")
    coordinate(store, 2)
    rows = server.ask(
        "SELECT line FROM pennyweight_records NATURAL JOIN pennyweight_studies "
        "WHERE name = 'lines' ORDER BY number"
    )
    (tmp_path / "records.jsonl").write_text("".join(f"{line}\n" for (line,) in rows))
    assert read_records(tmp_path / "records.jsonl") == store.read_records()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_may_have_another_encoding(encoding: str, server: Server) -> None:
    collation = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    server.ask(f"CREATE DATABASE {encoding} OWNER penny {collation}")
    database = Database(server.url.replace("/studies", f"/{encoding.lower()}"))
    coordinate(store_in(database, "encoded"), 2)
    assert study_names(database) == ["encoded"]
    assert sorted(load_study(database, "encoded").trials) == [0, 1]


def test_a_role_that_may_not_make_optunas_tables_is_not_told_to_delete_anything(
    server: Server,
) -> None:
    server.ask("CREATE SCHEMA narrow AUTHORIZATION penny")
    server.ask("CREATE USER guest PASSWORD 'x'")
    owner = Database(f"{server.url}?options=-csearch_path%3Dnarrow")
    guest = Database(owner.url.replace(owner.url.partition("@")[0], "postgresql://guest:x"))
    with store_in(owner, "a").standing_by():
        server.ask("GRANT USAGE ON SCHEMA narrow TO guest")
        server.ask("GRANT ALL ON ALL TABLES IN SCHEMA narrow TO guest")
    with pytest.raises(UsageError, match=r"refused \(permission denied.*\): see to") as caught:
        coordinate(store_in(guest, "b"), 1)
    assert "delete" not in str(caught.value)


def test_a_reading_waits_for_a_database_that_is_restarted(server: Server) -> None:
    store = store_in(database := Database(server.url), "restarted")
    with store.standing_by():
        pass
    reading = {"purpose": "confirm", "data_fingerprint": "0", "model": "m"}
    server.stop()
    later = threading.Timer(2, server.start)
    later.start()
    try:
        DatabaseLedger(database, "restarted").add(reading)
    finally:
        later.join()
    assert readings(store.readings) == [reading]


class Restarting(Arithmetic):
    """As it trains first, its database restarts; it is done when somebody holds the study again."""

    def __init__(self, server: Server, standby: threading.Thread) -> None:
        self.server, self.standby = server, standby

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        trained = super().submit(fn, *args, **kwargs)
        if self.standby.ident is not None:
            return trained
        self.standby.start()
        tried = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%%'"
        until(lambda: self.server.ask(tried))
        self.server.stop()
        self.server.start()
        late: Future[Any] = Future()

        def end() -> None:
            until(lambda: self.server.ask("SELECT FROM pg_locks WHERE locktype = 'advisory'"))
            late.set_result(trained.result())

        threading.Thread(target=end).start()
        return late


def test_a_coordinator_with_nothing_to_write_keeps_its_study_through_a_restart(
    server: Server,
) -> None:
    """A standby, which tries every second, leaves it time to take its lock back."""
    store = store_in(database := Database(server.url), "kept")
    taken: list[Hold] = []
    standby = threading.Thread(target=lambda: taken.append(Hold(database, "kept")))
    coordinate(store, 2, executor=Restarting(server, standby))
    standby.join(timeout=20)
    assert [hold.was_left for hold in taken] == [False]
    taken[0].close()


@pytest.mark.extended
def test_what_is_larger_than_a_file_may_be_is_not_read(server: Server) -> None:
    store = store_in(Database(server.url), "large")
    coordinate(store, 1)
    server.ask("ALTER TABLE pennyweight_files ALTER content SET STORAGE EXTENDED")  # compressed
    server.ask(
        "UPDATE pennyweight_files AS f SET content = convert_to(repeat('x', 500000001), 'UTF8') "
        "FROM pennyweight_studies AS s WHERE f.study = s.study AND s.name = 'large'"
    )
    with pytest.raises(UsageError, match=r"models/.* must have at most 500,000,000 bytes"):
        store.model(0, 9).read_bytes()
    server.ask(
        "INSERT INTO pennyweight_records SELECT study, 1000 + n, repeat('x', 1000000) "
        "FROM pennyweight_studies, generate_series(1, 500) AS n WHERE name = 'large'"
    )
    with pytest.raises(UsageError, match=r"study large in .* must have at most 500,000,000 bytes"):
        store.read_records()


def test_neither_database_nor_ledger_tells_its_password(server: Server) -> None:
    database = Database(server.url)
    for shown in (database, DatabaseLedger(database, "a"), store_in(database, "a").where):
        assert "seen" not in f"{shown} {shown!r}"
    assert "seen" not in " ".join(database.flags)


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://me:seen@host/db", "postgresql+psycopg2://me:seen@host/db", "seen", ""),
        *("postgresql://me:a@seen@host/db", "postgresql://me:se/en@host/db"),
        *("postgresql://me:seen@host:port/db", "postgresql://host/db?no=seen", "sqlite:///seen"),
    ],
)
def test_what_is_no_database_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(UsageError, match="must be a URL such as") as caught:
        Database(url)
    assert "seen" not in str(caught.value)
    assert "en@" not in str(caught.value)
    assert caught.value.__cause__ is None
