"""What `baselines --models` means: classical models and networks of the zoo, by name or group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pennyweight.arch.errors import UsageError, close_names
from pennyweight.arch.zoo import ZOO, entry
from pennyweight.train.classical import CLASSICAL
from pennyweight.train.data import DataInfo, describe

ZOO_PREFIX = "zoo:"
GROUPS = ("classical", "zoo")


def chosen(models: Sequence[str], data: str) -> tuple[str, ...]:
    """The models named, each once, groups replaced by what of them suits `data`.

    Raises UsageError for names that do not exist, and networks for other pictures or classes.
    """
    info = describe(data)
    return tuple(dict.fromkeys(each for model in models for each in _meant(model, info)))


def is_network(model: str) -> bool:
    """Whether it is one of the zoo's."""
    return model.startswith(ZOO_PREFIX)


def zoo_name(model: str) -> str:
    """`mlp-128` of `zoo:mlp-128`."""
    return model.removeprefix(ZOO_PREFIX)


def _meant(model: str, info: DataInfo) -> Iterator[str]:
    if model == "classical":
        yield from CLASSICAL
    elif model == "zoo":
        yield from _fitting(info)
    elif is_network(model):
        yield _checked(model, info)
    elif model in CLASSICAL:
        yield model
    else:
        known = [*GROUPS, *CLASSICAL, *(ZOO_PREFIX + name for name in ZOO)]
        raise UsageError(f"There is no baseline {model!r}: {close_names(model, known)}")


def _fitting(info: DataInfo) -> list[str]:
    here = info.input_shape, info.classes
    found = [ZOO_PREFIX + n for n, e in ZOO.items() if (e.input_shape, e.classes) == here]
    if not found:
        raise UsageError(
            f"The zoo has no network for {_shape(info.input_shape)} pictures in {info.classes} "
            f"classes, as {info.name} has: leave `zoo` out."
        )
    return found


def _checked(model: str, info: DataInfo) -> str:
    found = entry(zoo_name(model))
    if (found.input_shape, found.classes) != (info.input_shape, info.classes):
        raise UsageError(
            f"{model} takes {_shape(found.input_shape)} pictures in {found.classes} classes, but "
            f"{info.name} has {_shape(info.input_shape)} in {info.classes}: leave it out."
        )
    return model


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
