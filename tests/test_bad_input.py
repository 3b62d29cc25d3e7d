"""Bad input on the real command line: exit status 2, one line, no traceback, nothing written."""

import importlib.util
import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import NETWORK, SMALL, copied, pennyweight, said, searched, trained, tree
from prepared_folders import change, pictures, prepare

from pennyweight.arch.budget import Budget
from pennyweight.results.folder import StudyFolder
from pennyweight.results.records import RecordFile
from pennyweight.search.settings import Settings
from pennyweight.train.data import load_training_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working folder, in which nothing may be there at the end but what the test put."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module", autouse=True)
def decoded() -> None:
    """The default data set is decoded before: that is said once for a machine, and no refusal."""
    load_training_set("digits")


def refused(folder: Path, *arguments: str | Path, **environment: Any) -> str:
    """The one line that the command says; asserts that nothing was written at all."""
    home = folder.parent / "home"  # what goes there by mistake is seen too
    home.mkdir(exist_ok=True)
    before = tree(folder.parent)
    line = said(pennyweight(*arguments, cwd=folder, HOME=home, **environment))
    assert tree(folder.parent) == before
    return line


def words(line: str) -> list[str]:
    """The words of a command, in which `|` stands for a space inside a word."""
    return [word.replace("|", " ") for word in line.split(" ")]


