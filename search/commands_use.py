"""The commands that make use of a trained network: `export`, `evaluate` and `predict`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pennyweight.arch.cost import cost
from pennyweight.arch.errors import UsageError
from pennyweight.results.places import Place, folder_of, place_of
from pennyweight.search.device import stay_on_cpu
from pennyweight.search.output import busy, command_line, show
from pennyweight.search.units import Flag, Formats, Runs, Storage

if TYPE_CHECKING:
    from pennyweight.results.bundle import Facts
    from pennyweight.results.trained import Trained


def export(
    model: str | None = None,
    /,
    *,
    out: Path | None = None,
    format: Formats = (),
    verify: Path | None = None,
    force: Flag = False,
    json: Flag = False,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Write a network as a folder of code and weights that needs no pennyweight, and check it.

    Parameters
    ----------
    model
        STUDY for its best trial, STUDY:TRIAL, a bundle's folder or pretrained:NAME.
    out
        The folder to write; by default `export` in the study's own.
    format
        Forms beside Flax source, such as onnx,c or all: numpy, stablehlo, onnx, onnx-int8, c,
        c-int8, html (a page to draw on) and card (what one should know of the network).
    verify
        Instead of writing one: whether this bundle is what it was, and computes what it did. It
        runs the bundle's code.
    force
        Replace a bundle that is there already.
    json
        Print what was written as JSON.
    """
    if verify is not None:
        if model is not None or out is not None or format or force:
            raise UsageError("--verify takes the bundle's folder and no MODEL: give it alone.")
        _verify(verify, json=json)
        return
    if model is None:
        raise UsageError("export needs MODEL: `pennyweight export --help` tells more.")
    from pennyweight.results.export import export_bundle
    from pennyweight.results.export_table import forms_table
    from pennyweight.results.forms import pick_forms

    pick_forms(format)  # refused before anything else is looked for
    stay_on_cpu()
    with busy("writing the bundle and checking every form of it"):
        trained, usual = _trained(model, place_of(runs, storage))
        if (folder := out or usual) is None:
            raise UsageError("--out must name the new bundle's folder, as MODEL is a bundle.")
        exported = export_bundle(trained, folder, forms=format, force=force)
    facts, network = trained.facts, trained.architecture
    if json:
        told = {
            "folder": str(folder),
            "study": facts.study,
            "trial": facts.trial,
            "notation": network.notation,
            "params": cost(network).params,
            "val_accuracy": facts.val_accuracy,
            "checked_on": trained.part,
            "forms": exported.forms,
            "seconds": exported.seconds,
        }
        show(told)
        return
    size = f"{cost(network).params:,} parameters"
    print(f"{folder}: {_origin(facts)}, {network.notation}, {size}")
    sizes = {name: exported.bytes_of(name) for name in exported.forms}
    show(forms_table(exported.forms, sizes))
    skipped = any("skipped" in told for told in exported.forms.values())
    run = "Every other form" if skipped else "Each form"
    known = ", which the network learned from" if facts.whole or trained.part == "probe" else ""
    print(f"{run} was run on {len(trained.checked):,} {trained.part} pictures{known}.")
    print(f"Try it:\n  python {shlex.quote(str(folder / 'model.py'))} PICTURE.png")


def _origin(facts: Facts) -> str:
    """Such as `trial 12`, and how far it came where that was not to the end."""
    ended = "unfinished" if facts.ended == "running" else facts.ended
    reached = "" if ended == "complete" else f" ({ended}, {facts.epochs} epochs)"
    return f"trial {facts.trial}{reached}"


def _trained(model: str, place: Place) -> tuple[Trained, Path | None]:
    """The network that MODEL names, and where it is usually exported to."""
    from pennyweight.results.loaded import bundle_folder
    from pennyweight.results.models import find_model, trained_model
    from pennyweight.results.trained import trained_bundle

    if folder := bundle_folder(place, model):
        return trained_bundle(folder, command=command_line()), None
    found, picked = find_model(place, model), model.partition(":")[2]
    usual = folder_of(place, found.store.name) / (f"export-{picked}" if picked else "export")
    return trained_model(found, command=command_line()), usual


def _verify(folder: Path, *, json: bool) -> None:
    from pennyweight.results.export_table import forms_table
    from pennyweight.results.verify import verify

    stay_on_cpu()
    with busy("comparing the files, and running each form"):
        verified = verify(folder)
    if json:
        show({"folder": str(folder), "files": verified.files, "forms": verified.forms})
        return
    print(f"{folder}: {verified.files} files, all as they were exported")
    show(forms_table(verified.forms))


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
    storage: Storage = None,
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
        A CSV file for the mistakes: index, label, prediction, confidence, split, and a column
        `correction` to fill in where a label is wrong, for `--relabel` of search and train.
    json
        Print one JSON document.
    """
    from pennyweight.results.evaluation_files import (
        check_mistakes,
        write_figures,
        write_mistakes,
    )
    from pennyweight.results.evaluation_table import EvaluationTable
    from pennyweight.results.examine import examine, learned_from, part_of
    from pennyweight.results.loaded import load_model

    stay_on_cpu()
    if mistakes:
        check_mistakes(mistakes)
    with busy("classifying"):
        loaded = load_model(place_of(runs, storage), model)
        source = loaded.data if data is None else data
        split = split or ("validation" if source == loaded.data else "all")
        found, images = examine(loaded, data=data, part=split)
        learned = learned_from(loaded, data, split)
    written = write_figures(out, images, found) if out else []
    if mistakes:
        write_mistakes(mistakes, found, split)
        written.append(mistakes)
    if json:
        about = {"model": model, "data": source, "split": split, "learned_from": learned}
        show(about | found.to_json())
        return
    of = ", which it learned from" if learned else ""
    show(EvaluationTable(f"{model} on {part_of(source, split)}{of}", found))
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
    storage: Storage = None,
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
    if data is not None and show_seen:
        raise UsageError(
            "--show is for pictures, but --data has rows, taken as they are: leave --show out."
        )
    if data is not None and submission is not None:
        from pennyweight.results.submission import write_submission

        stay_on_cpu()
        with busy("classifying"):
            count = write_submission(load_model(place_of(runs, storage), model), data, submission)
        if json:
            show({"submission": str(submission), "pictures": count})
        else:
            print(f"written: {submission}, {count:,} predictions")
        return
    if not images:
        raise UsageError("predict needs at least one picture after MODEL: PNG, JPEG or WebP files.")
    stay_on_cpu()
    with busy("loading the network"):
        loaded = load_model(place_of(runs, storage), model)
    guesses, refused = guess(loaded, images)
    if show_seen:
        save_seen(show_seen, guesses)
    if json and guesses:
        show({"model": model, "pictures": [each.to_json() for each in guesses]})
    for each in () if json else guesses:
        likely = "  ".join(f"{name} {share:.1%}" for name, share in each.ranked[:3])
        print(f"{each.path}: {likely}")
    if refused:
        *others, last = refused
        for error in others:
            print(f"pennyweight: {error}", file=sys.stderr)
        raise last
