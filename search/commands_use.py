"""The commands that make use of a trained network: `export`, `evaluate` and `predict`."""

from __future__ import annotations

import json as json_format
import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pennyweight.arch.errors import UsageError
from pennyweight.search.device import stay_on_cpu
from pennyweight.search.output import busy, command_line, show
from pennyweight.search.units import Flag, Runs


def export(
    model: str,
    /,
    *,
    out: Path | None = None,
    force: Flag = False,
    json: Flag = False,
    runs: Runs = Path("runs"),
) -> None:
    """Write a network as a folder of code and weights that needs no pennyweight, and check it.

    Parameters
    ----------
    model
        STUDY for its best trial, or STUDY:TRIAL.
    out
        The folder to write; by default `export` in the study's own.
    force
        Replace a bundle that is there already.
    json
        Print what was written as JSON.
    """
    from pennyweight.results.models import export_model, find_model

    found = find_model(runs, model)
    picked = model.partition(":")[2]
    folder = out or found.folder.path / (f"export-{picked}" if picked else "export")
    with busy("writing the bundle and checking it in a fresh process"):
        checked = export_model(found, folder, command=command_line(), force=force)
    trial = found.trial
    if json:
        document = {
            "folder": str(folder),
            "study": found.study.study,
            "trial": trial.trial,
            "notation": trial.notation,
            "params": trial.cost["params"],
            "val_accuracy": trial.val_accuracy,
            "pictures": checked.pictures,
            "largest_difference": checked.largest_difference,
        }
        print(json_format.dumps(document, indent=2))
        return
    reached = "" if trial.state == "complete" else f" ({trial.state}, {trial.epochs} epochs)"
    size = f"{trial.cost['params']:,} parameters"
    print(f"{folder}: trial {trial.trial}{reached}, {trial.notation}, {size}")
    print(
        f"checked in a fresh process: logits of {checked.pictures:,} validation pictures differ "
        f"by at most {checked.largest_difference:.1g}"
    )
    print(f"Try it:\n  python {shlex.quote(str(folder / 'model.py'))} PICTURE.png")


def evaluate(
    model: str,
    /,
    *,
    data: str | None = None,
    split: Literal["validation", "train", "test", "all"] | None = None,
    out: Path | None = None,
    mistakes: Path | None = None,
    json: Flag = False,
    runs: Runs = Path("runs"),
) -> None:
    """Show what a network gets right and wrong: by class, and its surest mistakes.

    Parameters
    ----------
    model
        STUDY, STUDY:TRIAL, a bundle's folder, or pretrained:NAME.
    data
        Other data than it learned from.
    split
        Which pictures: validation, train, test, or all but the test pictures; validation if
        nothing says otherwise, and all of other data. Looking at the test set is written down.
    out
        A folder for pictures: the confusion matrix, random predictions, mistakes.
    mistakes
        A CSV file for the mistakes: index, label, prediction, confidence.
    json
        Print one JSON document.
    """
    from pennyweight.results.evaluation_files import write_figures, write_mistakes
    from pennyweight.results.evaluation_table import EvaluationTable
    from pennyweight.results.examine import examine, learned_from
    from pennyweight.results.loaded import load_model

    stay_on_cpu()
    with busy("classifying"):
        loaded = load_model(runs, model)
        source = loaded.data if data is None else data
        split = split or ("validation" if source == loaded.data else "all")
        found, images = examine(loaded, data=data, part=split)
        learned = learned_from(loaded, data, split)
    written = write_figures(out, images, found) if out else []
    if mistakes:
        write_mistakes(mistakes, found)
        written.append(mistakes)
    if json:
        about = {"model": model, "data": source, "split": split, "learned_from": learned}
        show(about | found.to_json())
        return
    of = ", which it learned from" if learned else ""
    show(EvaluationTable(f"{model} on the {split} pictures of {source}{of}", found))
    if split == "test":
        print(f"This look at the test set is written down in {loaded.readings}.")
    for path in written:
        print(f"written: {path}")


def predict(
    model: str,
    /,
    *images: Path,
    data: str | None = None,
    submission: Path | None = None,
    show_seen: Annotated[Path | None, Parameter(name="--show")] = None,
    json: Flag = False,
    runs: Runs = Path("runs"),
) -> None:
    """Say what is in pictures of one's own: files of any size, photographed or drawn.

    Parameters
    ----------
    model
        STUDY, STUDY:TRIAL, a bundle's folder, or pretrained:NAME.
    images
        PNG, JPEG or WebP files, among others.
    data
        Instead of files: csv:FILE, a row of levels for each picture, with --submission.
    submission
        The CSV file to write for --data: ImageId, counted from 1, and Label.
    show_seen
        A folder for the pictures as the network sees them.
    json
        Print one JSON document.
    """
    from pennyweight.results.guesses import guess, save_seen
    from pennyweight.results.loaded import load_model

    if (data is None) != (submission is None):
        raise UsageError(
            "--data and --submission go together: the rows to read, and what to write."
        )
    if data is not None and images:
        raise UsageError("predict takes pictures or --data: give one of the two.")
    if data is not None and submission is not None:
        from pennyweight.results.submission import write_submission

        stay_on_cpu()
        with busy("classifying"):
            count = write_submission(load_model(runs, model), data, submission)
        if json:
            show({"submission": str(submission), "pictures": count})
        else:
            print(f"written: {submission}, {count:,} predictions")
        return
    if not images:
        raise UsageError("predict needs at least one picture after MODEL: PNG, JPEG or WebP files.")
    stay_on_cpu()
    with busy("loading the network"):
        loaded = load_model(runs, model)
    guesses, refused = guess(loaded, images)
    if show_seen:
        save_seen(show_seen, guesses)
    if json and guesses:
        show({"model": model, "pictures": [each.to_json() for each in guesses]})
    for each in () if json else guesses:
        likely = "  ".join(f"{name} {share:.1%}" for name, share in each.ranked[:3])
        print(f"{each.path}: {likely}")
    if refused:
        others = f" ({len(refused) - 1} more were refused)" if len(refused) > 1 else ""
        raise UsageError(f"{refused[0]}{others}")
