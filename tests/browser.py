"""A real browser for tests: Debian's Chromium, headless, driven by Playwright."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESKTOP, PHONE = (1280, 900), (390, 844)  # CSS pixels
FLAGS = [
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Seen:
    """A page, with what went wrong on it and every address it asked for."""

    page: Page
    problems: list[str] = field(default_factory=list)  # console errors and failed requests
    requested: list[str] = field(default_factory=list)


@contextlib.contextmanager
def opened(
    browser: Browser, size: tuple[int, int] = DESKTOP, *, touch: bool = False
) -> Iterator[Seen]:
    """An empty page of that size, in a context of its own."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch
    )
    seen = Seen(context.new_page())
    note = seen.problems.append
    seen.page.on("console", lambda said: note(said.text) if said.type == "error" else None)
    seen.page.on("pageerror", lambda error: note(str(error)))
    seen.page.on("requestfailed", lambda request: note(f"failed: {request.url}"))
    seen.page.on("request", lambda request: seen.requested.append(request.url))
    try:
        yield seen
    finally:
        context.close()
