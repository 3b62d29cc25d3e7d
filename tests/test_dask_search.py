"""Searches on Dask clusters: what they find, and what kills, restarts and strangers do to them."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clusters import cluster
from command_line import SMALL, confirmed, copied, pennyweight, said, searched, start
from searches import REAL, TRIALS, check_whole, real_study, start_search, story
from started import started
from test_dask_executor import SOON_S, another_version
from test_executors import processes, until

from pennyweight.results.folder import StudyFolder
from pennyweight.results.studies import load_study
from pennyweight.results.study_records import StudyRecords
from pennyweight.search.dask_worker import CALLS
from pennyweight.train.door import readings

pytestmark = pytest.mark.extended


def study_of(folder: Path) -> StudyRecords:
    return load_study(folder / "runs", "real")


def rungs(folder: Path) -> int:
    """How many are on record."""
    file = folder / "runs" / "real" / "records.jsonl"
    return file.read_text().count('"kind":"rung"') if file.exists() else 0


def running(client: Any) -> list[str]:
    """The calls that workers have said they run."""
    workers = client.sync(client.scheduler.identity)["workers"].values()
    return [key for each in workers for key in each["metrics"].get(CALLS, ())]


def finished(search: subprocess.Popen[str]) -> str:
    """What it said on stderr."""
    _, err = search.communicate(timeout=240)
    assert search.returncode == 0, err
    return err


def test_one_dask_worker_gives_the_same_trials_to_the_bit_as_one_local_worker(
    tmp_path: Path,
) -> None:
    local = real_study()
    finished(start_search(tmp_path, workers=None, more="executor='dask:local:1'"))
    assert story(study_of(tmp_path)) == story(load_study(local.path.parent, "real"))


def test_a_search_on_a_cluster_outlives_its_workers(tmp_path: Path) -> None:
    """Each candidate's curve is that of the undisturbed search: nothing is lost or repeated."""
    with cluster(tmp_path / "cluster", workers=2) as by_hand:
        search = start_search(tmp_path, workers=None, more=f"executor='{by_hand.executor}'")
        for least in (1, 4, 8):
            assert until(lambda n=least: rungs(tmp_path) >= n, 120)
            assert by_hand.kill_a_worker()
        finished(search)
    check_whole(StudyFolder(tmp_path / "runs" / "real"), TRIALS, REAL)
    local = real_study()
    known = load_study(local.path.parent, "real").trials.values()
    curves = {(t.fingerprint, str(t.recipe), t.seed, t.frame): t.rungs for t in known}
    same = 0
    for trial in study_of(tmp_path).trials.values():
        theirs = curves.get((trial.fingerprint, str(trial.recipe), trial.seed, trial.frame), ())
        for mine, other in zip(trial.rungs, theirs, strict=False):
            assert (mine.epoch, mine.curve) == (other.epoch, other.curve)
            same += 1
    assert same > 0


