"""The notebook runs from its first cell to its last, and is committed as it ran."""

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
SHORT = 'data, epochs, trials = "digits", 5, 4'


def notebook() -> Any:
    return nbformat.read(PATH, as_version=4)


def outputs(read: Any) -> list[Any]:
    return [output for cell in read.cells for output in cell.get("outputs", ())]


def printed(read: Any) -> str:
    """What the cells printed."""
    return "".join(output.text for output in outputs(read) if output.output_type == "stream")


def pictures(read: Any) -> int:
    return sum("image/png" in output.get("data", ()) for output in outputs(read))


def accuracies(read: Any) -> dict[str, tuple[int, float]]:
    """(parameters, accuracy in percent) of each network on the test pictures."""
    lines = re.findall(r"^(\w+) +([\d,]+) parameters +([\d.]+)% \[", printed(read), re.M)
    return {name: (int(size.replace(",", "")), float(share)) for name, size, share in lines}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after a run on the small digits, with few trials."""
    folder, changed = tmp_path_factory.mktemp("notebook"), notebook()
    (parameters,) = [c for c in changed.cells if "parameters" in c.metadata.get("tags", ())]
    parameters.source += f"\n{SHORT}"
    client = NotebookClient(changed, timeout=280, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return changed


@pytest.mark.extended
def test_every_cell_runs_without_a_warning(ran: Any) -> None:
    assert [o for o in outputs(ran) if o.output_type == "error"] == []
    assert [o.text for o in outputs(ran) if o.get("name") == "stderr"] == []


@pytest.mark.extended
def test_what_it_trains_is_as_accurate_as_it_should_be(ran: Any) -> None:
    perceptron, convolutional = accuracies(ran).values()
    assert perceptron[0] == 9_610
    assert convolutional[0] == 3_240
    assert 90 < perceptron[1] <= 100
    assert 80 < convolutional[1] <= 100


@pytest.mark.extended
def test_it_shows_the_same_as_the_committed_one(ran: Any) -> None:
    """Reports, pictures and the leaderboard are in place."""
    kinds = [[sorted(o.get("data", ())) for o in outputs(read)] for read in (ran, notebook())]
    assert kinds[0] == kinds[1]


def test_the_committed_notebook_was_run_from_start_to_end() -> None:
    code = [cell for cell in notebook().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert {output.output_type for output in outputs(notebook())} <= {
        "display_data",
        "execute_result",
        "stream",
    }


def test_the_committed_notebook_shows_mnist_and_accuracies_that_are_worth_showing() -> None:
    assert accuracies(notebook()).keys() == {"perceptron", "convolutional"}
    (mlp, mlp_accuracy), (cnn, cnn_accuracy) = accuracies(notebook()).values()
    assert (mlp, cnn) == (101_770, 7_740)
    assert mlp_accuracy > 97
    assert cnn_accuracy > 98
    assert pictures(notebook()) >= 7


def test_the_committed_notebook_is_small_and_tells_nothing_of_a_machine() -> None:
    content = PATH.read_text(encoding="utf-8")
    assert len(content) < 500_000
    shown = [str(output.get("data", {}).get("text/html", "")) for output in outputs(notebook())]
    told = printed(notebook()) + "".join(shown)
    for path in (sys.prefix, str(Path.home()), "site-packages", "/tmp/", "/home/"):
        assert path not in told
