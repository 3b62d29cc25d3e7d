"""The command that measures what a search is to beat: `baselines`."""

from __future__ import annotations

from pathlib import Path

from pennyweight.results.places import place_of, store_in
from pennyweight.search.output import command_line, show_leaderboard
from pennyweight.search.units import Count, Flag, Formats, Runs, Seed, Storage


def baselines(
    *,
    data: str | None = None,
    models: Formats = ("classical",),
    examples: Count | None = None,
    max_epochs: Count | None = None,
    test: Flag = False,
    study: str | None = None,
    seed: Seed | None = None,
    json: Flag = False,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Measure classical models and networks made by hand on the split that a search has.

    Parameters
    ----------
    data
        The data set; digits if nothing says otherwise.
    models
        Which, between commas: logistic, svm, trees, neighbours, or `classical` for these four;
        zoo:NAME, or `zoo` for all networks of the zoo that suit the data, some of which train for
        hours.
    examples
        So many training pictures of each classical model, for a quick pass; every class keeps its
        share.
    max_epochs
        How long networks are trained; by default what the zoo says.
    test
        Measure them on the test set too, which is written down.
    study
        A study beside whose trials they are to be shown, on its data and its split; by default
        they are a study of their own, `baselines-` and the data set.
    seed
        Of the split and of the models; 0 if nothing says otherwise.
    json
        Print the leaderboard as JSON.
    """
    from pennyweight.results.leaderboard import rows
    from pennyweight.search.baselines import Baselines

    place = place_of(runs, storage)
    wanted = Baselines.of(
        data=data,
        models=models,
        examples=examples,
        max_epochs=max_epochs,
        seed=seed,
        test=test,
        study=study,
        runs=place,
        command=command_line(),
    )
    records, store = wanted.run(), store_in(place, wanted.name)
    if test and not json:
        print(f"Readings of the test set are written down in {store.readings}.")
    shown = None if json else 10
    show_leaderboard(records, rows(records), store, json=json, top=shown)