FLAGS: list[tuple[str, str]] = [
    # the parser
    ("serach", 'Unknown command "serach". Did you mean "search"?'),
    ("leaderboard", "There is no study in runs yet: launch a search, or choose another --runs."),
    ("export", "export needs MODEL: `pennyweight export --help` tells more."),
    ("export x --format onx", "No form of export is called 'onx': did you mean onnx"),
    ("export x --verify y", "--verify takes the bundle's folder and no MODEL: give it alone."),
    ("export --verify y", "The bundle y lacks manifest.json (No such file or directory)"),
    ("search --max-parms 8k", "Unknown option: --max-parms. Did you mean --max-params?"),
    ("search --max-params", "--max-params needs a value"),
    ("search --sampler tpee", 'Choose from: "tpe", "nsga2", "gp", "random". Did you mean "tpe"?'),
    ("search --trials 5 --trials 6", "--trials specified multiple times"),
    ("search something", "search takes no 'something'"),
    ("search --dry-run=maybe", "--dry-run"),
    ("search --precision bf16", 'Choose from: "float32", "bfloat16". Did you mean "bfloat16"?'),
    ("train c4|A|d10 --precision half", 'Invalid value "half" for --precision. Choose from'),
    ("leaderboard x --sort speed", 'Invalid value "speed" for --sort. Choose from: "rank"'),
    ("evaluate", "evaluate needs MODEL"),
    ("evaluate x --split every", 'Invalid value "every" for --split. Choose from: "validation"'),
    ("predict x", "predict needs at least one picture after MODEL: PNG, JPEG or WebP"),
    ("predict x a.png", "There is no study 'x' in runs"),
    (
        "predict x --data csv:a.csv --submission b.csv --show seen",
        "--show is for pictures, but --data has rows",
    ),
    *(
        (f"{command} zoo:notebook-cnn", "`pennyweight train zoo:notebook-cnn` first, and name its")
        for command in ("evaluate", "export", "draw", "train --from")
    ),
    ("predict zoo:notebook-cnn a.png", "zoo:notebook-cnn has no weights yet: `pennyweight train "),
    ("evaluate zoo:notebok-cnn", "The zoo has no network `notebok-cnn`: did you mean notebook-cnn"),
    ("predict ./x a.png", "The bundle x lacks manifest.json (No such file or directory)"),
    (
        "predict pretrained:mnist-9k a.png",
        "There is no pretrained network 'mnist-9k': did you mean",
    ),
    ("draw pretrained:", "There is no pretrained network '': there is digits, mnist-500"),
    ("evaluate pretrained", "There is no pretrained network '': there is digits, mnist-500"),
    ("inspect pretrained:digit", "There is no pretrained network 'digit': did you mean digits?"),
    ("inspect pretrained:digits --classes 10", "has an input shape and classes of its own"),
    ("data lst", 'Did you mean "list"?'),
    ("data show", "data show needs NAME"),
    # counts and limits
    ("search --max-params 0", "--max-params must be at least 1, but got 0."),
    ("search --max-params -1", "--max-params must be at least 1, but got -1."),
    ("search --max-params 8x", "--max-params must be a whole number"),
    ("search --max-params 8.5", "--max-params must be a whole number"),
    (f"search --max-params {'9' * 5_000}", "--max-params must be a whole number of at most 18"),
    (f"search --max-params {'9' * 18}", "--max-params must be at most 100,000,000"),
    ("search --max-epochs 0", "--max-epochs must be at least 1, but got 0."),
    ("search --max-macs -2k", "--max-macs must be at least 1, but got -2000."),
    ("search --max-activation-bytes 0", "--max-activation-bytes must be at least 1, but got 0."),
    ("search --trials 0", "--trials must be at least 1, but got 0."),
    ("search --trials many", "--trials must be a whole number"),
    ("search --workers 0", "--workers must be `auto` or a whole number from 1 to 1024, but got"),
    ("search --workers 99999999999999999999", "--workers must be `auto` or a whole number from 1"),
    ("search --device gpus", 'Invalid value "gpus" for --device. Choose from: "auto", "cpu"'),
    ("search --timeout 5", "--timeout must be a time such as 90s, 30m or 2h, but got '5'."),
    ("search --timeout -5s", "--timeout must be above 0 s, but got -5 s."),
    ("search --seed -1", "--seed must be from 0 to 2147483647, but got -1."),
    ("search --seed 2147483648", "--seed must be from 0 to 2147483647"),
    ("leaderboard x --top x", "--top must be a whole number"),
    # the smallest network of the space
    ("search --max-params 39", "--max-params must be at least 40 for 8x8x1 images and 10 classes"),
    ("search --max-macs 10", "(the smallest network in the space), but got 10."),
    ("search --max-activation-bytes 10", "--max-activation-bytes must be at least "),
    ("search --dry-run --max-params 39", "--max-params must be at least 40"),
    # names of studies
    ("search --study a/b", "--study must be letters, digits, dots, dashes and underscores"),
    ("search --study ..", "but got '..'."),
    ("search --study pretrained", "not `pretrained`, but got 'pretrained'."),
    ("train c4|A|d10 --study ../x", "but got '../x'."),
    ("leaderboard nothing", "There is no study 'nothing' in runs: there is none yet."),
    ("leaderboard nothing --runs nowhere", "There is no study 'nothing' in nowhere"),
    ("leaderboard x --json --csv", "--json, --csv and --markdown exclude one another: choose one."),
    ("dashboard nothing", "There is no study 'nothing' in runs: there is none yet."),
    ("dashboard x --port -1", "--port must be from 0 (any that is free) to 65535, but got -1."),
    ("dashboard x --port 65536", "to 65535, but got 65536."),
    ("dashboard x --port http", "--port must be a whole number"),
    ("export ../x:1", "The bundle ../x:1 lacks manifest.json (No such file or directory)"),
    # the drawing page
    ("draw", "draw needs MODEL: `pennyweight draw --help` tells more."),
    ("draw nothing", "There is no study 'nothing' in runs: there is none yet."),
    ("draw ./nowhere", "The bundle nowhere lacks manifest.json (No such file or directory)"),
    ("draw x --port 80x", "--port must be a whole number of at most 18 digits, but got '80x'."),
    ("draw x --port", "--port needs a value"),
    ("draw x --opn", "Unknown option: --opn"),
    # architectures
    ("inspect c8x", "The notation `c8x` is not understood at `x`; an example: "),
    ("inspect (c8", "leaves a bracket open; add a `)`."),
    ("inspect c0|A|d10", "`width` of a conv layer must be a whole number from 1 to 65536"),
    ("inspect c8|A|d11", "The last layer must give 10 values, one for each class, but gives 11"),
    ("inspect m9|A|d10", "needs a picture at least as large, but got 8x8."),
    (f"inspect {'(' * 500}", "nest at most 8 deep"),
    (f"inspect {'c8br|' * 2_000}", "at most 1,000 layers, but got 6,000."),
    ("inspect zoo:budget-5", "did you mean budget-4"),
    ("inspect zoo:budget-4 --classes 10", "zoo:budget-4 has an input shape and classes of its own"),
    (
        "inspect c8|A|d10 --input 28x28",
        "--input must be height x width x channels, such as 28x28x1",
    ),
    ("inspect c8|A|d10 --input 28x28x1", "--input and --classes go together"),
    ("inspect --classes 10", "give ARCH."),
    ("train zoo:budget-4", "but the architecture takes 28x28x1 in 10: use other data."),
    ("train c4|A|d10 --seed -1", "--seed must be from 0 to 2147483647, but got -1."),
    ("train c4|A|d10 --max-epochs 0", "--max-epochs must be at least 1, but got 0."),
    ("train", "train takes ARCH, or --from MODEL instead, whose architecture it then has, but got"),
    (
        "train c4|A|d10 --from pretrained:digits",
        "but got 'c4 A d10' and --from 'pretrained:digits'",
    ),
    ("train --from", "--from needs a value"),
    ("train --from nothing", "There is no study 'nothing' in runs: there is none yet."),
    ("train --from ./nothing", "The bundle nothing lacks manifest.json"),
    (
        "train --from pretrained:digit",
        "There is no pretrained network 'digit': did you mean digits?",
    ),
    (
        "train --from pretrained:digits",
        "keeps for validation, which would then say nothing: add --w",
    ),
    (
        "train --from pretrained:digits --data digits:fold2",
        "may have test pictures of digits:fold2",
    ),
    (
        "train --from pretrained:mnist-8k --data digits",
        "takes 28x28x1 pictures, but digits has 8x8x1",
    ),
    (
        "train --from pretrained:digits --whole --seed -1",
        "--seed must be from 0 to 2147483647, but",
    ),
    (
        "search --after pretrained:digit",
        "There is no pretrained network 'digit': did you mean digits?",
    ),
    ("search --after ./nothing", "The bundle nothing lacks manifest.json"),
    # data
    ("data show digts", "There is no data set 'digts': did you mean digits"),
    ("search --data csv:x.csv", "csv: takes a file, but there is none at 'x.csv'"),
    ("search --data npz:x.npz", "npz: takes a file, but there is none at 'x.npz'"),
    ("train c4|A|d10 --data idx:x", "idx: takes a folder, but there is none at 'x'"),
    ("data show folder:", "folder: takes a folder with a folder of pictures for each class, such"),
    ("data show folder:x", "folder: takes a folder, but there is none at 'x'"),
]


