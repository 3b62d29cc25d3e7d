"""What `--executor` says, and what becomes of one that cannot be."""

import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clusters import free_port
from command_line import SMALL, pennyweight, said

from pennyweight.arch.errors import UsageError
from pennyweight.search.device import CPU
from pennyweight.search.engine import Engine
from pennyweight.train.data import load_training_set


@pytest.mark.parametrize(
    "text",
    [
        *("dask", "dask:", "dask:local", "dask:local:0", "dask:local:9999", "dask:127.0.0.1:8786"),
        *("dask:tcp://host", "dask:http://host:80", "dask:tcp://me:secret@host:1", "ray:here", ""),
    ],
)
def test_what_names_no_engine_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--executor must be local, dask:tcp://HOST:PORT, .*got"):
        Engine.of(text)


def test_an_engine_knows_how_many_trainings_it_runs() -> None:
    assert Engine.of("dask:local:2").count(None, CPU) == 2
    assert Engine.of("dask:tcp://[::1]:8786").count(20, CPU) == 20
    assert Engine.of("local").count(3, CPU) == 3
    with pytest.raises(UsageError, match=r"--workers is what dask:local:2 says already, but got 4"):
        Engine.of("dask:local:2").check(4, CPU)


def test_what_a_cluster_elsewhere_trains_on_is_not_looked_for_here() -> None:
    assert Engine.of("dask:tcp://host:8786").device("gpu").kind == "gpu"
    assert Engine.of("dask:tcp://host:8786").device("auto").kind == "cpu"
    with pytest.raises(UsageError, match="--device cannot be 'gpus'"):
        Engine.of("dask:tcp://host:8786").device("gpus")  # type: ignore[arg-type]


def test_a_scheduler_that_does_not_answer_is_refused_in_one_line(tmp_path: Path) -> None:
    load_training_set("digits")  # that it is decoded is told once for a machine
    soon = partial(pennyweight, cwd=tmp_path, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    nobody = f"dask:tcp://127.0.0.1:{free_port()}"
    ran = soon("search", *SMALL, "--executor", nobody)
    assert said(ran).startswith("--executor must name a Dask scheduler that answers, but tcp://")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # listens, and never says a word
        mute = f"dask:tcp://127.0.0.1:{silent.getsockname()[1]}"
        ran = soon("search", *SMALL, "--executor", mute)
    assert "there is no answer" in said(ran)
    assert not (tmp_path / "runs").exists()


def test_tls_without_certificates_says_which_and_never_shows_a_key(tmp_path: Path) -> None:
    search = ["search", *SMALL, "--executor", f"dask:tls://127.0.0.1:{free_port()}"]
    ran = pennyweight(*search, cwd=tmp_path)
    assert "set DASK_DISTRIBUTED__COMM__TLS__CA_FILE or" in said(ran)
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    secret = "-----BEGIN PRIVATE KEY-----QmFk"
    given: dict[str, Any] = {f"{tls}CA_FILE": "ca.pem", f"{tls}CLIENT__CERT": "me.pem"}
    given[f"{tls}CLIENT__KEY"] = secret
    line = said(pennyweight(*search, cwd=tmp_path, **given))
    assert "cannot be used (FileNotFoundError)" in line
    ran = pennyweight(*search, "--debug", cwd=tmp_path, **given)
    assert "PRIVATE KEY" not in line + ran.err + ran.out


def test_without_the_extra_the_error_names_it() -> None:
    program = """
import sys
sys.modules["distributed"] = None  # as if it were not installed
from pennyweight.search.engine import Engine
from pennyweight.train.data import load_training_set
Engine.of("dask:local:1").open(None, warm=int)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "needs distributed, but it is not installed: pip install 'penny" in ran.stderr
