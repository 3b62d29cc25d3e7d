"""Whatever a file or a flag holds, it is taken, or refused in one line: nothing else is raised.

`pytest tests/test_fuzz.py --hypothesis-profile=long --timeout=0` tries thirty times as many.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import searched
from corpus import picture
from corpus_bundles import GOOD, sealed
from corpus_data import IMAGES, LABELS, csv_file, idx
from corpus_studies import file_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import changed, damaged, wrong_text
from prepared_folders import pictures, prepare

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.arch.errors import RunError, UsageError
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import ZOO
from pennyweight.results.bundle_reader import read_bundle, read_manifest
from pennyweight.results.database import Database
from pennyweight.results.leaderboard import rows
from pennyweight.results.probe import read_probe
from pennyweight.results.studies import load_study
from pennyweight.results.tables import as_csv, as_json, as_markdown
from pennyweight.results.terminal import as_table, as_text
from pennyweight.search import units
from pennyweight.search.arguments import read_arch, read_recipe
from pennyweight.search.cli import main
from pennyweight.search.engine import Engine
from pennyweight.search.recording import recorded_candidate
from pennyweight.search.settings import Settings
from pennyweight.train import state_file
from pennyweight.train.corrections import read_corrections
from pennyweight.train.csv_file import read_csv
from pennyweight.train.door import readings
from pennyweight.train.idx_files import read_idx
from pennyweight.train.npz_file import read_npz
from pennyweight.train.picture_file import FORMATS, open_picture
from pennyweight.train.prepared import describe_folder

RECORD = json.loads(
    Path(__file__).parents[1].joinpath("results/records/mnist-500.json").read_text()
)
NOTATIONS = [entry.architecture.notation for entry in ZOO.values()]
BUNDLE_FILES = ("manifest.json", "architecture.json", "weights.safetensors", "probe.npz")


def try_it(read: Callable[[], Any], refusals: Any = (UsageError, RunError)) -> str:
    """Where `read` refuses, it says why in one line, which is returned; it raises nothing else."""
    told = ""
    try:
        read()
    except refusals as refusal:
        told = str(refusal)
    assert told.isprintable()
    return told


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to write to, over and over."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def study() -> tuple[bytes, list[dict[str, Any]]]:
    """The records of a search: the file, and each of them."""
    content = (searched()[0] / "runs/small/records.jsonl").read_bytes()
    return content, [json.loads(line) for line in content.splitlines()]


@given(text=wrong_text(st.sampled_from(NOTATIONS)))
def test_a_notation(text: str) -> None:
    try_it(lambda: cost(parse(text, (28, 28, 1), 10)))


@given(document=changed(RECORD["architecture"]) | changed(RECORD))
def test_an_architecture_or_a_record_to_train_from(document: Any, place: Path) -> None:
    (place / "a.json").write_text(json.dumps(document))
    try_it(lambda: cost(read_arch(str(place / "a.json")).architecture))


@given(content=damaged(st.just(json.dumps(RECORD).encode())))
def test_the_bytes_of_a_record(content: bytes, place: Path) -> None:
    (place / "a.json").write_bytes(content)
    try_it(lambda: read_arch(str(place / "a.json")))
    try_it(lambda: read_recipe(place / "a.json"))


@given(recipe=changed(RECORD["recipe"]))
def test_a_recipe(recipe: Any, place: Path) -> None:
    (place / "r.json").write_text(json.dumps(recipe))
    try_it(lambda: read_recipe(place / "r.json"))


@given(data=st.data())
def test_sealed_records_of_a_study(
    data: st.DataObject, study: tuple[bytes, list[dict[str, Any]]], place: Path
) -> None:
    lines = study[1]
    at = data.draw(st.integers(0, len(lines) - 1))
    record = data.draw(changed(lines[at]).filter(lambda value: isinstance(value, dict) and value))
    _put_records(place, file_of([*lines[:at], record, *lines[at + 1 :]]))
    try_it(lambda: _shown(place))


@given(data=st.data())
def test_the_bytes_of_a_studys_records(
    data: st.DataObject, study: tuple[bytes, list[dict[str, Any]]], place: Path
) -> None:
    _put_records(place, data.draw(damaged(st.just(study[0]))))
    try_it(lambda: _shown(place))


def _put_records(place: Path, content: bytes) -> None:
    folder = place / "runs" / "small"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_bytes(content)


def _shown(place: Path) -> None:
    """All that is made of records alone, and what a search compares."""
    study = load_study(place / "runs", "small")
    ranked = rows(study)
    for written in (as_json(study, ranked), as_csv(ranked), as_markdown(ranked)):
        assert written
    text = as_text(as_table(study, ranked))
    assert "\x1b" not in text
    settings = Settings(data="digits", budget=Budget())
    settings.gone_on_with(study.settings).differences(study.settings)
    for trial in study.trials.values():
        try_it(lambda trial=trial: recorded_candidate(trial))


@given(manifest=changed(json.loads((GOOD / "manifest.json").read_text())))
def test_a_sealed_manifest_of_a_bundle(manifest: Any, place: Path) -> None:
    def become(told: dict[str, Any]) -> None:
        told.clear()
        told.update(manifest if isinstance(manifest, dict) else {"format": manifest})

    shutil.rmtree(place / "b", ignore_errors=True)
    sealed(become)(place / "b")
    try_it(lambda: read_bundle(place / "b"))


@given(data=st.data(), name=st.sampled_from(BUNDLE_FILES))
def test_the_bytes_of_a_bundle(data: st.DataObject, name: str, place: Path) -> None:
    content = data.draw(damaged(st.just((GOOD / name).read_bytes())))
    shutil.rmtree(place / "b", ignore_errors=True)
    if name == "manifest.json":
        shutil.copytree(GOOD, place / "b")
        (place / "b" / name).write_bytes(content)
    else:
        sealed(lambda told: None, **{name: content})(place / "b")

    def read() -> None:
        bundle = read_bundle(place / "b")
        read_probe(place / "b", read_manifest(place / "b"), bundle.architecture)

    try_it(read)


@given(content=damaged(st.just((GOOD / "weights.safetensors").read_bytes())))
def test_the_bytes_of_weights(content: bytes) -> None:
    try_it(lambda: state_file.layers(content, "weights"), ValueError)  # the caller names the file


@given(content=damaged(st.just(csv_file().encode())))
def test_a_csv(content: bytes, place: Path) -> None:
    (place / "a.csv").write_bytes(content)
    try_it(lambda: read_csv(place / "a.csv"))


@given(images=damaged(st.just(idx(IMAGES))), labels=damaged(st.just(idx(LABELS))))
def test_idx_files(images: bytes, labels: bytes, place: Path) -> None:
    (place / "images").write_bytes(images)
    (place / "labels").write_bytes(labels)
    try_it(lambda: read_idx(place / "images", place / "labels"))


def _npz(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, x_train=IMAGES, y_train=LABELS)
    return file.getvalue()


@given(content=damaged(st.sampled_from([_npz(np.savez), _npz(np.savez_compressed)])))
def test_an_npz(content: bytes, place: Path) -> None:
    (place / "a.npz").write_bytes(content)
    try_it(lambda: read_npz(place / "a.npz"))


@given(content=damaged(st.sampled_from([picture(form) for form in FORMATS])))
def test_a_picture(content: bytes) -> None:
    try_it(lambda: open_picture(content, "a picture", largest=1_000_000))


CORRECTIONS = b'index,label,correction,split\n1,3,"4",train\n2,1,,train\n7,"2",5,validation\n'


@given(content=damaged(st.just(CORRECTIONS)))
def test_corrections(content: bytes, place: Path) -> None:
    (place / "c.csv").write_bytes(content)
    names = tuple("0123456789")
    try_it(lambda: read_corrections(place / "c.csv").apply(np.arange(10), names))


READINGS = b'{"purpose": "confirm", "data_fingerprint": "0123", "model": "4567"}\n' * 3


@given(content=damaged(st.just(READINGS)))
def test_the_ledger_of_test_readings(content: bytes, place: Path) -> None:
    (place / "readings.jsonl").write_bytes(content)
    try_it(lambda: readings(place / "readings.jsonl"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as TensorFlow Datasets prepares it."""
    return prepare(tmp_path_factory.mktemp("tfds") / "toy" / "1.0.0", train=pictures(60))