@pytest.mark.parametrize(("line", "message"), FLAGS, ids=[line[:50] for line, _ in FLAGS])
def test_bad_flags_and_names_get_one_line(folder: Path, line: str, message: str) -> None:
    assert message in refused(folder, *words(line), TFDS_DATA_DIR=folder)


@pytest.mark.skipif(Path("/dev/vfio").exists() or any(Path("/dev").glob("accel*")), reason="a TPU")
def test_an_accelerator_that_is_not_here_is_refused(folder: Path) -> None:
    line = refused(folder, "search", "--device", "tpu")
    assert "--device tpu needs a TPU and JAX's plugin for it, but this machine" in line
    assert "use --device cpu." in line


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_several_workers_on_an_accelerator_are_refused(folder: Path, more: list[str]) -> None:
    arguments = ["search", "--workers", "2", *more]
    line = refused(folder, *arguments, JAX_PLATFORMS="cuda,cpu")
    assert "--workers must be 1 on a GPU, because each would claim most of its memory" in line
    assert "but got 2: leave it out, or use --device cpu." in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"",), b'Unknown command "".'),
        (("é".encode(),), 'Unknown command "é".'.encode()),
        ((b"\x1b[31m\n",), rb'Unknown command "\x1b[31m\n".'),
        ((b"leaderboard", b""), b"There is no study ''"),
        ((b"leaderboard", b"\xff"), rb"There is no study '\udcff'"),
        ((b"leaderboard", "数".encode()), "There is no study '数'".encode()),
        ((b"search", b"--study", b""), b"but got ''."),
        ((b"search", b"--study", b"x\n"), rb"but got 'x\n'."),
        ((b"inspect", b"\x1b[31m"), rb"The notation `\x1b[31m` is not understood"),
        ((b"inspect", b""), b"end with a head such as `A d10+`."),
    ],
)
def test_empty_and_strange_arguments_get_one_line(
    folder: Path, arguments: tuple[bytes, ...], message: bytes
) -> None:
    line = refused(folder, *(a.decode(errors="surrogateescape") for a in arguments))
    assert message.decode() in line


