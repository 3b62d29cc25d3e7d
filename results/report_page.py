"""A report as one HTML file that needs no other, no server and no network.

Everything from the records is a stranger's text: the template escapes it, and the page's policy
lets the browser run no script but the two that it names by their hashes, and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shlex
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pennyweight.arch.errors import visible
from pennyweight.results.baselines import baselines
from pennyweight.results.network_drawing import draw_network
from pennyweight.results.published import PUBLISHED
from pennyweight.results.report import MOST_CURVES, Best, Missing, Report, fate
from pennyweight.results.report_plots import plots
from pennyweight.results.tables import PARETO_MARK, limits, percent, short
from pennyweight.train.corrections import plain_source
from pennyweight.train.precision import PRECISION

MOST_CLASSES = 100  # of a confusion matrix
LARGEST_PICTURE = 96  # pixels of a mistake's side

_HERE = Path(__file__).parent


def render(report: Report) -> str:
    """The page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not Markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "sort_keys": False}
    environment.filters |= {
        "clock": _clock,
        "command": shell,
        "fate": fate,
        "percent": percent,
        "picture": _picture,
        "short": short,
        "time": _time,
    }
    environment.tests["missing"] = lambda part: isinstance(part, Missing)
    scripts = [get_plotlyjs(), _read("report.js")]
    return environment.get_template("report.html").render(
        report=report,
        study=report.study,
        best=report.best,
        rows=report.shown,
        baselines=baselines(report.study),
        limits=limits(report.study),
        unusual=[] if report.study.precision == PRECISION else [report.study.precision],
        mark=PARETO_MARK,
        published=plain_source(report.study.data) in PUBLISHED,
        version=version("pennyweight"),
        most_curves=MOST_CURVES,
        plots=plots(report),
        drawing=_drawing(report.best),
        worst=report.examined.worst if report.examined else [],
        most_classes=MOST_CLASSES,
        commands=list(_commands(report)),
        written=time.time(),
        style=_read("report.css"),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
    )


def shell(command: Any) -> str:
    """A recorded command as one types it."""
    return command if isinstance(command, str) else shlex.join(map(str, command))


def _commands(report: Report) -> Iterator[tuple[str, str]]:
    """What each command does, and the command."""
    study, name, flags = report.study, report.name, report.flags
    if isinstance(study.command, str) or len(study.command) > 1:  # from Python it says no more
        yield "made this study; the same command goes on with it", shell(study.command)
    yield "shows the leaderboard", shell(["pennyweight", "leaderboard", name, *flags])
    if not isinstance(report.best, Missing):
        yield "takes the best network with you", shell(["pennyweight", "export", name, *flags])
        yield "trains it again, with its recipe as recipe.json", shell(_training(report))
    yield "writes this report", shell(["pennyweight", "report", name, *flags])


def _training(report: Report) -> list[str]:
    assert isinstance(report.best, Best)
    study, trial = report.study, report.best.trial
    command = ["pennyweight", "train", trial.notation, "--data", study.data]
    command += ["--recipe", "recipe.json", "--seed", str(trial.seed)]
    command += ["--max-epochs", str(study.budget["max_epochs"] or trial.epochs)]
    command += [] if study.precision == PRECISION else ["--precision", study.precision]
    for name, value in study.stopping.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return command + (["--whole"] if study.whole else [])


def _drawing(best: Best | Missing) -> str | None:
    if isinstance(best, Missing) or isinstance(best.architecture, Missing):
        return None
    return draw_network(best.architecture)


def _picture(image_hwc: np.ndarray) -> str:
    """A PNG as a `data:` address."""
    from PIL import Image

    grey = image_hwc.shape[2] == 1
    picture = Image.fromarray(np.ascontiguousarray(image_hwc[..., 0] if grey else image_hwc))
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    file = io.BytesIO()
    picture.save(file, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _time(moment: float | str) -> str:
    """A moment in UTC, such as `2025-01-31 12:00`."""
    if isinstance(moment, str):
        return moment
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def _clock(seconds: float) -> str:
    """A duration: `59 s`, `17 min`, `2 h 5 min`.

    >>> _clock(59.1), _clock(1_000), _clock(7_500)
    ('59 s', '17 min', '2 h 5 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