@given(data=st.data(), name=st.sampled_from(["dataset_info.json", "features.json"]))
def test_a_prepared_data_set(data: st.DataObject, name: str, toy: Path) -> None:
    good = (toy / name).read_bytes()
    try:
        (toy / name).write_text(json.dumps(data.draw(changed(json.loads(good)))))
        try_it(lambda: describe_folder("toy", toy))
    finally:
        (toy / name).write_bytes(good)


FLAGS = ["8k", "1.5KiB", "90s", "1.5m", "28x28x1", "auto", "500,1k", "-5", "12"]
READERS = [
    units.count,
    units.size,
    units.sizes,
    units.duration,
    units.shape,
    units.count_or_auto,
    units.names,
]


@given(text=wrong_text(st.sampled_from(FLAGS)), read=st.sampled_from(READERS))
def test_a_flags_value(text: str, read: Callable[[str], Any]) -> None:
    try_it(lambda: read(text), ValueError)  # the command line names the flag


SECRET = "hunter2"
SCHEMES = ["postgresql+psycopg", "postgresql", "mysql", "dask:tcp", "dask:tls", "dask:local:2"]
PLACES = ["host:5432/db?sslmode=require", "[::1]/db", "/db?host=/nowhere", "gateway:8786"]
PLACES += ["host/\udcff", "host/%ff", "a-host-of-a-long-name.example.org/and-a-database-of-one"]
UNSPACED = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Z", "C"]))


