"""Who holds a study may write to it, whatever becomes of connections, server and machines."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from postgres import SECRETS, Server, running, until

from pennyweight.arch.errors import RunError, UsageError
from pennyweight.results.database import Database
from pennyweight.results.database_hold import Hold

INSERT = "INSERT INTO pennyweight_files (study, name, content) VALUES (%s, %s, '')"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture
def database(server: Server) -> Database:
    return Database(server.url, patience_s=20)


def test_who_was_cut_off_and_replaced_cannot_write(server: Server, database: Database) -> None:
    first = Hold(database, "contested")
    first.write(INSERT, [first.study, "before"])
    assert server.cut_off() == 1
    second = Hold(database, "contested")
    assert (first.was_left, second.was_left) == (False, True)
    other = first.connect()  # as Optuna's
    other.execute("CREATE TABLE stray ()")
    with pytest.raises(RunError, match=rf"was taken over by .*, pid {os.getpid()} while") as caught:
        other.commit()
    with pytest.raises(RunError) as again:
        first.write(INSERT, [first.study, "after"])
    assert str(again.value) == str(caught.value)
    first.close()
    second.write(INSERT, [second.study, "by the second"])
    second.close()
    third = Hold(database, "contested")
    assert not third.was_left
    third.close()
    assert server.files("contested") == ["before", "by the second"]
    assert server.ask("SELECT to_regclass('stray')") == [(None,)]


def test_who_takes_over_does_not_wait_for_a_transaction_that_was_left(
    server: Server, database: Database
) -> None:
    """And reads all that was written: nothing of the term before comes later."""
    first, bystander = Hold(database, "left"), Hold(database, "another")
    other = first.connect()  # as Optuna's
    other.execute(INSERT, [first.study, "left"])
    first.check_term(other)
    first._connection.close()  # the lock goes, as with the network of a machine
    began = time.monotonic()
    second = Hold(database, "left")
    assert time.monotonic() - began < 20, "less than a transaction may be left alone"
    with pytest.raises(psycopg.OperationalError):
        psycopg.Connection.commit(other)
    assert server.files("left") == []
    bystander.write(INSERT, [bystander.study, "of another study"])
    for hold in (first, second, bystander):
        hold.close()


def test_who_was_cut_off_and_not_replaced_goes_on(server: Server, database: Database) -> None:
    hold = Hold(database, "alone")
    assert server.cut_off() == 1
    hold.write(INSERT, [hold.study, "one"])
    assert server.cut_off() == 1, "it has its lock back"
    server.stop("immediate")
    later = threading.Timer(2, server.start)
    later.start()
    hold.write(INSERT, [hold.study, "two"])
    later.join()
    assert server.cut_off() == 1
    hold.close()
    assert server.files("alone") == ["one", "two"]


def test_patience_with_a_database_has_an_end(server: Server) -> None:
    hold = Hold(Database(server.url, patience_s=1), "patient")
    server.stop()
    try:
        with pytest.raises(RunError, match=r"is gone for 1 s \(.*command goes on") as caught:
            hold.write(INSERT, [hold.study, "lost"])
        began = time.monotonic()
        with pytest.raises(RunError) as again:
            hold.write(INSERT, [hold.study, "lost"])
        assert time.monotonic() - began < 0.5, "it is known by now"
        hold.close()
    finally:
        server.start()
    assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_what_the_server_refuses_is_told_in_a_line(server: Server, database: Database) -> None:
    hold = Hold(database, "refused")
    server.ask("ALTER TABLE pennyweight_files ADD CHECK (name <> 'no')")
    with pytest.raises(RunError, match=r"refused \(.*check constraint.*\): see to that, and the"):
        hold.write(INSERT, [hold.study, "no"])
    hold.close()
    server.ask("ALTER TABLE pennyweight_files DROP CONSTRAINT pennyweight_files_name_check")


def test_a_role_that_may_not_hold_a_study_is_told_so_before_it_begins(server: Server) -> None:
    Hold(Database(server.url), "guarded").close()
    server.ask("CREATE USER reader PASSWORD 'x'")
    reader = Database(f"postgresql://reader:x@127.0.0.1:{server.port}/studies")
    with pytest.raises(UsageError, match=r"studies cannot be read \(permission denied"):
        reader.study_names()
    server.ask("GRANT SELECT ON pennyweight_studies, pennyweight_records TO reader")
    assert reader.study_names() == []
    with pytest.raises(UsageError, match=r"refused \(permission denied.*: see to that, or choose"):
        Hold(reader, "guarded")


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("[]", "another process"),
        ("{torn", "another process"),
        ('{"host": "\\u001b[2J", "pid": 1}', "\\x1b[2J, pid 1"),
    ],
)
def test_whatever_is_noted_of_who_holds_a_study_is_told_in_a_line(
    note: str, told: str, server: Server, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Hold(database, "noted")
    server.ask("UPDATE pennyweight_studies SET holder = %s WHERE name = 'noted'", note)
    taken: list[Hold] = []
    waiting = threading.Thread(target=lambda: taken.append(Hold(database, "noted")))
    waiting.start()
    said: list[str] = []
    until(lambda: said.append(capsys.readouterr().err) or "".join(said).endswith("\n"))
    first.close()
    waiting.join(timeout=20)
    taken[0].close()
    line = "waiting: study noted is run by {}; this takes over when it ends\n"
    assert "".join(said) == line.format(told)


HOLD = """
import sys
from pennyweight.arch.errors import RunError
from pennyweight.results.database import Database
from pennyweight.results.database_hold import Hold

hold = Hold(Database(sys.argv[1]), "vanished")
print("held", flush=True)
input()
try:
    hold.write("DELETE FROM pennyweight_records WHERE study = %s", [hold.study])
except RunError as error:
    print(error)
"""


@pytest.fixture
def machine() -> Iterator[str]:
    """A network of its own, whose one cable is unplugged by `ip link set PENNY down`."""
    name = f"penny{os.getpid() % 10_000}"
    plugs = [f"ip netns add {name}", f"ip link add {name} type veth peer name eth0 netns {name}"]
    plugs += [f"ip addr add 10.213.7.1/24 dev {name}", f"ip link set {name} up"]
    plugs += [f"ip -n {name} addr add 10.213.7.2/24 dev eth0", f"ip -n {name} link set eth0 up"]
    try:
        for command in plugs:
            if shutil.which("ip") is None or subprocess.run(command.split()).returncode:
                pytest.skip("this needs root, and a kernel that has networks to give")
        yield name
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "link", "del", name])
            subprocess.run(["ip", "netns", "del", name])


@pytest.mark.extended
def test_a_machine_that_vanishes_loses_its_study_within_half_a_minute(machine: str) -> None:
    with running(listen="127.0.0.1, 10.213.7.1") as server:
        there = server.url.replace("127.0.0.1", "10.213.7.1")
        first = subprocess.Popen(
            ["ip", "netns", "exec", machine, sys.executable, "-c", HOLD, there],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        subprocess.run(["ip", "link", "set", machine, "down"], check=True)
        began = time.monotonic()
        second = Hold(Database(server.url), "vanished")
        print(f"taken over {time.monotonic() - began:.1f} s after the cable was unplugged")
        assert time.monotonic() - began < 30
        subprocess.run(["ip", "link", "set", machine, "up"], check=True)
        told, _ = first.communicate("go on\n", timeout=60)
        assert told.startswith("Study vanished was taken over by ")
        second.close()