FILES = [
    (b"[" * 100_000, "must be JSON, but: it is nested too deeply."),
    (bytes(range(256)), "must be JSON, but: it is no UTF-8 text."),
    (b'{"input_shape": [8, 8, 1], "classes": NaN, "layers": []}', "must number from 2 to 65536"),
    (b'{"peak_learning_rate": 1}', "An architecture has no field 'peak_learning_rate'"),
]  # many more in test_arguments.py


@pytest.mark.parametrize(("content", "message"), FILES, ids=["nested", "binary", "NaN", "recipe"])
def test_a_bad_architecture_file_is_named(folder: Path, content: bytes, message: str) -> None:
    (folder / "bad.json").write_bytes(content)
    line = refused(folder, "inspect", "bad.json")
    assert line.startswith("bad.json")
    assert message in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"peak_learning_rat": 0.1}', "has no `peak_learning_rat`: did you mean peak_learning_r"),
        ('{"peak_learning_rate": NaN}', "`peak_learning_rate` of a recipe must be from 1e-07 to"),
        ("{", "must be JSON, but: line 1, column 2"),
    ],
)
def test_a_bad_recipe_file_is_named(folder: Path, content: str, message: str) -> None:
    (folder / "recipe.json").write_text(content)
    line = refused(folder, "train", NETWORK, "--recipe", "recipe.json")
    assert line.startswith("recipe.json")
    assert message in line


def test_more_pictures_in_a_batch_than_there_are_are_refused(folder: Path) -> None:
    (folder / "recipe.json").write_text('{"batch_size": 2000}')
    line = refused(folder, "train", NETWORK, "--recipe", "recipe.json")
    assert (
        "`batch_size` of the recipe must be at most 1149, the training pictures of digits" in line
    )