def test_a_worker_of_a_cluster_that_hangs_is_ended_and_its_rung_handed_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before Dask itself takes a worker that is silent for a lost one, in five minutes."""
    from distributed import Client

    # Where nothing is compiled yet, a rung that was told of is not over when its worker is stopped.
    monkeypatch.setenv("PENNYWEIGHT_CACHE", str(tmp_path / "cache"))
    with cluster(tmp_path / "cluster", workers=1) as by_hand:
        more = f"executor='{by_hand.executor}', rung_timeout_s=30"
        search = start_search(tmp_path, workers=None, more=more)
        with Client(by_hand.address, set_as_default=False) as client:
            assert until(lambda: running(client), 120)
            hung = by_hand.kill_a_worker(signal.SIGSTOP)
        finished(search)
    check_whole(StudyFolder(tmp_path / "runs" / "real"), TRIALS, REAL)
    known = study_of(tmp_path).trials.values()
    assert len({hung} | {rung.worker for trial in known for rung in trial.rungs}) == 2


def test_a_search_goes_on_when_the_scheduler_is_started_again(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", workers=1) as by_hand:
        search = start_search(tmp_path, workers=None, more=f"executor='{by_hand.executor}'")
        assert until(lambda: rungs(tmp_path) >= 2, 120)
        by_hand.processes[0].kill()
        by_hand.processes[0].wait()
        by_hand.start_scheduler()
        by_hand.start_worker()  # those of the scheduler before end with it
        finished(search)
    check_whole(StudyFolder(tmp_path / "runs" / "real"), TRIALS, REAL)


def test_a_search_whose_scheduler_is_gone_stops_and_goes_on_anywhere(tmp_path: Path) -> None:
    flags = ["search", "--max-params", "60", "--max-epochs", "36", "--trials", str(TRIALS)]
    flags += ["--study", "real"]
    with cluster(tmp_path / "cluster", workers=1) as by_hand:
        patience: dict[str, Any] = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}
        search = started(start(*flags, *on(by_hand.executor), cwd=tmp_path, **patience))
        assert until(lambda: rungs(tmp_path) >= 2, 120)
        by_hand.processes[0].kill()
        _, err = search.communicate(timeout=60)
    assert search.returncode == 1, err
    assert err.splitlines()[-1] == (
        f"pennyweight: The Dask scheduler at {by_hand.address} is gone: start it again, then go on "
        "with the study by the same command."
    )
    assert "Traceback" not in err
    assert {t.state for t in study_of(tmp_path).trials.values()} <= {
        "running", "complete", "pruned", "duplicate",
    }  # fmt: skip
    assert pennyweight(*flags, "--workers", "1", cwd=tmp_path).status == 0
    check_whole(StudyFolder(tmp_path / "runs" / "real"), TRIALS, REAL)


def test_an_adaptive_cluster_grows_from_nothing_for_a_search(tmp_path: Path) -> None:
    search = ["search", *SMALL[:4], "--study", "small", "--trials", "8", "--group", "1"]
    script = """
import sys, time
from pathlib import Path
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="200ms", target_duration="200ms")
        print(cluster.scheduler_address, flush=True)
        most = 0
        while not Path("done").exists():
            most = max(most, len(cluster.scheduler.workers))
            time.sleep(0.05)
        print(most, flush=True)
