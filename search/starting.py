"""`train --from MODEL`: a training that starts from the weights of a trained network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError, shown
from pennyweight.results.origin import Origin, find_origin
from pennyweight.results.places import Place
from pennyweight.search.arguments import Named, first_given, read_arch
from pennyweight.search.settings import DATA
from pennyweight.train.corrections import plain_source
from pennyweight.train.data import check_unseen, describe
from pennyweight.train.recipe import Recipe
from pennyweight.train.transfer import kept_for, pack_start

STEPS = 5  # an epoch, at least: of few pictures, batches are halved until there are as many,
SMALLEST_BATCH = 8  # or they are as small as this


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Trained weights to start from, and where they came from."""

    model: str  # as it was asked for
    identity: str  # of that network and its weights
    anew: str | None  # the layer that is drawn anew, for other classes
    weights: bytes

    def __str__(self) -> str:
        kept = f"all but {self.anew}, its head, made anew" if self.anew else "every layer"
        return f"started from the weights of {self.model}: {kept}"

    def to_json(self) -> dict[str, Any]:
        """What a study's settings tell of it; the weights are a file of its folder."""
        return {"model": self.model, "identity": self.identity, "anew": self.anew}


def what_to_train(
    arch: str | Architecture | None,
    model: str | None,
    *,
    data: str | None,
    seed: int | None,
    whole: bool,
    runs: Place,
) -> tuple[Named, Start | None]:
    """The network that ARCH names, or that MODEL is, with the weights that it then starts from."""
    if model is not None and arch is None:
        return start_from(runs, model, data=data, seed=first_given(seed, 0), whole=whole)
    if arch is None or model is not None:
        given = "neither" if arch is None else f"{shown(str(arch))} and --from {shown(model)}"
        raise UsageError(
            "train takes ARCH, or --from MODEL instead, whose architecture it then has, but got "
            f"{given}: give one of the two."
        )
    if isinstance(arch, str):
        return read_arch(arch, data=first_given(data, DATA)), None
    return Named(arch), None


def start_from(
    runs: Place, model: str, *, data: str | None, seed: int, whole: bool
) -> tuple[Named, Start]:
    """The network of `model` for `data` (its own where None), and the weights to start it from.

    Raises UsageError for a model that is not there, data of another picture shape, and where the
    model has learned from pictures that are to measure what comes of it.
    """
    origin = find_origin(runs, model)
    data = origin.data if data is None else data
    _check_pictures(origin, data, seed, whole)
    info = describe(data)
    if info.input_shape != origin.architecture.input_shape:
        takes, has = origin.architecture.input_shape, info.input_shape
        raise UsageError(
            f"{model} takes {'x'.join(map(str, takes))} pictures, but {data} has "
            f"{'x'.join(map(str, has))}: use other data."
        )
    kept = kept_for(origin.architecture, origin.params, origin.class_names, info.class_names)
    start = Start(
        model=model,
        identity=origin.identity,
        anew=kept.anew,
        weights=pack_start(kept.params),
    )
    recipe = for_few(origin.recipe, info.train_examples)
    return Named(kept.architecture, recipe, data=data, precision=origin.precision), start


def for_few(recipe: Recipe, pictures: int) -> Recipe:
    """The recipe for so many training pictures: batches as for many make hardly a step an epoch.

    >>> few = for_few(Recipe(batch_size=64, accumulation=8), 100)
    >>> few.batch_size, few.accumulation
    (16, 1)
    """
    batch, times = recipe.batch_size, recipe.accumulation
    while times > 1 and pictures < STEPS * batch * times:
        times //= 2
    while batch > SMALLEST_BATCH and pictures < STEPS * batch:
        batch //= 2
    return replace(recipe, batch_size=batch, accumulation=times)


def _check_pictures(origin: Origin, data: str, seed: int, whole: bool) -> None:
    check_unseen(origin.name, origin.data, data, "start from another network")
    learned = origin.whole or origin.split_seed != seed
    if learned and not whole and _same_pictures(origin, data):
        remedy = "" if origin.whole else f"use --seed {origin.split_seed}, or "
        raise UsageError(
            f"{origin.name} learned from pictures of {data} that --seed {seed} keeps for "
            f"validation, which would then say nothing: {remedy}add --whole to learn from all."
        )


def _same_pictures(origin: Origin, data: str) -> bool:
    """Whether `data` is what it learned from, under whatever name."""
    from pennyweight.train.data import load_training_set

    named = plain_source(data) == plain_source(origin.data)
    return named or load_training_set(data).fingerprint == origin.data_fingerprint
