"""A page with a network inside is one file that asks for nothing, whatever strangers named."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from networks import NETWORKS
from pages import deployed_of, mnist_page, page_of

from pennyweight.arch.notation import parse
from pennyweight.results.deployed_json import deployed_json
from pennyweight.results.page_file import page_file

NETWORK = parse("c3 A", (8, 8, 1), 3)
STRANGE = [
    "</script><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>'\"&amp;\\",
    'href="draw.svg"',
    '<script src="draw.js" type="module"></script>',
    "\u2028\u202e\x00\n",
    "\ud83d",  # half a surrogate pair, as JSON may hold
]


class Elements(HTMLParser):
    """The elements of a page with their attributes and text, in order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self._inside = False
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))
        self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1][2].append(data)

    def named(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.found if name == tag]


def test_the_page_names_no_other_file() -> None:
    """Nor an address, but for the name of SVG's namespace in the icon."""
    elements = Elements(mnist_page())
    for tag, attributes, _ in elements.found:
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
    assert b"http://" not in mnist_page()
    assert b"https://" not in mnist_page()
    assert b"fetch(" not in mnist_page()


def test_its_policy_lets_its_own_scripts_run_and_nothing_else() -> None:
    elements = Elements(mnist_page())
    (policy,) = [a["content"] for a, _ in elements.named("meta") if "http-equiv" in a]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    texts = {
        "script-src": [text for a, text in elements.named("script") if a["type"] == "module"],
        "style-src": [text for _, text in elements.named("style")],
    }
    assert [len(each) for each in texts.values()] == [2, 1]
    for name, inline in texts.items():
        digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in inline]
        assert rules.pop(name) == " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) == {"'none'"}
    assert "default-src" in rules


@pytest.mark.parametrize("name", STRANGE)
def test_what_strangers_named_stays_data(name: str) -> None:
    """The page has the same elements as any other, and the name comes out as it was."""
    page, plain = Elements(page_of(NETWORK, name=name)), Elements(page_of(NETWORK))
    assert [tag for tag, _, _ in page.found] == [tag for tag, _, _ in plain.found]
    inside = json.loads(page.named("script")[0][1])
    assert inside["page"]["data"] == name
    assert inside["page"]["classes"] == [f"{name}{number}" for number in range(3)]
    scripts = [text for _, text in page.named("script")[1:]]
    assert scripts == [text for _, text in plain.named("script")[1:]]


def test_the_network_is_inside() -> None:
    for network in NETWORKS:
        (_, content), *_ = Elements(page_of(network)).named("script")
        inside = json.loads(content)
        description, weights = deployed_json(deployed_of(network))
        assert inside["description"] == json.loads(json.dumps(description))
        assert base64.b64decode(inside["weights"]) == weights


def test_the_page_of_a_small_network_is_small() -> None:
    assert len(mnist_page()) < 100_000


def test_names_must_be_as_many_as_classes() -> None:
    from pennyweight.results.drawing import Offer

    offer = Offer(name="", notation="", params=0, accuracy=None, measured_on=None)
    with pytest.raises(ValueError, match=r"^`class_names` must have 3 values, but has 1\.$"):
        page_file(deployed_of(NETWORK), offer, data="", class_names=["a"], look=None)


def test_no_script_of_the_page_can_end_early() -> None:
    """HTML ends a script at `</script`, even in a string, and `<!--` begins what hides it."""
    for _, text in Elements(mnist_page()).named("script"):
        assert not re.search(r"</script|<!--|<script", text, re.IGNORECASE)
