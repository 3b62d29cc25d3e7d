"""Which device a search trains on: the user's word, then what is here, then the CPU."""

import importlib
from pathlib import Path

import pytest

from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.search.device import CPU, Asked, Device, choose, find_device, here
from pennyweight.search.grouping import LARGEST, SIDE_BY_SIDE, usual_group
from pennyweight.train.data import describe

CUDA = Device(kind="gpu", platforms="cuda")
ROCM = Device(kind="gpu", platforms="rocm")
TPU = Device(kind="tpu", platforms="tpu")


@pytest.mark.parametrize(
    ("asked", "platforms", "found", "chosen"),
    [
        ("auto", "", [], CPU),
        ("auto", "", [CUDA], CUDA),
        ("auto", "", [CUDA, TPU], CUDA),
        ("auto", "cpu", [CUDA], CPU),
        ("auto", "tpu", [CUDA], TPU),
        ("auto", "cuda,cpu", [], Device(kind="gpu", platforms="cuda,cpu")),
        ("auto", "ROCM", [], Device(kind="gpu", platforms="ROCM")),
        ("cpu", "", [CUDA], CPU),
        ("cpu", "cuda", [CUDA], CPU),
        ("gpu", "", [TPU, ROCM], ROCM),
        ("gpu", "cpu", [CUDA], CUDA),
        ("gpu", "cuda,cpu", [CUDA], Device(kind="gpu", platforms="cuda,cpu")),
        ("tpu", "", [CUDA, TPU], TPU),
    ],
)
def test_the_users_word_goes_first_then_what_is_here_then_the_cpu(
    asked: Asked, platforms: str, found: list[Device], chosen: Device
) -> None:
    assert choose(asked, platforms, found) == chosen


@pytest.mark.parametrize(("asked", "extra"), [("gpu", "cuda"), ("tpu", "tpu")])
@pytest.mark.parametrize("platforms", ["", "cpu"])
def test_what_is_not_here_is_refused(asked: Asked, extra: str, platforms: str) -> None:
    with pytest.raises(UsageError, match=rf"^--device {asked} needs .* pennyweight\[{extra}\]"):
        choose(asked, platforms, [])


def test_a_device_of_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--device cannot be 'gpus': did you mean gpu"):
        find_device("gpus")  # type: ignore[arg-type]


def test_an_accelerator_is_here_where_its_plugin_and_its_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugins are installed for real, as `pip` would write them; their code is never run."""
    dev, site = tmp_path / "dev", tmp_path / "site"
    (dev / "vfio").mkdir(parents=True)
    (dev / "vfio" / "vfio").touch()  # there without any device too
    monkeypatch.syspath_prepend(str(site))
    for name, file, device in (
        ("xla_cuda13", "nvidiactl", CUDA),
        ("xla_rocm7", "kfd", ROCM),
    ):
        assert device not in here(dev)
        (dev / file).touch()
        assert device not in here(dev)
        info = site / f"{name}_plugin-1.0.dist-info"
        info.mkdir(parents=True)
        about = {"Metadata-Version": "2.1", "Name": f"{name}-plugin", "Version": "1.0"}
        (info / "METADATA").write_text("".join(f"{key}: {about[key]}\n" for key in about))
        (info / "entry_points.txt").write_text(f"[jax_plugins]\n{name} = jax_plugins.{name}\n")
        assert device in here(dev)
    (site / "libtpu").mkdir()
    (site / "libtpu" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert TPU not in here(dev)
    (dev / "vfio" / "0").touch()
    assert list(here(dev)) == [CUDA, ROCM, TPU]
    (dev / "nvidiactl").unlink()
    assert list(here(dev)) == [ROCM, TPU]


@pytest.mark.parametrize(
    ("trials", "group"), [(1, 8), (30, 8), (63, 8), (64, 16), (128, 32), (10_000, 32)]
)
def test_groups_on_an_accelerator_grow_with_the_trials_and_are_the_same_for_all_data(
    trials: int, group: int
) -> None:
    assert LARGEST <= group <= SIDE_BY_SIDE
    for budget in (Budget(max_params=500), Budget(max_params=100_000, max_epochs=100)):
        assert usual_group(budget, describe("digits"), trials, CUDA) == group


def test_groups_on_a_cpu_do_not_depend_on_the_trials() -> None:
    budget = Budget(max_params=8_000, max_epochs=15)
    assert {usual_group(budget, describe("digits"), n) for n in (1, 30, 10_000)} == {8}
