"""Where a search trains: on the CPU, or on an accelerator. Found out without starting JAX."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pennyweight.arch.errors import UsageError, close_names

Kind = Literal["cpu", "gpu", "tpu"]
Asked = Literal["auto", "cpu", "gpu", "tpu"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """A kind of device, and what JAX calls it: the `JAX_PLATFORMS` of the workers."""

    kind: Kind
    platforms: str

    @property
    def accelerates(self) -> bool:
        """Whether one process has it whole, and trains many candidates side by side on it."""
        return self.kind != "cpu"


CPU = Device(kind="cpu", platforms="cpu")
_CUDA, _ROCM = Device(kind="gpu", platforms="cuda"), Device(kind="gpu", platforms="rocm")
_TPU = Device(kind="tpu", platforms="tpu")
_FILES = {_CUDA: ["nvidiactl", "dxg"], _ROCM: ["kfd"], _TPU: ["accel*", "vfio/[0-9]*"]}


def find_device(asked: Asked) -> Device:
    """The device to train on; UsageError where what is asked for is not here."""
    return choose(asked, os.environ.get("JAX_PLATFORMS", ""), list(here()))


def choose(asked: Asked, platforms: str, found: Sequence[Device]) -> Device:
    """What is `asked` for, of the user's `JAX_PLATFORMS` and the accelerators `found`.

    The user's own word goes first, then what was found, then the CPU.
    """
    if asked not in get_args(Asked):
        raise UsageError(f"--device cannot be {asked!r}: {close_names(asked, get_args(Asked))}")
    if asked == "cpu":
        return CPU
    candidates = [*_named(platforms), *found]
    if asked == "auto":
        return [*candidates, CPU][0]
    for device in candidates:
        if device.kind == asked:
            return device
    extra = "cuda" if asked == "gpu" else "tpu"
    raise UsageError(
        f"--device {asked} needs a {asked.upper()} and JAX's plugin for it, but this machine does "
        f"not seem to have both: install pennyweight[{extra}] where there is one, name it in "
        "JAX_PLATFORMS, or use --device cpu."
    )


def anywhere(asked: Asked) -> Device:
    """The device that is `asked` for on other machines, of which nothing is known here: the CPU."""
    if asked not in get_args(Asked):
        raise UsageError(f"--device cannot be {asked!r}: {close_names(asked, get_args(Asked))}")
    return {"gpu": _CUDA, "tpu": _TPU}.get(asked, CPU)


def stay_on_cpu() -> None:
    """Keep this process, before it imports JAX, off what a running search has whole."""
    os.environ["JAX_PLATFORMS"] = CPU.platforms


def here(dev: Path = Path("/dev")) -> Iterator[Device]:
    """The accelerators for which there are both a plugin of JAX and files in `dev`."""
    from importlib.metadata import entry_points  # here, so that `--help` does not wait for it

    plugins = {point.name for point in entry_points(group="jax_plugins")}
    plugged = {
        _CUDA: any("cuda" in name for name in plugins),
        _ROCM: any("rocm" in name for name in plugins),
        _TPU: importlib.util.find_spec("libtpu") is not None,
    }
    for device, patterns in _FILES.items():
        if plugged[device] and any(any(dev.glob(pattern)) for pattern in patterns):
            yield device


def _named(platforms: str) -> list[Device]:
    """The device of a `JAX_PLATFORMS`, whose first name counts; none where it is empty."""
    first = platforms.split(",")[0].strip().lower()
    if not first:
        return []
    kinds: dict[str, Kind] = {"cpu": "cpu", "tpu": "tpu"}
    return [Device(kind=kinds.get(first, "gpu"), platforms=platforms)]
