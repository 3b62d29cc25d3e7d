"""What a search takes from earlier ones: the networks that it asks first, and its ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pennyweight.arch.errors import UsageError
from pennyweight.results.confirmed import confirmed
from pennyweight.results.leaderboard import rows
from pennyweight.results.loaded import bundle_folder
from pennyweight.results.places import Place
from pennyweight.results.studies import load_study
from pennyweight.search.settings import SPACE, Settings
from pennyweight.train.data import overlap

AFTER = 2  # trials of another study are asked first

# Genes that came later than the first bundles, as the networks in these have them.
_ADDED: Mapping[str, Any] = {"views": False}


def best_genomes(runs: Place, models: Sequence[str], data: str) -> dict[str, Mapping[str, Any]]:
    """The genomes of the best `AFTER` complete trials of each study, and of bundles, by MODEL.

    Each is asked once, with all of the new budget. Raises UsageError for what does not exist, has
    no complete trial or no genome of this space, or saw pictures that are others' test set.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in models:
        known = _of_bundle(runs, name) if bundle_folder(runs, name) else _of_study(runs, name)
        theirs, genomes = known
        _check_overlap("--after", name, theirs, data)
        for trial, genome in genomes.items():
            if genome not in found.values():
                found[trial] = genome
    return found


def refined(settings: Settings, runs: Place, study: str) -> Settings:
    """`settings` that look around the best of `study`, which are asked first."""
    from pennyweight.search.refine import ranges_around

    theirs, first = _of_study(runs, study, "--refine")
    _check_overlap("--refine", study, theirs, settings.data)
    ranges = ranges_around(load_study(runs, study), first.values())
    return replace(settings, first=first, ranges=ranges)


def _check_overlap(flag: str, name: str, theirs: str, data: str) -> None:
    if overlap(theirs, data):
        raise UsageError(
            f"{flag} needs networks that did not see the test set of {data}, but {name} is on "
            f"{theirs}, another part of the same pictures: leave it out."
        )


def _of_study(
    runs: Place, name: str, flag: str = "--after"
) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """(its data, the genomes of its best)."""
    study = load_study(runs, name)
    if study.settings.get("space") != SPACE:
        raise UsageError(
            f"{flag} needs searches of this version's space, but {name} is of another or no "
            "search: leave it out."
        )
    best = [row.trial for row in rows(study) if row.state == "complete"]
    if not best:
        raise UsageError(
            f"{flag} needs searches with a complete trial, but {name} has none yet: go on with it "
            "first."
        )
    best = list(dict.fromkeys([trial.trial for trial in confirmed(study)] + best))[:AFTER]
    return study.data, {f"{name}:{t}": {**study.trials[t].genome, "share": 1.0} for t in best}


def _of_bundle(runs: Place, name: str) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """(its data, its genome)."""
    from pennyweight.results.origin import find_origin
    from pennyweight.search.genome import choices

    origin = find_origin(runs, name)
    genome = {**_ADDED, **origin.genome} if origin.genome else {}
    if genome.keys() != choices().keys():
        why = "is of another" if origin.genome else "was proposed by no search"
        raise UsageError(
            f"--after needs networks of this version's space, but {name} {why}: leave it out."
        )
    return origin.data, {name: {**genome, "share": 1.0}}
