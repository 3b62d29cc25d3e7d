"""The leaderboard for a terminal or a notebook cell."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pennyweight.arch.errors import visible
from pennyweight.results.baselines import Baseline, baselines
from pennyweight.results.confirmed import Confirmed, confirmed
from pennyweight.results.leaderboard import Row
from pennyweight.results.study_records import StudyRecords
from pennyweight.results.tables import PARETO_MARK, limits, percent, short
from pennyweight.train.precision import PRECISION

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def as_table(
    study: StudyRecords, rows: Sequence[Row], *, test_readings: int | None = None
) -> Table:
    """A table for 80 columns and more, to be printed by rich; in a notebook it shows itself.

    The numbers get the columns they need and the notation those that are left. `test_readings`
    counts the distinct readings of the test set, for a caller that has looked.
    """
    from rich import box  # here, so that JSON and CSV do not pay for it
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title_of(study), style="bold not italic"),
        caption=Text("\n".join(_footer(study, rows, test_readings)), style="not italic not dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    for heading in ("rank", "trial"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("accuracy % [95%]", no_wrap=True)
    for heading in ("params", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("epochs", no_wrap=True)
    table.add_column("architecture", min_width=12)
    for row in rows:
        ended_early = row.state not in ("complete", "running")
        cells = (
            f"{PARETO_MARK if row.pareto else ''}{row.rank:>4}",
            str(row.trial),
            percent(row),
            f"{row.params:,}",
            short(row.macs),
            f"{row.epochs:>2}" + ("" if row.state == "complete" else f" {row.state}"),
            row.notation,
        )
        table.add_row(
            # as Text, because a string's brackets would be markup
            *(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells),
            style="dim" if ended_early else "green" if row.pareto else None,
        )
    if (known := baselines(study)) and rows:
        table.add_section()
    for found in known:
        stored = "*" if found.stored else ""
        cells = ("base", "", percent(found), f"{found.params:,}{stored}", "")
        cells += ("" if found.epochs is None else f"{found.epochs:>2}", found.title)
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    return table


def as_text(shown: RenderableType) -> str:
    """What rich shows, without colours; where COLUMNS does not say how wide, nothing is cut."""
    from rich.console import Console

    width = None if "COLUMNS" in os.environ else 1_000
    plain = {"force_terminal": False, "force_jupyter": False, "color_system": None}
    console = Console(width=width, **plain)
    with console.capture() as printed:
        console.print(shown)
    return "\n".join(line.rstrip() for line in printed.get().splitlines())


def title_of(study: StudyRecords) -> str:
    """The study, its data and its limits, in one line."""
    unusual = [] if study.precision == PRECISION else [study.precision]
    return " · ".join([f"{study.study} on {study.data}", *limits(study), *unusual])


def _footer(study: StudyRecords, rows: Sequence[Row], test_readings: int | None) -> Iterator[str]:
    for row in rows:
        if row.rank == 1 and row.val_accuracy is not None:
            yield f"best: trial {row.trial}, {row.notation}"
    asked = len(study.trials)
    if study.baselines:
        yield from _of_baselines(baselines(study))
    if not asked and study.baselines:
        yield f"Accuracies are validation accuracies{_test_set(test_readings)}."
        return
    counts = ", ".join(f"{count:,} {state}" for state, count in study.counts.items() if count)
    shown = f"; {len(rows):,} shown" if len(rows) < asked else ""
    yield f"{asked:,} trial{'' if asked == 1 else 's'}: {counts or 'none asked yet'}{shown}"
    if study.relabel:
        count, file = study.relabel["corrections"], study.relabel["corrections_file"]
        of = "a training picture was" if count == 1 else f"{count:,} training pictures was"
        yield f"The label of {of} corrected, as {file} says."
    if study.stopping:
        yield from _stopped(study)
    failed = [trial for trial in study.trials.values() if trial.state == "failed"]
    if failed:
        reason = visible(" ".join((failed[0].reason or "no reason recorded").split()))
        yield f"first failure: trial {failed[0].trial}, {reason}"
    yield (
        f"seconds: {study.wall_s:,.1f} on the clock; workers {_ledger(study.worker_seconds)}; "
        f"coordinator {_ledger(study.coordinator_seconds)}"
    )
    yield f"{PARETO_MARK} Pareto front: no complete trial is as accurate with fewer parameters."
    if asked > 1:
        yield "The best of many tries was likely lucky too: expect a little less of it."
    for found in confirmed(study):
        yield _confirmed(found)
    kind = (
        "of validation pictures it was trained on too" if study.whole else "validation accuracies"
    )
    yield f"Accuracies are {kind}{_test_set(test_readings)}."


def _stopped(study: StudyRecords) -> Iterator[str]:
    """What validation pictures decided in training a study's one network."""
    for trial in study.trials.values():
        if trial.state == "complete" and trial.reason:
            yield f"It ended early: {' '.join(trial.reason.split())}."
        target = study.stopping.get("target_accuracy")
        best = max((point.val_accuracy or 0.0 for point in trial.curve), default=0.0)
        if trial.state == "complete" and target and best < target:
            yield f"{target:.2%} was not reached: the best was {best:.2%}."
        if trial.keeps_best and trial.rungs:
            yield (
                f"Its weights are those of epoch {trial.kept_epoch}, the best on these very "
                "pictures: expect a little less of them on others."
            )


def _of_baselines(known: Sequence[Baseline]) -> Iterator[str]:
    """What is to be said below the rows of models made elsewhere."""
    seconds = sum(found.seconds for found in known)
    line = f"base: {len(known)} baseline{'' if len(known) == 1 else 's'} in {seconds:,.1f} s"
    line += ", on the same split and of the same seed"
    if any(found.stored for found in known):
        line += "; * numbers it must store, not trained parameters"
    yield line
    for found in known:
        if found.test_accuracy is not None:
            told = f"{found.test_accuracy:.2%} [{found.test_low:.1%}, {found.test_high:.1%}]"
            yield f"baseline {found.model} of {found.examples:,} pictures: test accuracy {told}"


def _confirmed(found: Confirmed) -> str:
    """One line on a candidate that was trained again and measured on the test set."""
    seeds = len(found.seeds)
    mean, low, high = (f"{value:.2%}" for value in (found.mean, found.low, found.high))
    line = f"confirmed: trial {found.trial}, {seeds} fresh seeds, test accuracy {mean}"
    line += f", 95% interval {low} to {high}" if seeds > 1 else ""
    if found.tied_with:
        line += f"; tied in the race with {', '.join(map(str, found.tied_with))}"
    return line


def _test_set(readings: int | None) -> str:
    if readings is None:
        return ""
    if readings == 0:
        return "; the test set has not been read"
    return f"; the test set has been read {readings} time{'s' if readings > 1 else ''}"


def _ledger(seconds: Mapping[str, float]) -> str:
    """The sum, and what it is made of, such as `12.5 (train 10.0, compile 2.5)`."""
    kinds = ", ".join(f"{kind} {value:,.1f}" for kind, value in seconds.items() if value >= 0.05)
    return f"{sum(seconds.values()):,.1f}" + (f" ({kinds})" if kinds else "")
