"""What the network inside a page computes, asked in a real browser, without a package to drive it.

The browser opens a copy of the page from disk. The copy also holds the pictures, and a script that
puts them through `window.pennyweight` and writes the logits into the document, which the browser
then prints.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import RunError
from pennyweight.results.bounded import NotStartedError, run_bounded

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_PATIENCE_S = 60  # until the browser has started
_PATIENCE_MS = 100  # for each picture: the best network under 8,000 parameters takes 2 to 4
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
)
_SCRIPT = """
const [pictures, proof] = ["pictures", "proof"].map((id) => document.getElementById(id));
try {
  const bytes = Uint8Array.from(atob(pictures.textContent), (each) => each.charCodeAt(0));
  const size = pennyweight.shape.reduce((a, b) => a * b), logits = [];
  for (let start = 0; start < bytes.length; start += size) {
    logits.push([...pennyweight.classify(bytes.subarray(start, start + size)).logits]);
  }
  proof.textContent = JSON.stringify(logits);
} catch (error) {
  proof.textContent = JSON.stringify(String(error));
}
pictures.remove();
"""


class NoBrowserError(RunError):
    """There is no browser here that opens a page from disk: the proof is skipped."""


def find_browser() -> str | None:
    """The program of a browser of Chromium's kind."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def page_logits(page: Path, images_nhwc: np.ndarray, *, browser: str | None = None) -> np.ndarray:
    """What the network in `page` says of uint8 pictures (n, h, w, c): float32 (n, classes).

    `browser` is a program such as `find_browser` finds. Raises NoBrowserError where there is none,
    or it does not work here, and RunError where the page does not compute.
    """
    browser = browser or find_browser()
    if browser is None:
        raise NoBrowserError(f"there is no browser: none of {', '.join(BROWSERS)} is on the PATH.")
    # What a browser leaves behind for a moment may still write into its profile.
    with tempfile.TemporaryDirectory(
        prefix="pennyweight-page-", ignore_cleanup_errors=True
    ) as folder:
        copy = Path(folder, "page.html")
        copy.write_bytes(_with_proof(page.read_bytes(), images_nhwc))
        patience_s = _PATIENCE_S + len(images_nhwc) * _PATIENCE_MS / 1_000
        document = _opened(browser, copy, Path(folder, "profile"), patience_s)
    proof = re.search(r'<pre id="proof">([^<]*)</pre>', document)
    if proof is None and not _works(browser):
        raise NoBrowserError(f"{browser} does not open pages from disk here.")
    if proof is None:
        raise RunError(f"{page} ends {browser}, or leads elsewhere: export it again.")
    said = json.loads(html.unescape(proof[1]) or '"nothing"')
    if isinstance(said, str) or len(said) != len(images_nhwc):
        found = said if isinstance(said, str) else f"{len(said)} rows of logits"
        raise RunError(
            f"{page} does not compute logits of {len(images_nhwc)} pictures in {browser}, but "
            f"{found}: export it again."
        )
    return np.array(said, np.float32)


def _works(browser: str) -> bool:
    """Whether it opens any page from disk."""
    with tempfile.TemporaryDirectory(
        prefix="pennyweight-page-", ignore_cleanup_errors=True
    ) as folder:
        page = Path(folder, "page.html")
        page.write_text("<!doctype html><title>x</title><p>It works.")
        return "It works." in _opened(browser, page, Path(folder, "profile"), _PATIENCE_S)


def _with_proof(page: bytes, images_nhwc: np.ndarray) -> bytes:
    """The page with pictures and the script, which its policy then lets run too."""
    allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    pictures = base64.b64encode(images_nhwc.astype(np.uint8).tobytes()).decode()
    proof = (
        f'<script type="application/octet-stream" id="pictures">{pictures}</script>'
        f'<pre id="proof"></pre><script type="module">{_SCRIPT}</script>'
    )
    page = page.replace(b"script-src ", f"script-src 'sha256-{allowed}' ".encode(), 1)
    before, end, after = page.rpartition(b"</body>")
    return before + proof.encode() + end + after


def _opened(browser: str, page: Path, profile: Path, patience_s: float) -> str:
    """The document that `page` has become in the browser."""
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has none
    flags = [*_FLAGS, *as_root, f"--user-data-dir={profile}", "--dump-dom"]
    try:
        return run_bounded([browser, *flags, page.as_uri()], timeout_s=patience_s).stdout
    except NotStartedError as error:
        raise NoBrowserError(str(error)) from error
