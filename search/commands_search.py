"""The commands that train: `search`, `train`, `confirm` and `frontier`.

Heavy imports of commands are inside of them, so that `--help` and tables answer at once.
"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pennyweight.arch.errors import UsageError
from pennyweight.results.places import place_of, store_in
from pennyweight.search.device import Asked
from pennyweight.search.engine import EXECUTOR
from pennyweight.search.output import busy, command_line, say_next, show, show_leaderboard
from pennyweight.search.settings import DATA, MAX_EPOCHS, MAX_PARAMS, TRIALS, Sampler
from pennyweight.search.units import (
    After,
    Count,
    Duration,
    Flag,
    Group,
    Patience,
    Repeated,
    Runs,
    Seed,
    Share,
    Size,
    Sizes,
    Storage,
    Workers,
)
from pennyweight.train.corrections import relabelled
from pennyweight.train.precision import PRECISION, Precision
from pennyweight.train.stopping import Keep


def search(
    *,
    data: str = DATA,
    max_params: Size = MAX_PARAMS,
    max_epochs: Count = MAX_EPOCHS,
    max_macs: Size | None = None,
    max_activation_bytes: Size | None = None,
    trials: Count = TRIALS,
    timeout: Duration | None = None,
    sampler: Sampler = "tpe",
    workers: Workers = None,
    executor: str = EXECUTOR,
    group: Group = None,
    device: Asked = "auto",
    rung_timeout: Patience = None,
    study: str | None = None,
    runs: Runs = Path("runs"),
    storage: Storage = None,
    seed: Seed = 0,
    precision: Precision = PRECISION,
    after: After = (),
    refine: str | None = None,
    relabel: Path | None = None,
    track: Repeated = (),
    dry_run: Flag = False,
    json: Flag = False,
) -> None:
    """Launch a search, or go on with it.

    Parameters
    ----------
    data
        The data set: `pennyweight data list` shows what is here.
    max_params
        Most trainable parameters. Sizes may be written 8000, 8k, 64KB or 64KiB.
    max_epochs
        Most epochs a candidate is trained for.
    max_macs
        Most multiply-accumulates for one picture.
    max_activation_bytes
        Most bytes of feature maps at once, in float32.
    trials
        Candidates in all: a finished study stays as it is.
    timeout
        Start nothing new after this time: 90s, 30m, 2h.
    sampler
        How candidates are proposed: tpe, nsga2, gp or random.
    workers
        Processes that train side by side; `auto` is one for each core, and one on an accelerator.
        For a Dask cluster it is how many trainings are handed out, whatever the cluster has.
    executor
        Where they run: local, or a Dask cluster: dask:tcp://HOST:PORT, dask:tls://HOST:PORT, or
        dask:local:N for one of N processes here.
    group
        Trials that share a structure and what is compiled; `auto` is as many as pay.
    device
        Where to train: cpu, gpu or tpu; auto is an accelerator if JAX has one here.
    rung_timeout
        After this time a worker counts as hung and is replaced: 90s, 30m, 2h. `auto` is ten times
        as long as comparable rungs took.
    study
        The study's name; by default the data set, the parameter limit, and what else is unusual.
    seed
        Of the sampler, the validation split and the training.
    precision
        What matrix products take: float32 or bfloat16, summed in float32 either way.
    after
        Another search, whose best networks are asked first, scaled to this budget; or
        pretrained:NAME, or a bundle's folder, for the network itself. It may be repeated.
    refine
        Another search, around whose best networks alone this one looks: coarse to fine. They are
        asked first.
    relabel
        A CSV file that corrects labels of training pictures, never of the test set: what `evaluate
        --mistakes` wrote, its column `correction` filled in.
    track
        Tell it live: tensorboard:FOLDER, mlflow:URI or wandb:PROJECT. It may be repeated.
    dry_run
        Show what the space holds under this budget, and search nothing.
    json
        Print the leaderboard as JSON.
    """
    from pennyweight.arch.budget import Budget
    from pennyweight.search.launch import Plan
    from pennyweight.search.settings import Settings

    budget = Budget(
        max_params=max_params,
        max_epochs=max_epochs,
        max_macs=max_macs,
        max_activation_bytes=max_activation_bytes,
    )
    settings = Settings(
        data=relabelled(data, relabel),
        budget=budget,
        sampler=sampler,
        seed=seed,
        precision=precision,
        after=after,
        refine=refine,
    )
    plan = Plan.of(
        settings,
        group=group,
        trials=trials,
        study=study,
        runs=place_of(runs, storage),
        device=device,
        executor=executor,
    )
    if dry_run:
        from pennyweight.search.preview import preview

        shown = preview(plan, workers)
        print(json_format.dumps(shown.to_json(), indent=2) if json else shown.to_text())
        return
    found = plan.run(
        workers=workers,
        timeout_s=timeout,
        rung_timeout_s=rung_timeout,
        progress=True,
        track=track,
    )
    show_leaderboard(found.study, found.rows, plan.store, json=json, top=None if json else 10)
    if json:
        return
    ended = sum(row.state != "running" for row in found.rows)
    if ended < max(trials, len(found.rows)):
        print(f"Stopped after {ended} of {trials} trials: the same command goes on from here.")
    exportable = any(row.val_accuracy is not None for row in found.rows)
    say_next(["leaderboard", "export"] if exportable else ["leaderboard"], plan.store)


def train(
    arch: str | None = None,
    /,
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    data: str | None = None,
    relabel: Path | None = None,
    recipe: Path | None = None,
    max_epochs: Count | None = None,
    seed: Seed | None = None,
    precision: Precision | None = None,
    whole: Flag = False,
    patience: Count | None = None,
    keep: Keep | None = None,
    target_accuracy: Share | None = None,
    track: Repeated = (),
    test: Flag = False,
    study: str | None = None,
    runs: Runs = Path("runs"),
    storage: Storage = None,
    json: Flag = False,
) -> None:
    """Train one network, as a study of one trial.

    Parameters
    ----------
    arch
        A notation, zoo:NAME, pretrained:NAME or a JSON file, such as a record: its data, recipe,
        epochs and seed hold where no flag says otherwise. On its data it is trained in one thread,
        as it was, so that on one kind of machine its number comes out to the picture.
    from_
        Instead of ARCH a trained network: STUDY, STUDY:TRIAL, a bundle's folder or pretrained:NAME.
        The training starts from its weights, by its recipe, but for few pictures in smaller
        batches. For classes that it does not know, its last layer is made anew.
    data
        The data set; with --from MODEL's own, and otherwise digits if nothing says otherwise.
    relabel
        A CSV file that corrects labels of training pictures, as for `search`.
    recipe
        A JSON file with the training recipe, or a record whose recipe is meant. What a recipe
        leaves out is as ARCH or MODEL has it, and otherwise as usual.
    max_epochs
        How long; 15 epochs if nothing says otherwise.
    seed
        Of the weights, the split, the order and the augmentation; 0 if nothing says otherwise.
    precision
        What matrix products take: float32 or bfloat16, summed in float32 either way; float32 if
        nothing says otherwise.
    whole
        Train on the validation pictures too, as for a network that was chosen already.
    patience
        End the training after so many epochs in a row without a better accuracy on validation
        pictures.
    keep
        Whose epoch's weights are kept: the `last` one's, or the `best` one's on validation
        pictures; the last one's if nothing says otherwise.
    target_accuracy
        End the training where it reaches this accuracy on validation pictures, such as 99%.
    track
        Tell it live, as for `search`.
    test
        Measure the result on the test set too, which is written down.
    study
        The study's name; by default `train-` and the network's fingerprint.
    json
        Print the result as JSON.
    """
    from pennyweight.search.arguments import read_recipe
    from pennyweight.search.single import Training, measure_trained
    from pennyweight.search.starting import what_to_train

    place = place_of(runs, storage)
    named, start = what_to_train(arch, from_, data=data, seed=seed, whole=whole, runs=place)
    training = Training.of(
        named,
        start,
        data=data,
        relabel=relabel,
        recipe=read_recipe(recipe, named.recipe) if recipe else None,
        max_epochs=max_epochs,
        seed=seed,
        precision=precision,
        whole=whole,
        patience=patience,
        keep=keep,
        target_accuracy=target_accuracy,
        track=track,
        study=study,
        runs=place,
        command=command_line(),
    )
    from pennyweight.results.leaderboard import rows
    from pennyweight.train.data import check_test_set

    if test:
        check_test_set(training.data)
    records = training.run()
    measured = None
    if test:
        with busy("measuring on the test set"):
            measured = measure_trained(place, training.name)
    if json:
        row = vars(rows(records)[0]) | {"study": training.name, "precision": training.precision}
        row |= {"whole": training.whole}
        row |= {"start": training.start.to_json()} if training.start else {}
        row |= {"stopping": training.stopping.to_json()} if training.stopping else {}
        row |= {"curve": [point._asdict() for point in records.trials[0].curve]}
        row |= {"data": records.data, "recipe": dict(records.trials[0].recipe)}
        row |= {"command": list(records.command), "versions": dict(records.versions)}
        if measured:
            row |= {"test_accuracy": measured.accuracy, "test_total": measured.total}
        print(json_format.dumps(row, indent=2))
        return
    store = store_in(place, training.name)
    show_leaderboard(records, rows(records), store, json=False)
    if training.start:
        print(training.start)
    if measured:
        print(f"test accuracy {measured.accuracy:.2%} ({measured.correct:,} of {measured.total:,})")
    say_next(["export"], store)


def confirm(
    model: str,
    /,
    *,
    top: Count = 5,
    race: Count = 5,
    seeds: Count = 5,
    record: Path | None = None,
    workers: Workers = None,
    executor: str = EXECUTOR,
    device: Asked = "auto",
    json: Flag = False,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Train the best candidates again from fresh seeds, and measure the winner on the test set.

    Parameters
    ----------
    model
        STUDY to race its best trials on validation pictures, STUDY:TRIAL for one without a race.
    top
        How many of the best complete trials race.
    race
        Seeds that each of them is trained from, without the validation pictures; who is clearly
        behind after three or more drops out.
    seeds
        Seeds that the winner is trained from, with the validation pictures, and tested.
    record
        A JSON file for the confirmed network: `pennyweight train` repeats it.
    workers
        Processes that train side by side; `auto` is one for each core, and one on an accelerator.
        For a Dask cluster it is how many trainings are handed out, whatever the cluster has.
    executor
        Where they run: local, or a Dask cluster: dask:tcp://HOST:PORT, dask:tls://HOST:PORT, or
        dask:local:N for one of N processes here.
    device
        Where to train: cpu, gpu or tpu; auto is an accelerator if JAX has one here.
    json
        Print the leaderboard as JSON.
    """
    from pennyweight.results.leaderboard import rows
    from pennyweight.results.studies import load_study
    from pennyweight.search.confirm import Confirmation

    place = place_of(runs, storage)
    if record and (start := load_study(place, model.partition(":")[0]).start):
        raise UsageError(
            f"--record tells how to repeat a training from random weights, but {model} started "
            f"from those of {start['model']}: leave it out."
        )
    confirmation = Confirmation(runs=place, model=model, top=top, race=race, seeds=seeds)
    records, found = confirmation.run(workers=workers, device=device, executor=executor)
    if record:
        from pennyweight.results.public_record import write_record

        write_record(record, records, found, command=command_line())
    shown = None if json else 10
    store = store_in(place, confirmation.study)
    show_leaderboard(records, rows(records), store, json=json, top=shown)


