"""What the tests of bundles share: made-up facts, and a Python that lacks Pennyweight."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.network import Tree, abstract
from pennyweight.results.bundle import Facts
from pennyweight.results.trained import Trained

LOGITS_OF_EACH = """
import importlib.util, sys
import numpy as np

assert importlib.util.find_spec("pennyweight") is None
for folder in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location(f"model{folder}", f"{folder}/model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    np.save(f"{folder}/logits.npy", model.load(folder)(np.load(f"{folder}/images.npy")))
"""
"""A program: of each folder named, `images.npy` through `model.py` to `logits.npy`."""


class Elsewhere:
    """Python with every package that is installed here but Pennyweight."""

    def __init__(self, packages: Path) -> None:
        self.packages = packages
        for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in Path(folder).iterdir():
                # An editable installation is a .pth file and a finder with the name in its own.
                if "pennyweight" not in entry.name and entry.suffix != ".pth":
                    (packages / entry.name).symlink_to(entry)

    def start(self, folder: Path, *arguments: str) -> subprocess.Popen[str]:
        """Starts Python in `folder`; `finish` waits for it."""
        return subprocess.Popen(
            # Without `site` (-S) no installed package is on the path, only the links are.
            [sys.executable, "-S", "-B", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(self.packages)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """(exit status, stdout, stderr)."""
    out, err = process.communicate()
    return process.returncode, out, err


def facts(architecture: Architecture) -> Facts:
    """Made-up facts that fit the architecture."""
    channels = architecture.input_shape[2]
    return Facts(
        data="made-up",
        data_fingerprint="0123456789abcdef",
        mean=[0.4, 0.5, 0.3, 0.6][:channels],
        std=[0.2, 0.3, 0.25, 0.15][:channels],
        class_names=[f"class {i}" for i in range(architecture.classes)],
        recipe={"optimiser": "adamw", "peak_learning_rate": 0.01},
        precision="float32",
        seed=7,
        split_seed=0,
        whole=False,
        epochs=15,
        val_accuracy=0.95,
        val_low=0.9,
        val_high=0.97,
        study="first-light",
        trial=3,
        versions={"jax": jax.__version__},
        command=["pennyweight", "search"],
        created="2026-01-31T12:00:00+00:00",
    )


def trained(
    architecture: Architecture,
    params: Tree,
    statistics: Tree,
    about: Facts,
    images: np.ndarray,
    labels: np.ndarray | None = None,
) -> Trained:
    """A network that is checked on `images`, from which it also has what it learned."""
    return Trained(
        architecture=architecture,
        params=params,
        statistics=statistics,
        facts=about,
        learned=images,
        checked=images,
        labels=labels,
        part="validation",
    )


def network_logits(
    architecture: Architecture, params: Tree, statistics: Tree, about: Facts, images: np.ndarray
) -> np.ndarray:
    """The logits (n, classes) of the network itself."""
    network = nnx.merge(abstract(architecture)[0], params, statistics)
    normalised = (images / 255 - np.array(about.mean)) / np.array(about.std)
    with jax.default_matmul_precision("float32"):
        return np.asarray(jax.jit(network)(normalised.astype(np.float32)))