@pytest.mark.parametrize(
    ("command", "path", "message"),
    [
        ("inspect", "missing.json", "No such file or directory"),
        ("inspect", "file.json/below.json", "Not a directory"),
        ("train c4|A|d10 --recipe", "folder.json", "Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    folder: Path, command: str, path: str, message: str
) -> None:
    (folder / "folder.json").mkdir()
    (folder / "file.json").touch()
    line = refused(folder, *words(command), path)
    assert line == f"{path} must be a file that can be read, but: {message}."


# Data


def test_data_that_are_not_prepared_are_reported_at_once_and_without_a_network(
    folder: Path,
) -> None:
    """Any attempt to reach one is noted in a file, and so is a difference of the trees."""
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import pathlib, socket\n"
        "def refuse(*arguments, **options):\n"
        "    (pathlib.Path(__file__).parent / 'attempt').touch()\n"
        "    raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
    )
    began = time.monotonic()
    line = refused(folder, "search", "--data", "mnist", TFDS_DATA_DIR=folder, PYTHONPATH=hook)
    assert time.monotonic() - began < 5
    assert line.startswith(f"The data set mnist is not prepared in {folder}: set TFDS_DATA_DIR")
    assert "tfds build mnist --file_format=array_record" in line


def test_data_prepared_as_tfrecord_need_tensorflow_and_say_so(folder: Path) -> None:
    place = prepare(folder / "toy" / "1.0.0", train=pictures(300))
    change(place / "dataset_info.json", lambda info: info.pop("fileFormat"))
    line = refused(folder, "search", "--data", "toy", TFDS_DATA_DIR=folder)
    assert "is prepared as tfrecord, which needs TensorFlow to be read" in line


def test_fewer_pictures_than_a_batch_are_refused(folder: Path) -> None:
    prepare(folder / "toy" / "1.0.0", train=pictures(40))
    line = refused(folder, "search", "--data", "toy", TFDS_DATA_DIR=folder)
    assert "at least one batch of" in line
    assert "but toy has 32 in all: use more data." in line


def test_pictures_of_one_class_are_refused(folder: Path) -> None:
    images, labels = pictures(400, shape=(8, 8, 1))
    prepare(folder / "toy" / "1.0.0", train=(images, labels * 0), test=pictures(10, (8, 8, 1)))
    cache = folder.parent.parent / "cache"  # the decoded pictures may be kept
    for command in (("search",), ("train", "c4 A d3")):
        arguments = (*command, "--data", "toy")
        ran = pennyweight(*arguments, cwd=folder, TFDS_DATA_DIR=folder, PENNYWEIGHT_CACHE=cache)
        assert (ran.status, ran.out) == (2, "")
        assert "are all of one class" in ran.err.splitlines()[-1]
        assert "Traceback" not in ran.err
        assert not (folder / "runs").exists()


# Studies. What is refused needs no training, so these were never trained.


def begin_study(
    folder: Path, settings: Settings, name: str = "old", fingerprint: str | None = None
) -> StudyFolder:
    study = StudyFolder(folder / "runs" / name)
    study.path.mkdir(parents=True)
    with RecordFile.open(study.records) as records:
        records.append(
            "study",
            study=name,
            settings=settings.to_json(),
            data_fingerprint=fingerprint or load_training_set("digits").fingerprint,
            versions={},
            command=[],
            created=0.0,
        )
    return study


DEFAULT = Settings(data="digits", budget=Budget())


def test_a_study_with_other_settings_is_refused_with_the_difference(folder: Path) -> None:
    begin_study(folder, DEFAULT)
    flags = ("--max-params", "9k", "--max-macs", "1M", "--sampler", "random", "--seed", "5")
    line = refused(folder, "search", "--study", "old", *flags)
    for difference in (
        "max_params is 8000 there and 9000 here",
        "max_macs is unlimited there and 1000000 here",
        "sampler is tpe there and random here",
        "seed is 0 there and 5 here",
    ):
        assert difference in line
    assert "max_epochs" not in line
    assert line.endswith("repeat those, or choose another --study.")


def test_a_search_is_no_training_to_go_on_with(folder: Path) -> None:
    begin_study(folder, DEFAULT)
    line = refused(folder, "train", NETWORK, "--study", "old")
    assert line.startswith("Study old exists and is not this training (it is a search)")


@pytest.mark.parametrize(
    ("command", "damage", "message"),
    [
        ("leaderboard old", (b":8000", b":8001"), "records.jsonl:1: this line is damaged"),
        ("export old", (b'{"kind"', b"\xff\xfe\x00"), "records.jsonl:1: this line is damaged"),
        ("search --study old", (b":8000", b":8001"), "records.jsonl:1: this line is damaged"),
        ("leaderboard old", (b'"version":1', b'"version":2'), "reads up to 1: upgrade pennyweight"),
        ("search --study old", (b'"version":1', b'"version":2'), "these records have version 2"),
    ],
)
def test_damaged_and_newer_records_are_refused(
    folder: Path, command: str, damage: tuple[bytes, bytes], message: str
) -> None:
    records = begin_study(folder, DEFAULT).records
    content = records.read_bytes()
    records.write_bytes(content.replace(*damage))
    assert records.read_bytes() != content
    assert message in refused(folder, *command.split())


def test_records_that_are_a_folder_are_refused(folder: Path) -> None:
    (folder / "runs" / "old" / "records.jsonl").mkdir(parents=True)
    for command in ("leaderboard old", "search --study old", "train c4|A|d10 --study old"):
        assert "must be readable, but: Is a directory." in refused(folder, *words(command))


def test_close_names_of_studies_are_suggested(folder: Path) -> None:
    begin_study(folder, DEFAULT, "digits-8000")
    for command in (("leaderboard", "digits-800"), ("export", "digit-8000:3")):
        assert refused(folder, *command).endswith("did you mean digits-8000?")


def test_a_study_without_weights_cannot_be_exported(folder: Path) -> None:
    begin_study(folder, DEFAULT)
    assert "has finished a rung yet: go on with its search." in refused(folder, "export", "old")
    assert refused(folder, "export", "old:0").endswith("has no trial yet: go on with its search.")


@pytest.mark.parametrize("command", [("search", *SMALL), ("train", NETWORK, "--study", "small")])
def test_a_second_coordinator_is_told_who_holds_the_study(
    folder: Path, command: tuple[str, ...]
) -> None:
    study = StudyFolder(folder / "runs" / "small")
    study.path.mkdir(parents=True)
    with study.locked():
        held = json.loads(study.holder.read_text())
        line = refused(folder, *command)
    assert line.startswith("One coordinator at a time may run study small, and process ")
    assert f"process {held['pid']} on {held['host']} since {held['since']}" in line


@pytest.mark.parametrize(
    "runs", ["file", "file/below", "/proc/nowhere"], ids=["file", "below a file", "proc"]
)
@pytest.mark.parametrize("command", [("search",), ("train", NETWORK)])
def test_a_runs_folder_that_cannot_be_written_is_refused(
    folder: Path, command: tuple[str, ...], runs: str
) -> None:
    (folder / "file").touch()
    line = refused(folder, *command, "--runs", runs)
    assert line.startswith(f"The study's folder {runs}/")
    assert "cannot be written (" in line


@pytest.mark.parametrize(
    ("command", "limit"),
    [(("search", *SMALL, "--trials", "5"), 50_000), (("train", NETWORK), 3_000)],
    ids=["search", "train"],
)
def test_a_disk_that_fills_up_gets_one_line_and_loses_nothing(
    folder: Path, command: tuple[str, ...], limit: int
) -> None:
    """A limit on the size of a file stands for the disk: writing fails in the same way."""
    copied(searched()[0] / "runs", folder / "runs")
    records = folder / "runs" / "small" / "records.jsonl"
    before = records.read_bytes()
    ran = pennyweight(*command, cwd=folder, file_limit=limit)
    line = ran.err.splitlines()[-1]
    assert (ran.status, ran.out) == (2, ""), ran.err
    assert "Traceback" not in ran.err
    assert line.startswith("pennyweight: The study's folder runs/"), line
    assert "cannot be written (" in line
    assert "make room" in line
    assert records.read_bytes().startswith(before)
    again = pennyweight(*command, "--json", cwd=folder)
    assert again.status == 0, again.err


def test_a_disk_too_full_for_a_new_study_is_told_so(folder: Path) -> None:
    ran = pennyweight("search", *SMALL, cwd=folder, file_limit=20_000)
    assert (ran.status, ran.out) == (2, ""), ran.err
    assert ran.err.splitlines()[-1].startswith("pennyweight: The study's folder runs/small cannot")


def test_data_that_changed_since_a_study_began_are_refused(folder: Path) -> None:
    begin_study(folder, DEFAULT, fingerprint="0123456789abcdef")
    line = refused(folder, "search", "--study", "old")
    assert line.startswith("The data digits have changed since study old began")
    assert "was 0123456789abcdef and is" in line
    assert line.endswith("begin another --study.")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_the_gp_sampler_without_pytorch_names_the_extra(folder: Path) -> None:
    line = refused(folder, "search", "--sampler", "gp")
    assert "needs PyTorch: `pip install pennyweight[gp]`, or use --sampler tpe." in line


# Studies that were trained


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished search `small` and the training `one`."""
    folder = copied(searched()[0], tmp_path_factory.mktemp("studies") / "work")
    copied(trained()[0] / "runs" / "one", folder / "runs" / "one")
    return folder


def test_a_damaged_database_is_refused(studies: Path, folder: Path) -> None:
    shutil.copytree(studies / "runs", folder / "runs")
    (folder / "runs" / "small" / "study.db").write_bytes(b"no database at all" * 1_000)
    before = tree(folder)
    ran = pennyweight("search", *SMALL, "--trials", "9", cwd=folder)
    assert (ran.status, ran.out) == (2, "")
    refusal = ran.err.splitlines()[-1]
    assert refusal.startswith("pennyweight: runs/small/study.db is no readable Optuna study")
    assert "Traceback" not in ran.err
    after = tree(folder)
    # That somebody tried may be recorded, and nothing else.
    old, new = (files.pop("runs/small/records.jsonl") or b"" for files in (before, after))
    assert new.startswith(old)
    assert {json.loads(line)["kind"] for line in new[len(old) :].splitlines()} <= {"session"}
    assert after == before


def test_another_training_is_refused_with_the_difference(studies: Path) -> None:
    line = refused(studies, "train", NETWORK, "--study", "one", "--max-epochs", "3")
    assert "is not this training (max_epochs is 2 there and 3 here)" in line
    line = refused(studies, "train", "c3 A d10", "--study", "one", "--max-epochs", "2")
    assert "(network is m2 c4r A d10+ there and c3 A d10 here)" in line


def test_a_training_is_no_search_to_go_on_with(studies: Path) -> None:
    assert "Study one exists with other settings" in refused(studies, "search", "--study", "one")


@pytest.mark.parametrize("number", ["3", "-1", "x", "", "00", "²", "9" * 5_000])
def test_an_unknown_trial_is_refused(studies: Path, number: str) -> None:
    line = refused(studies, "export", f"small:{number}")
    assert line.startswith("Study small has no trial '")
    assert line.endswith("its trials are numbered 0 to 2.")


def test_fewer_than_one_row_are_refused(studies: Path) -> None:
    for top in ("0", "-1"):
        line = refused(studies, "leaderboard", "small", "--top", top)
        assert line.startswith(f"--top must be at least 1, but got {top}: leave it out")


def test_a_bundle_is_not_written_over_something_else(studies: Path) -> None:
    holding = studies / "holding"
    holding.mkdir(exist_ok=True)
    (holding / "mine.txt").write_text("mine")
    line = refused(studies, "export", "one", "--out", "holding", "--force")
    assert line.startswith("A bundle needs a new or empty folder, but holding holds something")


@pytest.mark.parametrize("out", ["runs/one/records.jsonl", "runs/one/records.jsonl/x", "/proc/x/y"])
def test_a_bundle_that_cannot_be_written_is_refused(studies: Path, out: str) -> None:
    assert out in refused(studies, "export", "one", "--out", out)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--port -1", "--port must be from 0 to 65535, but got -1."),
        ("--port 65536", "--port must be from 0 to 65535, but got 65536."),
        ("--host nowhere.invalid", "--host must be an address or a name of this machine, but got"),
        ("--host 192.0.2.1", "--host must be an address or a name of this machine, but got"),
    ],
)
def test_a_place_where_no_page_can_be_is_refused(studies: Path, flags: str, message: str) -> None:
    assert message in refused(studies, "draw", "one", *flags.split())


def test_a_port_in_use_is_refused(studies: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(studies, "draw", "one", "--port", port)
    assert line == f"--port {port} is in use: choose another, or 0 for any that is free."


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_the_drawing_page_without_its_extra_names_it(studies: Path, missing: str) -> None:
    hook = studies / f"without-{missing}"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    line = refused(studies, "draw", "one", PYTHONPATH=hook, PYTHONDONTWRITEBYTECODE="1")
    assert line == "draw needs Starlette and uvicorn: `pip install 'pennyweight[page]'`."


def test_debug_shows_where_a_refusal_comes_from(folder: Path) -> None:
    ran = pennyweight("leaderboard", "nothing", "--debug", cwd=folder)
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.startswith("Traceback")
    assert "studies.py" in ran.err
    assert ran.err.splitlines()[-1].startswith("pennyweight: There is no study 'nothing'")
