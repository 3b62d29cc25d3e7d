"""The installed command line as a user runs it: processes, what they print and what they leave."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

SCRIPT = Path(sys.executable).with_name("pennyweight")
NETWORK = "m2 c4r A d10+"  # compiles soonest; that it learns little does not matter
SMALL = ["--max-params", "60", "--max-epochs", "1", "--workers", "1", "--study", "small"]
"""Flags of a search that takes seconds."""


class Ran(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)


def pennyweight(
    *arguments: str | Path,
    cwd: Path,
    timeout: float = 240,
    file_limit: int | None = None,
    **environment: str | Path,
) -> Ran:
    """Run the installed script in the folder `cwd` to its end; no file may outgrow `file_limit`."""
    limit = [] if file_limit is None else ["prlimit", f"--fsize={file_limit}"]
    ran = subprocess.run(
        [*limit, SCRIPT, *arguments],
        cwd=cwd,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Ran(ran.returncode, *(s.decode(errors="replace") for s in (ran.stdout, ran.stderr)))


def start(*arguments: str | Path, cwd: Path, **environment: str | Path) -> subprocess.Popen[str]:
    """Start the installed script in the folder `cwd`, in a session of its own."""
    return subprocess.Popen(
        [SCRIPT, *arguments],
        cwd=cwd,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with the file's content, None for a folder."""
    paths = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in paths
    }


def said(ran: Ran) -> str:
    """The line that a refusal consists of, without its prefix; asserts that it is one."""
    assert "Traceback" not in ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("pennyweight: ")
    assert ran.err.isprintable() or ran.err[:-1].isprintable()
    assert (ran.status, ran.out) == (2, ""), ran
    return ran.err.removeprefix("pennyweight: ").rstrip("\n")


def searched() -> tuple[Path, Ran]:
    """A folder in which `search` made the study `small`, and what it printed, with --json."""
    flags = ["--trials", "3", "--json"]
    return _once("searched", lambda folder: pennyweight("search", *SMALL, *flags, cwd=folder))


def searched_mnist() -> tuple[Path, Ran]:
    """A folder in which `search` made the study `small` of MNIST, as it takes a minute or more."""
    flags = ["--max-params", "8k", "--max-epochs", "2", "--trials", "4", "--study", "small"]
    command = ["search", "--data", "mnist", *flags, "--json"]
    return _once("mnist", lambda folder: pennyweight(*command, cwd=folder, timeout=1_400))


def trained() -> tuple[Path, Ran]:
    """A folder in which `train` made the study `one`, and what it printed, with --test --json."""
    flags = ["--study", "one", "--max-epochs", "2", "--test", "--json"]
    return _once("trained", lambda folder: pennyweight("train", NETWORK, *flags, cwd=folder))


def confirmed() -> tuple[Path, Ran]:
    """A folder in which the study `small` was confirmed after its search, with `record.json`."""

    def make(folder: Path) -> Ran:
        shutil.copytree(searched()[0] / "runs", folder / "runs")
        flags = [
            "--top",
            "2",
            "--race",
            "2",
            "--seeds",
            "2",
            "--workers",
            "1",
            "--record",
            "record.json",
        ]
        return pennyweight("confirm", "small", *flags, cwd=folder)

    return _once("confirmed", make)


def copied(folder: Path, to: Path) -> Path:
    """A copy of what `searched` or `trained` made, in the new folder `to`."""
    return Path(shutil.copytree(folder, to, symlinks=True))


def _once(name: str, make: Callable[[Path], Ran]) -> tuple[Path, Ran]:
    """Make a folder once for all test processes. It is to be copied, not changed."""
    cache = Path(os.environ["PENNYWEIGHT_CACHE"])
    cache.mkdir(parents=True, exist_ok=True)
    folder, printed = cache / f"cli-{name}", cache / f"cli-{name}.json"
    with FileLock(cache / f"cli-{name}.lock"):
        if not printed.exists():
            folder.mkdir()
            printed.write_text(json.dumps(make(folder)))
    ran = Ran(*json.loads(printed.read_text()))
    assert ran.status == 0, ran.err
    return folder, ran


def _environment(extra: dict[str, str | Path]) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "80", **{name: str(value) for name, value in extra.items()}}
