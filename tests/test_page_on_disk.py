"""The page with a network inside, opened from disk in a real browser without a network."""

import base64
import io
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import DESKTOP, PHONE, Seen, chromium, needs_chromium, opened
from drawing_hands import (
    CLOCK,
    CONTRAST,
    LEAST_RECOGNISED,
    LONGEST_MS,
    SEEN,
    at_rest,
    draw,
    guess,
    pixels,
    settle,
    take,
)
from handwriting import drawn, fifty
from networks import NETWORKS, random_images
from pages import deployed_of, mnist_model, mnist_page, page_of
from PIL import Image
from playwright.sync_api import Browser

from pennyweight.arch.architecture import Architecture
from pennyweight.results.preparation import prepare

pytestmark = [pytest.mark.extended, needs_chromium]

MODEL = "7,981 parameters\n99.52% on test"
# Keeps what was last drawn, as the page hands it to the preparation.
KEEP = """(() => {
  const { prepare } = pennyweight;
  pennyweight.prepare = (canvas) => {
    window.drawing = canvas.toDataURL();
    return prepare(canvas);
  };
})()"""
LOGITS = "(pictures) => pictures.map((levels) => [...pennyweight.classify(levels).logits])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a network that learned MNIST."""
    path = tmp_path_factory.mktemp("page") / "mnist.html"
    path.write_bytes(mnist_page())
    return path


@pytest.fixture
def mnist(browser: Browser, file: Path) -> Iterator[Seen]:
    with opened(browser) as seen:
        seen.page.add_init_script(CLOCK)
        visit(seen, file)
        yield seen
        check(seen, file)


def visit(seen: Seen, file: Path) -> None:
    seen.page.context.set_offline(True)
    seen.page.goto(file.as_uri())
    settle(seen.page)


def check(seen: Seen, file: Path) -> None:
    """Nothing went wrong on the page, and it asked for nothing but itself."""
    assert seen.problems == []
    asked = [address for address in seen.requested if not address.startswith("data:")]
    assert asked == [file.as_uri()]


def test_hands_are_recognised_as_python_recognises_them(mnist: Seen) -> None:
    """Fifty shapes that were written before any network saw them; of each every fourth point."""
    page, model = mnist.page, mnist_model()
    page.evaluate(KEEP)
    right, otherwise, apart = 0, [], []
    for one in fifty():
        take(page, one)
        draw(page, [[*stroke[::4], stroke[-1]] for stroke in one.strokes])
        drawing = page.evaluate("window.drawing").partition(",")[2]
        picture = Image.open(io.BytesIO(base64.b64decode(drawing))).convert("RGB")
        wanted = prepare(picture, (28, 28, 1), model.look)
        height, width, levels = page.evaluate(SEEN)
        apart.append(np.abs(np.reshape(levels, (height, width, 1)) - wanted.astype(int)))
        right += guess(page) == str(one.digit)
        if guess(page) != str(model.classifier.logits(wanted[None])[0].argmax()):
            otherwise.append(str(one))
    waits = page.evaluate("window.waits")
    median = statistics.median(waits)
    print(f"{right} of 50 recognised; otherwise than by Python: {otherwise}")
    print(f"levels apart by {np.mean(apart):.4f} on average, at most {np.max(apart)}")
    print(f"{len(waits)} waits, median {median:.0f} ms, longest {max(waits):.0f} ms")
    assert right >= LEAST_RECOGNISED
    assert otherwise == []
    assert np.max(apart) <= 1
    assert np.mean(apart) < 0.01
    assert median < LONGEST_MS


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.notation[:40])
def test_every_kind_of_layer_computes_the_same(
    browser: Browser, tmp_path: Path, network: Architecture
) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(page_of(network))
    images = random_images(network, 3)
    with opened(browser) as seen:
        visit(seen, file)
        found = seen.page.evaluate(LOGITS, images.reshape(3, -1).tolist())
        check(seen, file)
    wanted = deployed_of(network).logits(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_a_script_of_ones_own_can_ask_the_network(mnist: Seen) -> None:
    page, levels = mnist.page, list(range(256)) * 3 + [0] * 16
    assert page.evaluate("pennyweight.shape") == [28, 28, 1]
    assert page.evaluate("pennyweight.classes") == list("0123456789")
    said = page.evaluate("(levels) => pennyweight.classify(levels)", levels)
    picture = np.reshape(levels, (1, 28, 28, 1)).astype(np.uint8)
    wanted = mnist_model().classifier.probabilities(picture)[0]
    np.testing.assert_allclose(said["probabilities"], wanted, atol=1e-5)


def test_the_page_says_which_network_it_holds(mnist: Seen) -> None:
    page = mnist.page
    assert page.title() == "mnist · Pennyweight"
    assert page.locator("#about").inner_text() == "what the model learned from: mnist"
    assert page.locator("#models label").inner_text() == MODEL
    notation = mnist_model().classifier.architecture.notation
    assert page.locator("#network").inner_text() == notation


def test_strange_names_are_shown_as_they_are(browser: Browser, tmp_path: Path) -> None:
    file, name = tmp_path / "page.html", "</script><img src=x onerror=alert(1)>&amp;"
    file.write_bytes(page_of(NETWORKS[5], name=name))
    with opened(browser) as seen:
        visit(seen, file)
        draw(seen.page, drawn(3, "plain").strokes)
        assert seen.page.title() == f"{name} · Pennyweight"
        assert seen.page.locator("#bars .name").all_inner_texts() == [
            f"{name}{i}" for i in range(3)
        ]
        assert guess(seen.page).startswith(name)
        assert seen.page.locator("img").count() == 0
        check(seen, file)


def test_all_can_be_done_with_keys_alone(mnist: Seen) -> None:
    page = mnist.page
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    for _ in range(15):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    settle(page)
    assert guess(page) == "1"
    page.locator("#spoken", has_text="1, ").wait_for(state="attached")
    page.keyboard.press("Control+z")
    settle(page)
    assert at_rest(page)


def test_a_finger_draws_on_a_phone_without_scrolling(browser: Browser, file: Path) -> None:
    with opened(browser, PHONE, touch=True) as seen:
        page = seen.page
        visit(seen, file)
        finger = page.context.new_cdp_session(page)
        for stroke in drawn(2, "plain").strokes:
            for number, (x, y) in enumerate(pixels(page, stroke)):
                kind = "touchMove" if number else "touchStart"
                touch = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
                finger.send("Input.dispatchTouchEvent", touch)
            finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        settle(page)
        assert guess(page) == "2"
        assert page.evaluate("[scrollX, scrollY]") == [0, 0]
        check(seen, file)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sheet_and_bars_are_seen_together_and_read(
    browser: Browser, file: Path, size: tuple[int, int], scheme: str
) -> None:
    width, height = size
    with opened(browser, size, touch=size == PHONE) as seen:
        seen.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        visit(seen, file)
        draw(seen.page, drawn(3, "plain").strokes)
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        for name in ("#paper", "#undo", "#seen", "#guess", "#bars"):
            box = seen.page.locator(name).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= height, name
        contrasts = seen.page.evaluate(CONTRAST)
        assert contrasts[0][0] >= 4.5, contrasts[:3]
        check(seen, file)