"""
    (tmp_path / "adaptive.py").write_text(script)
    adaptive = subprocess.Popen(
        [sys.executable, "adaptive.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert adaptive.stdout
    address = adaptive.stdout.readline().strip()
    ran = pennyweight(*search, "--executor", f"dask:{address}", "--workers", "2", cwd=tmp_path)
    (tmp_path / "done").touch()
    grew_to = int(adaptive.communicate(timeout=60)[0])
    assert (ran.status, grew_to) == (0, 2), ran.err


def test_a_worker_of_another_version_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as by_hand:
        by_hand.start_worker(path=another_version("flax", "0.0.1", tmp_path))
        assert until(lambda: "Registered to" in by_hand.log(), SOON_S)
        line = said(pennyweight("search", *SMALL, *on(by_hand.executor), cwd=tmp_path))
    assert "must have the coordinator's flax 0." in line
    assert line.endswith("but has 0.0.1: install the same there, or stop that worker.")
    assert not (tmp_path / "runs").exists()


def test_a_worker_that_cannot_load_the_data_or_loads_other_data_says_so(tmp_path: Path) -> None:
    rows = "".join(f"{n % 2}," + ",".join(["0"] * 15 + [str(n % 256)]) + "\n" for n in range(1200))
    header = "label," + ",".join(f"p{n}" for n in range(16)) + "\n"
    (tmp_path / "mine.csv").write_text(header + rows)
    search = ["search", *SMALL[:4], "--study", "small", "--data", "csv:mine.csv"]
    with cluster(tmp_path / "cluster", workers=1) as by_hand:
        assert until(lambda: "Registered to" in by_hand.log(), SOON_S)
        ran = pennyweight(*search, *on(by_hand.executor), cwd=tmp_path)
        assert ran.status == 2
        assert "must find the same data by the same name, but: csv: takes a file, but" in ran.err
        (tmp_path / "cluster" / "mine.csv").write_text(header + rows.replace("255", "254"))
        line = said(pennyweight(*search, *on(by_hand.executor), cwd=tmp_path))
        assert "must have the fingerprint" in line
    assert not (tmp_path / "runs").exists()


def test_a_search_talks_tls_and_leaves_no_key_anywhere(tmp_path: Path) -> None:
    from distributed import Security

    made = Security.temporary()
    for name in ("ca_file", "client_cert", "client_key"):
        (tmp_path / f"{name}.pem").write_text(getattr(made, f"tls_{name}"))
    files = {n: str(tmp_path / f"{n}.pem") for n in ("ca_file", "client_cert", "client_key")}
    flags = ("--tls-ca-file", files["ca_file"], "--tls-cert", files["client_cert"])
    flags += ("--tls-key", files["client_key"])
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    mine: dict[str, Any] = {
        f"{tls}CA_FILE": files["ca_file"],
        f"{tls}CLIENT__CERT": files["client_cert"],
    }
    mine[f"{tls}CLIENT__KEY"] = files["client_key"]
    with cluster(tmp_path / "cluster", 1, flags, protocol="tls") as by_hand:
        search = ["search", *SMALL[:4], "--trials", "2"]
        ran = pennyweight(*search, *on(by_hand.executor), cwd=tmp_path, **mine)
        assert ran.status == 0, ran.err
        plain = by_hand.executor.replace("tls", "tcp")
        soon = partial(pennyweight, cwd=tmp_path, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="2s")
        line = said(soon(*search, "--seed", "1", *on(plain)))
        assert "must name a Dask scheduler that answers" in line
    secret = (tmp_path / "client_key.pem").read_text().splitlines()[1].encode()
    written = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert len(written) > 2
    assert not [file for file in written if secret in file.read_bytes()]
    assert secret.decode() not in ran.out + ran.err + line


def test_a_cluster_started_here_listens_on_loopback_alone_and_ends_with_its_coordinator(
    tmp_path: Path,
) -> None:
    flags = ["search", *SMALL[:4], "--study", "real", "--trials", "200", *on("dask:local:2")]
    search = started(start(*flags, cwd=tmp_path))
    assert until(lambda: rungs(tmp_path) >= 1, 120)
    assert set(listening(search.pid)) == {"127.0.0.1"}
    os.killpg(search.pid, signal.SIGINT)  # as Ctrl-C: all of them get it
    _, err = search.communicate(timeout=30)
    assert (search.returncode, "Traceback" in err) == (130, False), err
    assert until(lambda: not processes(search.pid), 10)
    search = started(start(*flags, cwd=tmp_path))
    before = rungs(tmp_path)
    assert until(lambda: rungs(tmp_path) > before, 120)
    search.kill()
    search.communicate(timeout=30)
    assert until(lambda: not processes(search.pid), 10)


def test_confirm_on_a_cluster_gives_what_it_gives_here_and_the_ledger_stays_here(
    tmp_path: Path,
) -> None:
    here, _ = confirmed()
    copied(searched()[0] / "runs", tmp_path / "runs")
    flags = ["--top", "2", "--race", "2", "--seeds", "2"]
    with cluster(tmp_path / "cluster", workers=1) as by_hand:
        ran = pennyweight("confirm", "small", *flags, *on(by_hand.executor), cwd=tmp_path)
    assert ran.status == 0, ran.err
    mine, theirs = (load_study(folder / "runs", "small") for folder in (tmp_path, here))
    told = [
        {(run.trial, run.seed, run.part, run.correct, run.total) for run in study.fresh_runs}
        for study in (mine, theirs)
    ]
    assert told[0] == told[1]
    assert len(readings(StudyFolder(tmp_path / "runs" / "small").readings)) == 2
    assert not list((tmp_path / "cluster").rglob("*readings*"))


def on(executor: str) -> list[str]:
    return ["--executor", executor]


def listening(session: int) -> list[str]:
    """The IPv4 addresses on which a session's processes listen; IPv6 would be told as such."""
    found = []
    for line in processes(session):
        pid = line.partition(":")[0]
        sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        for table in ("tcp", "tcp6"):
            for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                local, state, inode = (row.split()[place] for place in (1, 3, 9))
                if state == "0A" and f"socket:[{inode}]" in sockets:
                    raw = bytes.fromhex(local.partition(":")[0])[::-1]
                    found.append(".".join(map(str, raw)) if table == "tcp" else f"[{local}]")
    return found
