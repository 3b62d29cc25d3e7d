"""The drawing page in a real browser: one draws, and sees what the network says meanwhile."""

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import DESKTOP, PHONE, Seen, chromium, needs_chromium, opened
from command_line import copied, searched
from drawing_hands import (
    BARS,
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
from drawing_pages import Served, serving
from handwriting import drawn, fifty
from playwright.sync_api import Browser

pytestmark = [pytest.mark.extended, needs_chromium]

MNIST = Path(__file__).parents[1] / "results" / "pretrained" / "mnist-8k"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def mnist_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of a network that learned MNIST."""
    with serving(MNIST, cwd=tmp_path_factory.mktemp("mnist")) as served:
        yield served


@pytest.fixture(scope="module")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of a study of the 8x8 digits; its networks are too small to be right often."""
    folder = copied(searched()[0], tmp_path_factory.mktemp("study") / "work")
    with serving("small:0", cwd=folder) as served:
        yield served


@pytest.fixture
def mnist(browser: Browser, mnist_page: Served) -> Iterator[Seen]:
    with opened(browser) as seen:
        seen.page.add_init_script(CLOCK)
        visit(seen, mnist_page)
        yield seen
        check(seen, mnist_page)


@pytest.fixture
def study(browser: Browser, study_page: Served) -> Iterator[Seen]:
    with opened(browser) as seen:
        visit(seen, study_page)
        yield seen
        check(seen, study_page)


def visit(seen: Seen, served: Served) -> None:
    seen.page.goto(served.address)
    settle(seen.page)


def check(seen: Seen, served: Served) -> None:
    """Nothing went wrong on the page, and nothing was asked of anyone but its own server."""
    assert seen.problems == []
    places = {urlsplit(address).netloc for address in seen.requested}
    assert places == {urlsplit(served.address).netloc}


# Recognised, and soon


def test_hands_are_recognised_within_a_blink(mnist: Seen) -> None:
    """Fifty shapes that were written before any network saw them."""
    wrong = []
    for one in fifty():
        take(mnist.page, one)
        draw(mnist.page, one.strokes)
        if guess(mnist.page) != str(one.digit):
            wrong.append(f"{one} as {guess(mnist.page)}")
    waits = mnist.page.evaluate("window.waits")
    median = statistics.median(waits)
    print(f"{50 - len(wrong)} of 50 recognised, not {wrong}")
    print(f"{len(waits)} waits, median {median:.0f} ms, longest {max(waits):.0f} ms")
    assert 50 - len(wrong) >= LEAST_RECOGNISED, wrong
    assert len(waits) >= sum(len(one.strokes) for one in fifty())
    assert median < LONGEST_MS


@pytest.mark.parametrize("digit", range(10))
def test_the_bars_change_while_a_digit_is_drawn(mnist: Seen, digit: int) -> None:
    page, one = mnist.page, drawn(digit, "plain")
    take(page, one)
    assert at_rest(page)
    bars, pictures = [page.evaluate(BARS)], [page.evaluate(SEEN)]
    points = pixels(page, max(one.strokes, key=len))
    page.mouse.move(*points[0])
    page.mouse.down()
    for start in range(1, len(points), 8):
        for point in points[start : start + 8]:
            page.mouse.move(*point)
        settle(page)
        bars.append(page.evaluate(BARS))
        pictures.append(page.evaluate(SEEN))
    page.mouse.up()
    changes = sum(one != other for one, other in itertools.pairwise(bars))
    assert changes >= 3
    assert sum(one != other for one, other in itertools.pairwise(pictures)) >= 3


def test_the_picture_beside_it_is_what_the_model_saw(mnist: Seen) -> None:
    page, (stroke,) = mnist.page, drawn(3, "plain").strokes
    answers = []
    page.on("response", lambda answer: answers.append(answer) if "classify" in answer.url else None)
    draw(page, [stroke])
    last = answers[-1].json()
    assert last["seen"]["shape"] == [28, 28, 1]
    assert page.evaluate(SEEN) == [28, 28, last["seen"]["levels"]]
    assert guess(page) == str(max(range(10), key=last["probabilities"].__getitem__))
    assert page.locator("#size").inner_text() == ", 28\N{MULTIPLICATION SIGN}28"


# Undone, cleared, chosen


def test_strokes_are_undone_one_by_one_and_so_is_clearing(mnist: Seen) -> None:
    page = mnist.page
    assert page.locator("#undo").is_disabled()
    assert page.locator("#clear").is_disabled()
    states = [page.evaluate(BARS)]
    for stroke in drawn(4, "plain").strokes:
        draw(page, [stroke])
        states.append(page.evaluate(BARS))
    page.locator("#clear").click()
    settle(page)
    assert at_rest(page)
    assert page.locator("#clear").is_disabled()
    for wanted in (states[2], states[1]):
        page.locator("#undo").click()
        settle(page)
        assert page.evaluate(BARS) == wanted
    page.keyboard.press("Control+z")
    settle(page)
    assert at_rest(page)
    assert page.locator("#undo").is_disabled()


@pytest.mark.parametrize("key", ["Delete", "Backspace", "Escape"])
def test_a_key_clears(mnist: Seen, key: str) -> None:
    draw(mnist.page, drawn(7, "plain").strokes)
    assert not at_rest(mnist.page)
    mnist.page.keyboard.press(key)
    settle(mnist.page)
    assert at_rest(mnist.page)


def test_another_model_of_the_study_answers_for_the_same_drawing(study: Seen) -> None:
    page = study.page
    choices = page.locator("#models input")
    sizes = page.locator("#models strong").all_inner_texts()
    assert len(sizes) >= 2
    assert sizes == sorted(sizes, key=lambda size: int(size.replace(",", "")))
    draw(page, drawn(5, "plain").strokes)
    answers = {}
    for index in range(len(sizes)):
        choices.nth(index).check(force=True)
        settle(page)
        answers[choices.nth(index).get_attribute("value")] = tuple(page.evaluate(BARS))
    assert len(set(answers.values())) == len(sizes)
    asked = {urlsplit(address).query for address in study.requested if "classify" in address}
    assert asked == {f"model={name.replace(':', '%3A')}" for name in answers if name}


def test_a_bundle_offers_itself_alone(mnist: Seen) -> None:
    assert mnist.page.locator("#models input").count() == 1
    assert mnist.page.locator("#models label").inner_text().startswith("7,9")


# Without a mouse


def test_all_can_be_done_with_keys_alone(mnist: Seen) -> None:
    page = mnist.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "paper"
    page.keyboard.press("Space")
    for _ in range(15):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    settle(page)
    assert guess(page) == "1"
    page.locator("#spoken", has_text="1, ").wait_for(state="attached")
    page.keyboard.press("ArrowRight")  # lifted, it draws nothing
    page.keyboard.press("Control+z")
    settle(page)
    assert at_rest(page)
    page.locator("#spoken", has_text="Nothing drawn.").wait_for(state="attached")


def test_every_control_is_reached_by_tab_and_shows_it(mnist: Seen) -> None:
    page = mnist.page
    draw(page, drawn(7, "plain").strokes)
    reached = []
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(5):
        page.keyboard.press("Tab")
        shows = "(e) => [e, e.closest('label') ?? e].map((e) => getComputedStyle(e).outlineStyle)"
        focused = page.locator(":focus")
        reached.append(focused.get_attribute("id") or focused.get_attribute("name"))
        assert "solid" in focused.evaluate(shows), reached
    assert reached == ["paper", "pen", "undo", "clear", "model"]


def test_a_finger_draws_on_a_phone_and_the_page_stays_where_it_is(
    browser: Browser, mnist_page: Served
) -> None:
    with opened(browser, PHONE, touch=True) as seen:
        page = seen.page
        visit(seen, mnist_page)
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
        check(seen, mnist_page)


# Seen


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_sheet_and_bars_are_seen_together_without_scrolling(
    browser: Browser, mnist_page: Served, size: tuple[int, int]
) -> None:
    width, height = size
    with opened(browser, size, touch=size == PHONE) as seen:
        visit(seen, mnist_page)
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        for name in ("#paper", "#undo", "#seen", "#guess", "#bars"):
            box = seen.page.locator(name).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width, name
            assert box["y"] + box["height"] <= height, name
        sheet = seen.page.locator("#paper").bounding_box()
        assert sheet is not None
        assert sheet["width"] == pytest.approx(sheet["height"], abs=1)
        assert sheet["width"] >= 340


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(mnist: Seen, scheme: str) -> None:
    """4.5 to 1 is what WCAG 2.2 asks of small text."""
    mnist.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    draw(mnist.page, drawn(3, "plain").strokes)
    contrasts = mnist.page.evaluate(CONTRAST)
    assert len(contrasts) > 25
    assert contrasts[0][0] >= 4.5, contrasts[:3]


def test_a_server_that_ended_is_told_of(browser: Browser, tmp_path: Path) -> None:
    with opened(browser) as seen:
        with serving(MNIST, cwd=tmp_path) as served:
            visit(seen, served)
        seen.page.mouse.click(*pixels(seen.page, [(0.5, 0.5)])[0])
        notice = seen.page.locator("#notice")
        notice.wait_for()
        assert notice.inner_text() == "The server does not answer. Is it still running?"
