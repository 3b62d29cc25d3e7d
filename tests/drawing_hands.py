"""Hands on the drawing page, in a browser, and eyes."""

from collections.abc import Sequence

from handwriting import Drawn, Stroke
from playwright.sync_api import Page

NOTHING = "\N{EN DASH}"
LEAST_RECOGNISED = 45  # of fifty
LONGEST_MS = 100  # median, from the pen's last move to the frame that shows the answer to it

# Notes when the pen moves, and in which frame the bars have caught up with it.
CLOCK = """
addEventListener("DOMContentLoaded", () => {
  window.waits = [];
  let moved = 0;
  const note = (event) => { if (event.buttons) moved = performance.now(); };
  for (const kind of ["pointerdown", "pointermove"]) addEventListener(kind, note, true);
  const bars = document.getElementById("bars");
  new MutationObserver(() => {
    if (bars.getAttribute("aria-busy") !== "false" || !moved) return;
    const since = moved;
    moved = 0;
    requestAnimationFrame(() => window.waits.push(performance.now() - since));
  }).observe(bars, { attributeFilter: ["aria-busy"] });
});
"""
BARS = "[...document.querySelectorAll('#bars .fill')].map((bar) => bar.style.transform)"
SEEN = """(() => {
  const { width, height } = document.getElementById("seen");
  const image = document.getElementById("seen").getContext("2d").getImageData(0, 0, width, height);
  return [height, width, [...image.data].filter((_, index) => index % 4 === 0)];
})()"""
# The contrast (WCAG 2.2) of each text with the background behind it, the lowest first.
CONTRAST = """(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3)
    .map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? behind(element.parentElement) : colour;
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => e.checkVisibility() && !e.matches(":disabled, script, noscript"))
    .map((e) => [light(getComputedStyle(e).color), light(behind(e)), e.textContent.trim()])
    .map(([a, b, text]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text])
    .sort((a, b) => a[0] - b[0]);
})()"""


def settle(page: Page) -> None:
    """Wait until the bars have caught up with the drawing."""
    page.locator("#bars[aria-busy=false]").wait_for()


def pixels(page: Page, stroke: Stroke) -> list[tuple[float, float]]:
    box = page.locator("#paper").bounding_box()
    assert box is not None
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]


def draw(page: Page, strokes: Sequence[Stroke]) -> None:
    """Draw with the mouse, and wait for what the bars say in the end."""
    for stroke in strokes:
        points = pixels(page, stroke)
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()
        settle(page)


def take(page: Page, one: Drawn) -> None:
    """An empty sheet, and the pen that somebody draws with."""
    page.keyboard.press("Delete")
    page.locator("#pen").fill(str(one.pen))
    settle(page)


def guess(page: Page) -> str:
    return page.locator("#guess").inner_text()


def at_rest(page: Page) -> bool:
    shown = page.locator("#bars .percent").all_inner_texts()
    return guess(page) == NOTHING and not any(shown)
