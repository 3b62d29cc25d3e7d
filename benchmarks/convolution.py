"""Our convolution against XLA's, forward and backward inside a compiled loop.

    taskset -c 0 python benchmarks/convolution.py --out convolution.json

Each line is one kind of convolution: 8 channels, 28x28 pictures, batch 128, float32, one thread.
`pennyweight.arch.kernels.conv` (batch last) and `lax.conv_general_dilated` (NHWC, as in
`flax.nnx.Conv`) are each the body of a `lax.scan`. Rounds alternate between the two, so that a busy
machine slows both; times are medians, the ratio is the median of the rounds' ratios. It takes a
minute at most.

Expected on a CPU: ratios of 5 and more. Milliseconds differ between machines more than ratios do.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("NPROC", "1")  # XLA's thread pool, as in a search's workers

import jax
import numpy as np
from jax import lax
from machine import cpu

from pennyweight.arch.kernels import conv
from pennyweight.arch.maps import Maps

CHANNELS, SIDE, BATCH = 8, 28, 128
STEPS = 2  # of a scan
ROUNDS = 5

Pair = tuple[jax.Array, jax.Array]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A convolution to be timed."""

    name: str
    side: int  # of the kernel
    dilation: int = 1
    depthwise: bool = False

    def ours(self, x_chwn: jax.Array, kernel: jax.Array) -> jax.Array:
        maps = conv(
            Maps(x_chwn),
            kernel,
            stride=1,
            padding="SAME",
            dilation=self.dilation,
            depthwise=self.depthwise,
        )
        return maps.values

    def xla(self, x_nhwc: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x_nhwc,
            kernel,
            (1, 1),
            "SAME",
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=CHANNELS if self.depthwise else 1,
        )


KINDS = (
    Kind(name="3x3", side=3),
    Kind(name="5x5", side=5),
    Kind(name="3x3 dilated by 2", side=3, dilation=2),
    Kind(name="1x1", side=1),
    Kind(name="3x3 depthwise", side=3, depthwise=True),
)


def compile_loop(
    function: Callable[[jax.Array, jax.Array], jax.Array], x: np.ndarray, kernel: np.ndarray
) -> Callable[[], float]:
    """A function that runs a scan of forward and backward passes and returns the time of one."""

    def step(carry: Pair, _: None) -> tuple[Pair, None]:
        x, kernel = carry
        y, gradients_of = jax.vjp(function, x, kernel)
        dx, dkernel = gradients_of(y)
        return (x - 1e-6 * dx, kernel - 1e-6 * dkernel), None

    loop = jax.jit(partial(lax.scan, step, length=STEPS)).lower((x, kernel)).compile()

    def measure_ms() -> float:
        start = time.perf_counter()
        jax.block_until_ready(loop((x, kernel)))
        return (time.perf_counter() - start) / STEPS * 1e3

    measure_ms()  # the first run also touches its memory for the first time
    return measure_ms


def compare(kind: Kind) -> dict[str, object]:
    """One line of the table."""
    random = np.random.default_rng(0)
    inputs = 1 if kind.depthwise else CHANNELS
    x = random.standard_normal((CHANNELS, SIDE, SIDE, BATCH), np.float32)
    kernel = random.standard_normal((kind.side, kind.side, inputs, CHANNELS), np.float32)
    ours = compile_loop(kind.ours, x, kernel)
    xla = compile_loop(kind.xla, np.ascontiguousarray(x.transpose(3, 1, 2, 0)), kernel)
    ours_ms, xla_ms = np.array([(ours(), xla()) for _ in range(ROUNDS)]).T.tolist()
    ratios = [b / a for a, b in zip(ours_ms, xla_ms, strict=True)]
    return {
        **asdict(kind),
        "ours_ms": statistics.median(ours_ms),
        "xla_ms": statistics.median(xla_ms),
        "ratio": statistics.median(ratios),
        "least_ratio": min(ratios),
        "greatest_ratio": max(ratios),
    }


def describe_machine() -> dict[str, object]:
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "system": platform.platform(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="where to write the record, as JSON")
    out = parser.parse_args().out
    print(f"{'kind':<18}{'ours, ms':>10}{'lax, ms':>10}{'ratio':>8}   rounds' range")
    rows = []
    for kind in KINDS:
        row = compare(kind)
        rows.append(row)
        print(
            "{name:<18}{ours_ms:>10.1f}{xla_ms:>10.1f}{ratio:>8.1f}   "
            "{least_ratio:.1f} to {greatest_ratio:.1f}".format_map(row),
            flush=True,
        )
    if out:
        record = {
            "benchmark": "convolution",
            "settings": {
                "channels": CHANNELS,
                "side": SIDE,
                "batch": BATCH,
                "steps": STEPS,
                "rounds": ROUNDS,
                "nproc": os.environ["NPROC"],
            },
            "versions": {"python": platform.python_version(), "jax": jax.__version__},
            "machine": describe_machine(),
            "rows": rows,
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
