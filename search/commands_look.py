"""The commands that show: `leaderboard`, `report`, `inspect` and `data`."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path

from pennyweight.arch.errors import UsageError
from pennyweight.results.leaderboard import SortKey
from pennyweight.results.places import folder_of, place_of, store_in, study_names
from pennyweight.results.tables import short
from pennyweight.search.output import show, show_leaderboard
from pennyweight.search.settings import DATA
from pennyweight.search.units import Count, Flag, InputShape, Runs, Storage


def leaderboard(
    study: str | None = None,
    /,
    *,
    sort: SortKey = "rank",
    top: Count | None = None,
    pareto: Flag = False,
    json: Flag = False,
    csv: Flag = False,
    markdown: Flag = False,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Show a study's trials, the best first.

    Parameters
    ----------
    study
        Its name. Without it, the names of all studies.
    sort
        By rank, accuracy, params, macs or trial.
    top
        How many rows; in a terminal 20, as JSON, CSV and Markdown all.
    pareto
        Only trials that no other is as accurate as with fewer parameters.
    json
        Print one JSON document.
    csv
        Print comma-separated values.
    markdown
        Print a Markdown table.
    """
    from pennyweight.results.leaderboard import arrange, rows
    from pennyweight.results.studies import load_study

    if json + csv + markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude one another: choose one.")
    place = place_of(runs, storage)
    if study is None:
        names = study_names(place)
        if not names:
            other = "--storage" if storage else "--runs"
            raise UsageError(
                f"There is no study in {place} yet: launch a search, or choose another {other}."
            )
        print(json_format.dumps({"studies": names}, indent=2) if json else "\n".join(names))
        return
    records = load_study(place, study)
    everything = json or csv or markdown
    if top is None and not everything:
        top = 20
    chosen = arrange(rows(records), sort=sort, top=top, pareto=pareto)
    if csv or markdown:
        from pennyweight.results.baselines import baselines
        from pennyweight.results.tables import as_csv, as_markdown

        written, known = as_csv if csv else as_markdown, baselines(records)
        sys.stdout.write(written(chosen, known))
    else:
        show_leaderboard(records, chosen, store_in(place, study), json=json)


def report(
    study: str,
    /,
    *,
    out: Path | None = None,
    png: Path | None = None,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Write what a study found as one HTML file, which opens without a network.

    Parameters
    ----------
    study
        Its name. It may still be running.
    out
        The .html file to write; by default report.html in the study's own folder.
    png
        A folder for the plots as PNG files too.
    """
    from pennyweight.results.studies import load_study
    from pennyweight.search.reporting import check_places, write_report

    place = place_of(runs, storage)
    records = load_study(place, study)
    path = out or folder_of(place, study) / "report.html"
    check_places(out, png)
    for written in write_report(store_in(place, study), records, path, png):
        print(f"{written}: {short(written.stat().st_size)}B")


def inspect(
    arch: str | None = None,
    /,
    *,
    data: str = DATA,
    input: InputShape | None = None,
    classes: Count | None = None,
    json: Flag = False,
) -> None:
    """Show a network layer by layer: shapes, parameters, MACs, receptive field.

    Parameters
    ----------
    arch
        A notation such as "c8br m2 c16br A d10+", a JSON file, zoo:NAME or pretrained:NAME. Without
        it, the networks that have a name.
    data
        The data set that a notation is read for.
    input
        The input that a notation is read for, such as 28x28x1, with --classes.
    classes
        The number of classes.
    json
        Print one JSON document.
    """
    from pennyweight.search.arguments import read_arch
    from pennyweight.search.describe import describe_architecture, describe_named

    if arch is None:
        if input is not None or classes is not None:
            raise UsageError("--input and --classes are what a notation is read for: give ARCH.")
        shown = describe_named()
    else:
        named = read_arch(arch, data=data, input_shape=input, classes=classes)
        shown = describe_architecture(named.architecture)
    show(shown.to_json() if json else shown)


def data_list(*, json: Flag = False) -> None:
    """Show the data sets that are here.

    Parameters
    ----------
    json
        Print one JSON document.
    """
    from pennyweight.search.describe import describe_sources

    shown = describe_sources()
    show(shown.to_json() if json else shown)


def data_show(name: str, /, *, json: Flag = False) -> None:
    """Show a data set: pictures by class and split, and a few of them.

    Parameters
    ----------
    name
        Its name.
    json
        Print one JSON document.
    """
    from pennyweight.search.describe import describe_pictures

    shown = describe_pictures(name)
    show(shown.to_json() if json else shown)
