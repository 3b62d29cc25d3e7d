"""The page with a network inside is proved in a real browser, or it is said why not."""

from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, needs_chromium
from networks import NETWORKS, random_images
from pages import deployed_of, mnist_model, mnist_page, page_of

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.errors import RunError
from pennyweight.results import page_proof
from pennyweight.results.page_proof import NoBrowserError, page_logits
from pennyweight.train.data import load_training_set
from pennyweight.train.door import open_test_set


def written(content: bytes, folder: Path) -> Path:
    page = folder / "page.html"
    page.write_bytes(content)
    return page


def images(network: Architecture, n: int = 1) -> np.ndarray:
    return random_images(network, n)


@pytest.mark.extended
@needs_chromium
def test_a_page_computes_what_is_deployed_and_stays_as_it_is(tmp_path: Path) -> None:
    network = NETWORKS[2]
    page = written(page_of(network), tmp_path)
    wanted = deployed_of(network).logits(images(network, 3))
    found = page_logits(page, images(network, 3), browser=CHROMIUM)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.extended
@needs_chromium
def test_the_page_takes_pictures_for_what_the_flax_model_takes_them_for(
    mnist: str, tmp_path: Path
) -> None:
    """200 validation pictures, and 200 test pictures."""
    model = mnist_model()
    learned = load_training_set(mnist)
    chosen = learned.split(model.split_seed).validation[:200]
    tested = open_test_set(
        mnist,
        purpose="verify",
        model=model.classifier.identity,
        ledger=tmp_path / "test-readings.jsonl",
    )
    pictures = np.concatenate([learned.images[chosen], tested.images[:200]])
    found = page_logits(written(mnist_page(), tmp_path), pictures, browser=CHROMIUM)
    wanted = model.classifier.logits(pictures)
    np.testing.assert_array_equal(found.argmax(1), wanted.argmax(1))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.extended
@needs_chromium
@pytest.mark.parametrize(
    ("was", "is_", "says"),
    [
        (b"function pool(step) {", b"", "ReferenceError: pennyweight is not defined"),
        (b'"inputs":[0]', b'"inputs":[99]', "TypeError: Cannot read properties of undefined"),
    ],
)
def test_a_page_that_does_not_compute_is_said_to(
    was: bytes, is_: bytes, says: str, tmp_path: Path
) -> None:
    page = page_of(NETWORKS[0])
    assert was in page
    broken = written(page.replace(was, is_, 1), tmp_path)
    with pytest.raises(RunError, match=rf"^{broken} does not compute logits of 1 .*{says}"):
        page_logits(broken, images(NETWORKS[0]), browser=CHROMIUM)


@pytest.mark.extended
@needs_chromium
def test_pictures_of_another_size_have_no_proof(tmp_path: Path) -> None:
    page = written(page_of(NETWORKS[5]), tmp_path)
    with pytest.raises(RunError, match=r"of 1 pictures in [^ ]*, but 3 rows of logits: "):
        page_logits(page, np.zeros((1, 24, 8, 3), np.uint8), browser=CHROMIUM)


def test_without_a_browser_there_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    page = written(page_of(NETWORKS[5]), tmp_path)
    with pytest.raises(NoBrowserError, match=r"^there is no browser: none of chromium, .* PATH"):
        page_logits(page, images(NETWORKS[5]))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("#!/bin/sh\nexit 3\n", "does not open pages from disk here"),
        ("#!/nowhere\n", r"does not start \(No such file or directory\)"),
    ],
)
def test_a_browser_that_does_not_work_proves_nothing(
    program: str, says: str, tmp_path: Path
) -> None:
    browser = tmp_path / "chromium"
    browser.write_text(program)
    browser.chmod(0o755)
    page = written(page_of(NETWORKS[5]), tmp_path)
    with pytest.raises(NoBrowserError, match=says):
        page_logits(page, images(NETWORKS[5]), browser=str(browser))


def test_a_browser_that_hangs_is_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_proof, "_PATIENCE_S", 0.5)
    browser, child = tmp_path / "chromium", tmp_path / "child"
    browser.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {child}\nwait\n")
    browser.chmod(0o755)
    page = written(page_of(NETWORKS[5]), tmp_path)
    with pytest.raises(RunError, match=r"took more than 0 seconds|took more than 1 seconds"):
        page_logits(page, images(NETWORKS[5]), browser=str(browser))
    assert not alive(int(child.read_text()))


def alive(process: int) -> bool:
    """A child that nobody waits for is a zombie, until init finds it."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
