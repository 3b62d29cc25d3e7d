"""The C of a network, ours in float and in int8 against emx-onnx-cgen's: flash, RAM and time.

    .venv/bin/python benchmarks/c_code.py --out benchmarks/records/c-code.json

One process runs the three programs in turns over the same validation pictures, compiled alike, and
the median of the rounds is told. emx-onnx-cgen (extra `bench`) gets the same folded network as
ONNX, all its temporaries on the stack as on a microcontroller, and pictures that are normalised
already, which our programs do themselves. Bytes are of object files for this processor, compiled
with -Os: code is larger or smaller on another. Expect a minute on two cores.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from c_code_onnx import onnx_of
from cyclopts import App, Parameter
from machine import origin

from pennyweight.arch.cost import cost
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.folding import deploy
from pennyweight.results.bundle_reader import read_bundle
from pennyweight.results.c_int8 import c_int8_files
from pennyweight.results.c_program import STRICT, find_compiler, measure_c
from pennyweight.results.c_source import c_files
from pennyweight.results.quantise import quantise
from pennyweight.train.data import load_training_set

PROGRAMS = ("model", "model_int8", "peer")
MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "model.h"
#include "model_int8.h"

void peer(const float x[], float y[]);

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int count, char **arguments)
{
    const int pictures = atoi(arguments[1]), rounds = atoi(arguments[2]);
    unsigned char *levels = malloc((size_t)pictures * MODEL_PICTURE);
    float *normal = malloc((size_t)pictures * MODEL_PICTURE * sizeof(float));
    float *logits = malloc((size_t)pictures * MODEL_CLASSES * sizeof(float));
    FILE *file = fopen("pictures", "rb");
    if (count != 3 || fread(levels, MODEL_PICTURE, (size_t)pictures, file) != (size_t)pictures)
        return 1;
    file = fopen("normal", "rb");
    if (fread(normal, MODEL_PICTURE * sizeof(float), (size_t)pictures, file) != (size_t)pictures)
        return 1;
    for (int turn = 0; turn < 3 * rounds; turn++) {
        const int which = turn % 3;
        const double start = seconds();
        for (int i = 0; i < pictures; i++) {
            float *to = logits + i * MODEL_CLASSES;
            if (which == 0)
                model_logits(levels + i * MODEL_PICTURE, to);
            else if (which == 1)
                model_int8_logits(levels + i * MODEL_PICTURE, to);
            else
                peer(normal + i * MODEL_PICTURE, to);
        }
        printf("%d %.9f\\n", which, (seconds() - start) / pictures);
        if (turn < 3) {
            const char *names[] = {"model.out", "model_int8.out", "peer.out"};
            file = fopen(names[which], "wb");
            fwrite(logits, sizeof(float), (size_t)(pictures * MODEL_CLASSES), file);
            fclose(file);
        }
    }
    return 0;
}
"""

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    bundle: Path = Path("results/pretrained/mnist-8k"),
    pictures: int = 500,
    rounds: int = 11,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Write, compile, run and measure all three."""
    compiler = find_compiler()
    if compiler is None:
        sys.exit("There is no C compiler here: install gcc.")
    read = read_bundle(bundle)
    told = read.manifest["normalisation"]
    network = read.architecture
    deployed = deploy(network, read.params, read.statistics, told["mean"], told["std"])
    dataset = load_training_set(read.manifest["data"]["name"])
    parts = dataset.split(read.manifest["training"]["split_seed"])
    quantised = quantise(deployed, dataset.images[parts.train])
    about: dict[str, Any] = {
        "notation": network.notation,
        "class_names": read.manifest["class_names"],
    }
    files = {
        "model": c_files(deployed, **about),
        "model_int8": c_int8_files(quantised, **about),
        "peer": {"peer.c": peer_source(deployed)},
    }
    images = dataset.images[parts.validation[:pictures]]
    rows: dict[str, dict[str, Any]] = {}
    for name in PROGRAMS:
        taken = measure_c(files[name], compiler=compiler)
        assert taken
        rows[name] = asdict(taken) | {"ram_bytes": taken.ram_bytes}
    for level in ("-Os", "-O2", "-O3"):
        seconds, logits = timed(files, deployed, images, rounds, [compiler.path, level])
        for name in PROGRAMS:
            rows[name][f"us{level}"] = [round(1e6 * each, 1) for each in seconds[name]]
    wanted = deployed.logits(images)
    for name in PROGRAMS:
        same = logits[name].argmax(1) == wanted.argmax(1)
        rows[name] |= {"same_class": int(same.sum()), "pictures": len(images)}
    show(rows)
    if out:
        record = {
            "benchmark": "c-code",
            "network": network.notation,
            "cost": cost(network).to_json(),
            "compiler": compiler.version,
            "peer": f"emx-onnx-cgen {version('emx-onnx-cgen')}",
            "rows": rows,
            **origin(),
        }
        out.write_text(json.dumps(record, indent=2) + "\n")


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    print("            flash   static    stack      RAM  us: -Os      -O2      -O3  same class")
    for name, row in rows.items():
        bytes_ = [row[key] for key in ("flash_bytes", "static_bytes", "stack_bytes", "ram_bytes")]
        times = [statistics.median(row[f"us{level}"]) for level in ("-Os", "-O2", "-O3")]
        numbers = "".join(f"{each:>9,}" for each in bytes_) + "".join(f"{t:>9.0f}" for t in times)
        print(f"{name:<10}{numbers}  {row['same_class']}/{row['pictures']}")


def peer_source(deployed: Deployed) -> bytes:
    """What emx-onnx-cgen writes, its floats on the stack and in the one file."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "peer.onnx").write_bytes(onnx_of(deployed))
        command = Path(sys.executable).parent / "emx-onnx-cgen"
        options = ["--large-temp-threshold", "0", "--large-weight-threshold", "0"]
        subprocess.run(
            [command, "compile", *options, "--model-name", "peer", "peer.onnx", "peer.c"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return (Path(folder) / "peer.c").read_bytes()


def timed(
    files: Mapping[str, Mapping[str, bytes]],
    deployed: Deployed,
    images: np.ndarray,
    rounds: int,
    compile_it: list[str],
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """(seconds a picture in each round, logits) of each program."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for each in files.values():
            for name, content in each.items():
                (place / name).write_bytes(content)
        for name in PROGRAMS:
            flags = [] if name == "peer" else STRICT
            subprocess.run([*compile_it, *flags, "-c", f"{name}.c"], cwd=place, check=True)
        (place / "main.c").write_text(MAIN)
        (place / "pictures").write_bytes(np.ascontiguousarray(images).tobytes())
        normal = deployed.normalised(images).transpose(0, 3, 1, 2)
        (place / "normal").write_bytes(np.ascontiguousarray(normal).tobytes())
        link = [*compile_it, "main.c", *(f"{name}.o" for name in PROGRAMS), "-o", "program", "-lm"]
        subprocess.run(link, cwd=place, check=True)
        ran = subprocess.run(
            [place / "program", str(len(images)), str(rounds)],
            cwd=place,
            check=True,
            capture_output=True,
            text=True,
        )
        seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
        for line in ran.stdout.splitlines():
            which, took = line.split()
            seconds[PROGRAMS[int(which)]].append(float(took))
        logits = {
            name: np.fromfile(place / f"{name}.out", np.float32).reshape(len(images), -1)
            for name in PROGRAMS
        }
    return seconds, logits


if __name__ == "__main__":
    app()
