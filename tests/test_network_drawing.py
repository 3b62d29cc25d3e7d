"""The drawing of a network: whole, inside its frame, and bounded."""

from xml.etree import ElementTree

from hypothesis import given, settings
from strategies import architectures

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.notation import parse
from pennyweight.results.network_drawing import MOST_STEPS, ROW, WIDTH, draw_network
from pennyweight.results.network_steps import steps_of

SVG = "{http://www.w3.org/2000/svg}"


@settings(max_examples=50)
@given(architectures())
def test_every_step_has_a_row_that_says_what_it_costs(architecture: Architecture) -> None:
    drawn = ElementTree.fromstring(draw_network(architecture))
    told = [group.findtext(f"{SVG}title") or "" for group in drawn.iter(f"{SVG}g")]
    steps = steps_of(architecture)
    assert len(told) == min(len(steps), MOST_STEPS)
    for step, text in zip(steps, told, strict=False):
        assert text.startswith(step.name)
        assert f"{step.params:,} parameters, {step.macs:,} multiply-accumulates" in text


@settings(max_examples=50)
@given(architectures())
def test_everything_is_inside_the_frame(architecture: Architecture) -> None:
    drawn = ElementTree.fromstring(draw_network(architecture))
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    assert width == WIDTH
    for kind in ("rect", "text"):
        for part in drawn.iter(f"{SVG}{kind}"):
            x, y = float(part.attrib["x"]), float(part.attrib["y"])
            assert 0 <= x <= x + float(part.attrib.get("width", 0)) <= width
            assert 0 <= y <= y + float(part.attrib.get("height", 0)) <= height


def test_of_a_long_network_the_start_is_drawn_and_the_rest_is_counted() -> None:
    architecture = parse("c2 " * 150 + "A d10", (8, 8, 1), 10)
    drawn = ElementTree.fromstring(draw_network(architecture))
    assert len(list(drawn.iter(f"{SVG}g"))) == MOST_STEPS
    assert "and 52 more" in {text.text for text in drawn.iter(f"{SVG}text")}
    assert float(drawn.attrib["viewBox"].split()[3]) < ROW * (MOST_STEPS + 3)


def test_bars_are_as_long_as_shares_of_the_largest() -> None:
    drawn = ElementTree.fromstring(draw_network(parse("c4 c8 A d10", (8, 8, 1), 10)))
    bars = [rect for rect in drawn.iter(f"{SVG}rect") if rect.attrib["class"] == "params"]
    first, second, _, dense = (float(bar.attrib["width"]) for bar in bars)
    assert second == max(first, second, dense)
    assert abs(first / second - 36 / 288) < 0.01
    assert abs(dense / second - 80 / 288) < 0.01
