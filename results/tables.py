"""The leaderboard for other programs and documents: JSON, CSV and Markdown."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields

from pennyweight.results.baselines import Baseline, baselines
from pennyweight.results.confirmed import confirmed
from pennyweight.results.leaderboard import Row
from pennyweight.results.records import FIELDS
from pennyweight.results.study_records import StudyRecords

PARETO_MARK = "◆"

_OF_BASELINES = ["examples", "stored", "test_accuracy", "test_low", "test_high", "study"]

_MARKDOWN_COLUMNS = {
    "rank": "---:",
    "Pareto": ":---:",
    "trial": "---:",
    "accuracy % [95%]": ":---",
    "parameters": "---:",
    "deployed": "---:",
    "MACs": "---:",
    "epochs": "---:",
    "state": ":---",
    "architecture": ":---",
}


def as_json(study: StudyRecords, rows: Sequence[Row], *, test_readings: int | None = None) -> str:
    """One JSON document: the study's facts and the rows, accuracies as fractions, nothing as null.

    `test_readings` counts the distinct readings of the test set, for a caller that has looked.
    """
    document = {
        "study": study.study,
        "data": study.data,
        "budget": study.budget,
        "precision": study.precision,
        "relabel": study.relabel,
        "whole": study.whole,  # then accuracies are of validation pictures it was trained on too
        "created": study.created,
        "sessions": len(study.sessions),
        "trials": {"asked": len(study.trials), **study.counts},
        "seconds": {
            "wall": study.wall_s,
            "workers": study.worker_seconds,
            "coordinator": study.coordinator_seconds,
        },
        "lanes": [
            {name: record[name] for name in sorted(FIELDS["lanes"])} for record in study.lanes
        ],
        "confirmed": [found.to_json() for found in confirmed(study)],
        "baselines": [vars(found) for found in baselines(study)],
        "test_readings": test_readings,
        "rows": [vars(row) for row in rows],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row], known: Sequence[Baseline] = ()) -> str:
    """A header and a line per row: the fields of the JSON's rows, empty where they are null.

    Below them are the baselines, in the state "baseline"; what they do not have is empty, and what
    they alone have is in the last columns.
    """
    text = io.StringIO()
    names = [field.name for field in fields(Row)] + (_OF_BASELINES if known else [])
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    others = [
        vars(found) | {"state": "baseline", "notation": found.model, "reason": found.about}
        for found in known
    ]
    for values in [*map(vars, rows), *others]:
        writer.writerow(
            {k: str(v).lower() if isinstance(v, bool) else v for k, v in values.items()}
        )
    return text.getvalue()


def as_markdown(rows: Sequence[Row], known: Sequence[Baseline] = ()) -> str:
    """A pipe table of what a reader compares, the baselines last."""
    lines = [_pipes(_MARKDOWN_COLUMNS), _pipes(_MARKDOWN_COLUMNS.values())]
    for row in rows:
        cells = (
            str(row.rank),
            PARETO_MARK if row.pareto else "",
            str(row.trial),
            percent(row),
            f"{row.params:,}",
            f"{row.deployed_params:,}",
            f"{row.macs:,}",
            str(row.epochs),
            row.state,
            f"`{row.notation}`",
        )
        lines.append(_pipes(cell.replace("|", "\\|") for cell in cells))
    for found in known:
        size = f"{found.params:,}" + (" stored" if found.stored else "")
        epochs = "" if found.epochs is None else str(found.epochs)
        cells = ("", "", "", percent(found), size, "", "", epochs, "baseline", found.title)
        lines.append(_pipes(cell.replace("|", "\\|") for cell in cells))
    return "\n".join(lines) + "\n"


def percent(row: Row | Baseline) -> str:
    """The accuracy and its interval in percent, such as `99.31 [98.2, 99.7]`."""
    if row.val_accuracy is None or row.val_low is None or row.val_high is None:
        return "-"
    return f"{row.val_accuracy:.2%} [{row.val_low:.1%}, {row.val_high:.1%}]".replace("%", "")


def limits(study: StudyRecords) -> list[str]:
    """What the study keeps to, such as `params ≤ 8,000`."""
    return [
        f"{name.removeprefix('max_').replace('_', ' ')} ≤ {limit:,}"
        for name, limit in study.budget.items()
        if limit is not None
    ]


def short(count: int) -> str:
    """Three digits of a count.

    >>> short(950), short(84_600), short(1_200_000)
    ('950', '84.6k', '1.20M')
    """
    rounded = float(f"{count:.2e}")  # first, or 999,999 would be 1000k
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if rounded >= unit:
            return f"{rounded / unit:#.3g}".rstrip(".") + name
    return str(count)


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