@st.composite
def secret_url(draw: st.DrawFn) -> str:
    """Something like a URL with a password, which is wrong before it or after it."""
    scheme = draw(st.sampled_from(SCHEMES) | wrong_text(st.sampled_from(SCHEMES)))
    place = draw(st.sampled_from(PLACES) | wrong_text(st.sampled_from(PLACES)))
    more = draw(UNSPACED)
    if draw(st.booleans()):
        return f"{scheme}://me@host/db?password={SECRET}{more}"
    return f"{scheme}://me:{SECRET}{more}@{place}"


@given(url=secret_url())
def test_a_database_and_a_schedulers_address(url: str) -> None:
    def read_storage() -> None:
        database = Database(url)
        assert SECRET not in f"{database} {database!r} {database.flags}"

    assert SECRET not in try_it(read_storage)
    assert SECRET not in try_it(lambda: Engine.of(url))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(url=secret_url(), before=st.sampled_from(["", "--runs=", "--storag=", "--top=", "x "]))
def test_a_url_at_a_wrong_place_of_a_command(url: str, before: str, quiet: Path) -> None:
    *first, flag = before.split(" ")
    words = [*first, flag + url.replace("\0", "")]  # no system passes that on
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert _status(["leaderboard", *words]) in (0, 2), words
    assert SECRET not in said.getvalue()


WORDS = ["--input", "8x8x1", "--classes", "10", "--data", "digits", "--json", "--top", "c4 A d10"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # nothing to reset
@given(
    command=st.sampled_from(["inspect", "leaderboard", "evaluate", "predict", "data"]),
    words=st.lists(wrong_text(st.sampled_from(WORDS)) | st.sampled_from(WORDS), max_size=5),
)
def test_a_command(command: str, words: list[str], quiet: Path) -> None:
    words = [word.replace("\0", "") for word in words]  # no system passes it on
    assert _status([command, *words]) in (0, 2), (command, words)


@pytest.fixture
def quiet(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in; what is printed there is not kept."""
    monkeypatch.chdir(place)
    with (
        (place / "printed").open("w") as printed,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        yield place


def _status(words: list[str]) -> object:
    try:
        main(words)
    except SystemExit as ended:
        return ended.code
    return 0