def frontier(
    *,
    data: str = DATA,
    max_params: Sizes = (500, 1_000, 2_000, 4_000, 8_000),
    max_epochs: Count = MAX_EPOCHS,
    trials: Count = TRIALS,
    top: Count = 3,
    race: Count = 3,
    seeds: Count = 5,
    sampler: Sampler = "tpe",
    workers: Workers = None,
    executor: str = EXECUTOR,
    device: Asked = "auto",
    seed: Seed = 0,
    precision: Precision = PRECISION,
    picture: Path | None = None,
    json: Flag = False,
    runs: Runs = Path("runs"),
    storage: Storage = None,
) -> None:
    """Search and confirm under several caps, and show accuracy against parameters.

    Parameters
    ----------
    data
        The data set.
    max_params
        The caps, such as 500,1k,2k. Each search asks the best networks of smaller caps first.
    max_epochs
        Most epochs a candidate is trained for.
    trials
        Candidates of each search.
    top
        How many of each search's best race, as in `confirm`.
    race
        Seeds of a race.
    seeds
        Seeds that each winner is trained from and tested.
    sampler
        How candidates are proposed: tpe, nsga2, gp or random.
    workers
        Processes that train side by side; `auto` is one for each core, and one on an accelerator.
        For a Dask cluster it is how many trainings are handed out, whatever the cluster has.
    executor
        Where they run: local, or a Dask cluster: dask:tcp://HOST:PORT, dask:tls://HOST:PORT, or
        dask:local:N for one of N processes here.
    device
        Where to train: cpu, gpu or tpu; auto is an accelerator if JAX has one here.
    seed
        Of the samplers, the validation split and the training.
    precision
        What matrix products take: float32 or bfloat16, summed in float32 either way.
    picture
        Where to draw it: a .png, .svg or .pdf file; by default frontier-DATA.png among the studies.
    json
        Print the points as JSON.
    """
    from pennyweight.results import frontier as shown
    from pennyweight.search.frontier import Frontier

    path = picture or runs / f"frontier-{data.replace(':', '-')}.png"
    if path.suffix not in (".png", ".svg", ".pdf") or (picture and not path.parent.is_dir()):
        raise UsageError(
            f"--picture must be a .png, .svg or .pdf file in a folder that exists, but got {path}."
        )
    wanted = Frontier(
        data=data,
        caps=max_params,
        max_epochs=max_epochs,
        trials=trials,
        top=top,
        race=race,
        seeds=seeds,
        runs=place_of(runs, storage),
        sampler=sampler,
        seed=seed,
        precision=precision,
    )
    points = []
    for point in wanted.run(workers=workers, device=device, executor=executor):
        points.append(point)
        shown.draw(path, data, points)
    show(shown.as_json(data, points) if json else shown.as_table(data, points))
    if not json:
        print(f"drawn: {path}")
