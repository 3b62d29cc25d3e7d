"""Training speed against PyTorch, plain Flax or XLA: epochs of six networks, in turns.

    pip install '.[bench]'
    python benchmarks/training.py --out benchmarks/records/training.json
    python benchmarks/training.py --against flax-scan

Each network is trained on random pictures by both, with batches of one size, AdamW, float32 and
data in memory, in one of two ways: as one process with all threads, or as one pinned
single-threaded process per core at the same time (as a search does it), whose rates are added.
Rounds alternate; the ratio is the median of the rounds' ratios. Both sides' losses are printed:
they must fall alike.

`torch` is PyTorch, channels last and eager, `torch-compiled` with `torch.compile`. `flax-steps` is
the same network in Flax, each step a call of one jitted function; in `flax-scan` an epoch is one
`lax.scan`, in which XLA's convolutions are slow on a CPU, so that both sides' epochs are shorter.
`xla` is this project without its kernels in C, as where there is no C compiler.
It takes some ten minutes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import App, Parameter
from machine import cpu

from pennyweight.arch.native_library import CHOICE
from pennyweight.train.native import native_digest

ROUNDS = 7
STEPS = 40  # of an epoch
SCAN_STEPS = 4  # of one against flax-scan

Against = Literal["torch", "torch-compiled", "flax-steps", "flax-scan", "xla"]


@dataclass(frozen=True)
class Network:
    """A network to be timed, in our notation."""

    name: str
    notation: str
    side: int = 28
    batch: int = 128


NETWORKS = {
    network.name: network
    for network in (
        Network("plain", "c8br c8br m2 c12br c12br m2 c16br c16br A d10+"),
        Network(
            "separable", "c16br w c16k1br m2 w c24k1br w c24k1br m2 w c32k1br w c32k1br A d10+"
        ),
        Network("dilated", "c8br c8x2br m2 c12x2br c12br m2 c16br c16br A d10+"),
        Network(
            "budget-4",
            "c128v+rb c8k1+r c8v+rb m2 c8v+rb c16v+rb c8k1+r c8v+rb c16v+rb A d10+",
        ),
        Network(
            "slopes",
            "c12bp c12bp m2 w c29k1bp w c29k1bp w c29k1bp m2 w c35k1bp w c36k1bp m2 wvp F d10+",
        ),
        Network("8x8", "c9br c8br m2 c12br c13br m2 c17br c17br A d10+", side=8, batch=64),
    )
}

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *names: str,
    against: Against = "torch",
    rounds: int = ROUNDS,
    steps: Annotated[
        int | None,
        Parameter(help=f"Of an epoch; by default {STEPS}, or {SCAN_STEPS} against flax-scan."),
    ] = None,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Time the networks called NAMES, by default all."""
    steps = steps or (SCAN_STEPS if against == "flax-scan" else STEPS)
    print(f"pictures a second, against {against}, in epochs of {steps} steps")
    print(
        f"{'network':<11}{'way':<22}{'ours/s':>9}{'theirs/s':>9}{'ratio':>7}  range        losses"
    )
    rows = []
    for name in names or NETWORKS:
        for way in ("one process", "a process per core"):
            row = compare(NETWORKS[name], way, against, rounds, steps)
            rows.append(row)
            print(
                "{network:<11}{way:<22}{ours:>9,.0f}{theirs:>9,.0f}{ratio:>7.2f}  "
                "{least:.2f} to {greatest:.2f}  {losses}".format(**row),
                flush=True,
            )
    if out:
        theirs = {"xla": "jaxlib"}.get(against, against.partition("-")[0])
        record = {
            "benchmark": "training",
            "rounds": rounds,
            "steps": steps,
            "theirs": against,
            "rows": rows,
            "cores": os.cpu_count(),
            "cpu": cpu(),
            "versions": {name: version(name) for name in ("jax", theirs, "numpy")}
            | {"python": platform.python_version(), "kernels": native_digest()},
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def rate(network: Network, side: str, rounds: int, steps: int) -> float:
    """Pictures a second of one side, a process per core: the median of rounds after the first."""
    workers = [Worker(side, network, core, steps) for core in sorted(os.sched_getaffinity(0))]
    rates = []
    try:
        for _ in range(rounds + 1):
            for worker in workers:
                worker.begin()
            rates.append(sum(network.batch * steps / worker.seconds() for worker in workers))
    finally:
        for worker in workers:
            worker.end()
    return statistics.median(rates[1:])


def compare(network: Network, way: str, theirs: Against, rounds: int, steps: int) -> dict[str, Any]:
    """A row of the table."""
    cores = sorted(os.sched_getaffinity(0)) if way == "a process per core" else [None]
    sides = {
        side: [Worker(side, network, core, steps) for core in cores] for side in ("ours", theirs)
    }
    rates: dict[str, list[float]] = {side: [] for side in sides}
    try:
        for number in range(rounds + 1):
            for side, workers in sides.items():
                for worker in workers:
                    worker.begin()
                rate = sum(network.batch * steps / worker.seconds() for worker in workers)
                if number:  # the first round warms up
                    rates[side].append(rate)
        losses = [f"{workers[0].loss:.3f}" for workers in sides.values()]
    finally:
        for workers in sides.values():
            for worker in workers:
                worker.end()
    ours, others = rates.values()
    ratios = [a / b for a, b in zip(ours, others, strict=True)]
    return {
        "network": network.name,
        "way": way,
        "ours": statistics.median(ours),
        "theirs": statistics.median(others),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "greatest": max(ratios),
        "losses": " ".join(losses),
    }


class Worker:
    """A process that trains an epoch when told to, pinned to `core` unless that is None."""

    def __init__(self, side: str, network: Network, core: int | None, steps: int) -> None:
        threads = len(os.sched_getaffinity(0)) if core is None else 1
        names = ("NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        chosen = {CHOICE: "xla"} if side == "xla" else {}
        arguments = (*astuple(network), threads, steps)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "worker", side, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **dict.fromkeys(names, str(threads)),
                **chosen,
                "JAX_PLATFORMS": "cpu",
            },
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        self._line()  # compiled, and run once

    def begin(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def seconds(self) -> float:
        """Of the epoch that was begun."""
        seconds, self.loss = map(float, self._line().split())
        return seconds

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A worker ended with status {self._process.wait()}.")
        return line


@app.command
def worker(  # its arguments are those of `Network`, and two more
    side: str, name: str, notation: str, pixels: int, batch: int, threads: int, steps: int, /
) -> None:
    """What runs in a worker process; not for people."""
    network = Network(name, notation, pixels, batch)
    random = np.random.default_rng(0)
    count = network.batch * steps
    # Something to learn: a class is a pattern among noise.
    labels = random.integers(0, 10, count)
    patterns = random.integers(0, 128, (10, network.side, network.side, 1))
    noise = random.integers(0, 128, (count, network.side, network.side, 1))
    images = (patterns[labels] + noise).astype(np.uint8)
    start = {"ours": _ours, "xla": _ours, "torch": _torch, "flax": _flax}[side.partition("-")[0]]
    epoch = start(network, images, labels, threads, side)
    loss = epoch()
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        loss = epoch()
        print(time.perf_counter() - begun, loss, flush=True)


def _ours(network: Network, images: np.ndarray, labels: np.ndarray, threads: int, side: str) -> Any:
    import jax

    from pennyweight.arch.network import draw_weights
    from pennyweight.arch.notation import parse
    from pennyweight.train.compiled import compiled
    from pennyweight.train.optimiser import hypers
    from pennyweight.train.plan import plan_epoch
    from pennyweight.train.program import Pictures, Program, initial_state
    from pennyweight.train.recipe import Candidate, Recipe

    del threads, side  # XLA's threads are set by NPROC
    architecture = parse(network.notation, (network.side, network.side, 1), 10)
    steps = len(labels) // network.batch
    recipe = Recipe(
        batch_size=network.batch,
        schedule="step",  # the full rate from the first step on
        peak_learning_rate=1e-3,
        weight_decay=1e-4,
        averaging=0,
        rotation=0,
        shear=0,
        scale=0,
        shift=0,
    )
    candidate = Candidate(architecture=architecture, recipe=recipe, seed=0)
    # Whatever an epoch is, as many steps in all: how XLA compiles depends on the work.
    program = Program.of(candidate, epochs=4_000 // steps)
    traced = hypers(recipe, steps)
    params, _ = draw_weights(architecture, 0)
    pictures = jax.device_put(
        Pictures(
            images_nhwc=images,  # type: ignore[arg-type]
            labels_n=labels.astype(np.int32),  # type: ignore[arg-type]
            mean_c=np.full(1, 0.5, np.float32),  # type: ignore[arg-type]
            std_c=np.full(1, 0.2, np.float32),  # type: ignore[arg-type]
        )
    )
    run = compiled(program, len(labels), 512, 512).train_steps
    state = initial_state(program, params, traced)
    number = 0

    def epoch() -> float:
        nonlocal state, number
        number += 1
        state, learned = run(state, traced, pictures, plan_epoch(len(labels), recipe, 0, number))
        return float(learned.loss)

    return epoch


def _torch(
    network: Network, images: np.ndarray, labels: np.ndarray, threads: int, side: str
) -> Any:
    torch = import_module("torch")
    from pennyweight.arch.notation import parse

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    architecture = parse(network.notation, (network.side, network.side, 1), 10)
    model: Any = torch.nn.Sequential(*_torch_layers(architecture))
    model = model.to(memory_format=torch.channels_last)
    if side == "torch-compiled":
        model = torch.compile(model)
    steps = len(labels) // network.batch
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    x = torch.tensor(images).permute(0, 3, 1, 2)
    y = torch.tensor(labels)

    def epoch() -> float:
        order = torch.randperm(len(y))
        total = 0.0
        for step in range(steps):
            chosen = order[step * network.batch : (step + 1) * network.batch]
            batch = (x[chosen].float() / 255 - 0.5) / 0.2
            optimiser.zero_grad()
            logits = model(batch.contiguous(memory_format=torch.channels_last))
            loss = torch.nn.functional.cross_entropy(logits, y[chosen])
            loss.backward()
            optimiser.step()
            total += loss.item()
        return total / steps

    return epoch


def _flax(network: Network, images: np.ndarray, labels: np.ndarray, threads: int, side: str) -> Any:
    from plain_flax import flax_epoch

    from pennyweight.arch.notation import parse

    del threads  # XLA's threads are set by NPROC
    architecture = parse(network.notation, (network.side, network.side, 1), 10)
    return flax_epoch(architecture, images, labels, network.batch, scanned=side == "flax-scan")


def _torch_layers(architecture: Any) -> list[Any]:
    nn = import_module("torch.nn")
    layers: list[Any] = []
    for placed in architecture.flat():
        layer, channels = placed.layer, placed.input_shape[-1]
        match layer.kind:
            case "conv" | "depthwise":
                outputs = layer.width if layer.kind == "conv" else channels
                layers.append(
                    nn.Conv2d(
                        channels,
                        outputs,
                        layer.kernel,
                        padding=0 if layer.valid else layer.kernel // 2 * layer.dilation,
                        dilation=layer.dilation,
                        bias=layer.bias,
                        groups=1 if layer.kind == "conv" else channels,
                    )
                )
            case "batch_norm":
                layers.append(nn.BatchNorm2d(channels))
            case "relu":
                layers.append(nn.ReLU())
            case "prelu":
                layers.append(nn.PReLU())
            case "max_pool":
                layers.append(nn.MaxPool2d(layer.extent))
            case "global_average":
                layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            case "flatten":
                layers.append(nn.Flatten())
            case "dense":
                layers.append(nn.Linear(channels, layer.width))
            case kind:
                raise NotImplementedError(kind)
    return layers


if __name__ == "__main__":
    app()
