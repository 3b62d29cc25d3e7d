"""What ARCH and --recipe mean, and what is said of files that hold something else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import UsageError
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import ZOO
from pennyweight.search.arguments import Named, read_arch, read_recipe
from pennyweight.train.recipe import Recipe

SMALL = parse("c4r A d10", (8, 8, 1), 10)


def write(folder: Path, content: object, name: str = "file.json") -> str:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_notation_is_read_for_the_data_or_for_a_shape() -> None:
    assert read_arch("c4r A d10") == Named(SMALL)
    wanted = parse("c4r A d3", (28, 28, 3), 3)
    assert read_arch("c4r A d3", input_shape=(28, 28, 3), classes=3) == Named(wanted)


@pytest.mark.parametrize("name", ZOO)
def test_a_zoo_name_brings_its_own_shape_and_recipe(name: str) -> None:
    found = read_arch(f"zoo:{name}", data="no such data")
    entry = ZOO[name]
    assert found == Named(entry.architecture, Recipe(**entry.recipe), epochs=entry.epochs)


@given(architecture=architectures())
def test_what_is_written_as_json_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, architecture: Architecture
) -> None:
    path = write(tmp_path_factory.mktemp("json"), architecture.to_json())
    assert read_arch(path, data="no such data") == Named(architecture)


def test_a_record_brings_its_recipe_and_its_seed(tmp_path: Path) -> None:
    recipe = Recipe(batch_size=32, rotation=0.0)
    record = {"note": "…", "architecture": SMALL.to_json()}
    assert read_arch(write(tmp_path, record)) == Named(SMALL)
    record |= {"recipe": recipe.to_json(), "seed": 7}
    assert read_arch(write(tmp_path, record)) == Named(SMALL, recipe, 7)


@pytest.mark.parametrize("given", [{"input_shape": (8, 8, 1)}, {"classes": 10}])
@pytest.mark.parametrize("arch", ["c4r A d10", "zoo:budget-1", "file.json"])
def test_half_a_shape_and_a_shape_for_what_has_one_are_refused(
    arch: str, given: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="--input and --classes"):
        read_arch(arch, **given)


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must be JSON, but: line 1, column 1: Expecting value."),
    "open": (b'{\n"a": ', "must be JSON, but: line 2, column 6: Expecting value."),
    "text": (b"c4r A d10", "must be JSON, but: line 1, column 1"),
    "binary": (bytes(range(256)), "must be JSON, but: it is no UTF-8 text."),
    "UTF-16": ("{}".encode("utf-16"), "must be JSON, but: it is no UTF-8 text."),
    "nested": (b"[" * 100_000, "must be JSON, but: it is nested too deeply."),
    "nested objects": (b'{"architecture":' * 50_000, "must be JSON, but: it is nested too deeply."),
    "long number": (b"9" * 5_000, "must be JSON, but: a number in it is too long."),
    "vast": (b" " * 10_000_001, "must be JSON of at most 10,000,000 bytes: name another."),
}


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_json_is_refused(tmp_path: Path, content: str) -> None:
    data, message = BROKEN[content]
    path = write(tmp_path, data)
    for read in (lambda: read_arch(path), lambda: read_recipe(Path(path))):
        with pytest.raises(UsageError) as error:
            read()
        assert str(error.value).startswith(path)
        assert message in str(error.value)


def test_a_device_without_an_end_is_not_read_to_it(tmp_path: Path) -> None:
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="must be JSON of at most"):
        read_arch(str(tmp_path / "endless.json"))


WRONG: list[tuple[object, str]] = [
    ([], "An architecture is a JSON object, but got []."),
    (None, "An architecture is a JSON object, but got None."),
    (1, "An architecture is a JSON object, but got 1."),
    ({}, "An architecture needs the field `input_shape`, but it is missing."),
    ({"architecture": []}, "An architecture is a JSON object, but got []."),
    ({**SMALL.to_json(), "classes": float("nan")}, "from 2 to 65536, but got nan."),
    ({**SMALL.to_json(), "classes": "10"}, "from 2 to 65536, but got '10'."),
    ({**SMALL.to_json(), "input_shape": [8, 8, float("inf")]}, "but got (8, 8, inf)."),
    ({**SMALL.to_json(), "input_shape": [8, 8]}, "but got (8, 8)."),
    ({**SMALL.to_json(), "layers": [{"kind": "cov"}]}, "did you mean conv?"),
    ({**SMALL.to_json(), "layers": [{"kind": "relu", "width": 3}]}, "has no field 'width'"),
    ({**SMALL.to_json(), "layers": []}, "end with a head such as `A d10+`."),
    ({**SMALL.to_json(), "extra": 1}, "An architecture has no field 'extra'"),
    ({"architecture": SMALL.to_json(), "seed": -1}, "`seed` must be a whole number from 0"),
    ({"architecture": SMALL.to_json(), "seed": 1.5}, "but got 1.5."),
    ({"architecture": SMALL.to_json(), "seed": True}, "but got True."),
    ({"architecture": SMALL.to_json(), "recipe": [1]}, "A recipe is a JSON object, but got [1]."),
    ({"architecture": SMALL.to_json(), "recipe": {"batch": 1}}, "did you mean batch_size?"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_json_that_is_no_architecture_is_refused(
    tmp_path: Path, content: object, message: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError) as error:
        read_arch(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_a_recipe_keeps_the_defaults_of_what_it_leaves_out(tmp_path: Path) -> None:
    path = write(tmp_path, {"peak_learning_rate": 0.5})
    assert read_recipe(Path(path)) == Recipe(peak_learning_rate=0.5)


def test_a_recipe_leaves_the_rest_as_the_network_has_it(tmp_path: Path) -> None:
    path = Path(write(tmp_path, {"l1": 0.5}))
    usual = Recipe(peak_learning_rate=0.5, accumulation=4)
    assert read_recipe(path, usual) == replace(usual, l1=0.5)
    record = {"architecture": SMALL.to_json(), "recipe": {"l1": 0.5}}
    assert read_recipe(Path(write(tmp_path, record)), usual) == Recipe(l1=0.5)


def test_the_recipe_of_a_record_is_meant_where_a_record_is_named(tmp_path: Path) -> None:
    record = {"architecture": SMALL.to_json(), "recipe": {"peak_learning_rate": 0.25}}
    assert read_recipe(Path(write(tmp_path, record))) == Recipe(peak_learning_rate=0.25)
    with pytest.raises(UsageError, match="A recipe is a JSON object, but got None"):
        read_recipe(Path(write(tmp_path, {"architecture": SMALL.to_json()})))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "A recipe is a JSON object, but got []."),
        ("x", "A recipe is a JSON object, but got 'x'."),
        ({"peak_learning_rat": 0.1}, "did you mean peak_learning_rate?"),
        ({"peak_learning_rate": float("nan")}, "from 1e-07 to 10, but got nan."),
        ({"weight_decay": float("inf")}, "from 0 to 10, but got inf."),
        ({"peak_learning_rate": "0.1"}, "but got '0.1'."),
        ({"batch_size": True}, "but got True."),
        ({"batch_size": 1.5}, "`batch_size` must be a whole number, but got 1.5."),
        ({"batch_size": 0}, "`batch_size` of a recipe must be from 1 to 65536, but got 0."),
        ({"optimiser": "adam"}, "`optimiser` cannot be 'adam': did you mean adamw?"),
        ({"schedule": None}, "`schedule` cannot be None"),
        ({"\x1b[31m": 1}, "A recipe has no `\\x1b[31m`"),
    ],
)
def test_json_that_is_no_recipe_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError) as error:
        read_recipe(Path(path))
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
