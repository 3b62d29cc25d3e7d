"""The float C program of every kind of network gives its logits."""

import subprocess
from pathlib import Path

import pytest
from c_networks import SANITIZED, close, compiler, deployed_of, float_program
from networks import MADE_UP, NETWORKS, random_images

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.folding import deploy
from pennyweight.arch.notation import parse
from pennyweight.results.c_program import run_c
from pennyweight.results.c_source import c_files
from pennyweight.results.loaded import load_model
from pennyweight.train.data import load_training_set

MNIST = Path(__file__).parents[1] / "results" / "pretrained" / "mnist-8k"


@pytest.mark.parametrize("network", MADE_UP, ids=lambda network: network.notation[:40])
def test_the_float_program_gives_the_logits_of_the_network(network: Architecture) -> None:
    images = random_images(network, 5)
    found = run_c(float_program(network), images, compiler=compiler())
    close(found, deployed_of(network).logits(images))


@pytest.mark.extended
@pytest.mark.parametrize("flags", [("-Os",), SANITIZED], ids=["small", "sanitized"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.notation[:40])
def test_it_does_under_other_flags_and_where_every_access_is_watched(
    network: Architecture, flags: tuple[str, ...]
) -> None:
    images = random_images(network, 3)
    found = run_c(float_program(network), images, compiler=compiler(), flags=flags)
    close(found, deployed_of(network).logits(images))


def test_no_picture_has_no_logits() -> None:
    network = NETWORKS[5]
    assert run_c(float_program(network), random_images(network, 0), compiler=compiler()).shape == (
        0,
        3,
    )


def test_it_says_which_network_it_is_and_takes_nothing_from_the_heap() -> None:
    source = float_program(MADE_UP[0])["model.c"].decode()
    assert MADE_UP[0].notation in " ".join(source.split())
    assert f"{deployed_of(MADE_UP[0]).params:,} parameters" in " ".join(source.split())
    assert "alloc" not in source
    assert "#include <math.h>" not in source  # only what SiLU needs
    assert max(map(len, source.splitlines())) <= 100


def test_a_function_is_there_only_where_it_is_used() -> None:
    source = float_program(parse("A", (8, 8, 3), 3))["model.c"].decode()
    assert "pool_average" in source
    assert "convolve" not in source
    assert "dot" not in source


def test_names_of_classes_are_what_they_are_in_utf_8(tmp_path: Path) -> None:
    network = parse("A", (2, 2, 4), 4)
    names = ["Größe", 'quote " \\ ??=', "line\nbreak", "7"]
    files = c_files(deployed_of(network), notation=network.notation, class_names=names)
    main = """\
#include <stdio.h>
#include "model.h"
int main(void)
{
    for (int i = 0; i < MODEL_CLASSES; i++)
        printf("%s%c", model_class_names[i], 0);
    return 0;
}
"""
    for name, content in (files | {"main.c": main.encode()}).items():
        (tmp_path / name).write_bytes(content)
    command = [compiler().path, "-std=c99", "-Wall", "-Werror", "main.c", "model.c", "-o", "it"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "it"], capture_output=True, check=True).stdout
    assert said.decode().split("\0")[:-1] == names


def test_an_int_of_16_bits_is_refused_when_it_is_compiled(tmp_path: Path) -> None:
    files = float_program(parse("A", (8, 8, 3), 3))
    limits = b"#define INT_MAX 32767\n"  # found before the compiler's own
    for name, content in (files | {"limits.h": limits}).items():
        (tmp_path / name).write_bytes(content)
    command = [compiler().path, "-std=c99", "-I", ".", "-c", "model.c"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode
    assert "int must have 32 bits" in said.stderr


def test_the_same_program_is_written_every_time() -> None:
    assert float_program(MADE_UP[6]) == float_program(MADE_UP[6])


@pytest.mark.extended
def test_every_validation_picture_of_mnist_has_the_class_that_the_network_gives_it(
    mnist: str,
) -> None:
    classifier = load_model(Path("runs"), str(MNIST)).classifier
    dataset = load_training_set(mnist)
    images = dataset.images[dataset.split(0).validation]
    deployed = deploy(
        classifier.architecture,
        classifier.params,
        classifier.statistics,
        classifier.mean,
        classifier.std,
    )
    files = c_files(deployed, notation="", class_names=dataset.class_names)
    found = run_c(files, images, compiler=compiler())
    wanted = classifier.logits(images)
    assert len(found) == 6_000
    assert (found.argmax(1) == wanted.argmax(1)).all()
    close(found, wanted)
