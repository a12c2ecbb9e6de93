"""report.html in a real browser: it loads clean, asks nobody for anything, sorts, draws, and fits a phone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ran

DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file; at the end it must have asked for nothing else and said nothing to the console."""
    asked: list[str] = []
    said: list[str] = []
    contexts = []

    def go(file: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Any:
        contexts.append(
            browser.new_context(viewport=dict(zip(("width", "height"), size, strict=True)), color_scheme=scheme)
        )
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.absolute().as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert all(url.startswith("file:") for url in asked) and len(asked) == len(contexts), asked
    assert not said


def column(page: Any, name: str) -> list[str]:
    """The sort keys of a column as they stand."""
    found: list[str] = page.evaluate(
        """name => {
            const at = [...document.querySelectorAll(".artifacts th")].findIndex(th => th.innerText.trim() === name);
            return [...document.querySelectorAll(".artifacts tbody tr")].map(row => row.cells[at].dataset.key);
        }""",
        name,
    )
    return found


def test_a_click_on_a_column_sorts_by_numbers_or_words(ran: Ran, visit: Callable[..., Any]) -> None:
    page = visit(ran.folder / "report.html")
    page.get_by_role("button", name="MB").click()
    sizes = [float(key) for key in column(page, "MB")]
    assert sizes == sorted(step.model_size for step in ran.report.steps)
    page.get_by_role("button", name="MB").click()
    assert [float(key) for key in column(page, "MB")] == sizes[::-1]
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="artifact").click()
    assert column(page, "artifact") == ["onnx", "onnx_int8", "student", "teacher"]
    # The teacher has no source: a cell without a value is the last, either way.
    for _ in range(2):
        page.get_by_role("button", name="to source").click()
        assert column(page, "to source")[-1] == ""


def test_every_picture_is_drawn(ran: Ran, visit: Callable[..., Any]) -> None:
    page = visit(ran.folder / "report.html")
    page.evaluate("document.querySelectorAll('details').forEach(entry => entry.open = true)")
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("svg:not(.narrow)")].map(svg => {
            const inner = [...svg.querySelectorAll("*")];
            const shapes = inner.filter(one => one.matches("circle, polyline, polygon, rect"));
            const broken = inner.filter(one => [...one.attributes].some(at => /NaN|inf|undefined/.test(at.value)));
            return [svg.classList.value, svg.getBoundingClientRect().width, shapes.length, broken.length];
        })"""
    )
    kinds = [kind.split()[-1] for kind, *_ in drawn]
    assert {"wide", "frontier", "spread", "drift", "curve", "reliability"} <= set(kinds)
    assert kinds.count("frontier") == 2 and kinds.count("curve") == 3
    for kind, width, shapes, broken in drawn:
        assert width > 100 and shapes > 0 and not broken, kind
    assert page.locator("svg.frontier").first.locator("circle").count() == 4


def test_a_phone_shows_it_without_scrolling_sideways(ran: Ran, visit: Callable[..., Any]) -> None:
    page = visit(ran.folder / "report.html", PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    assert page.locator("svg.narrow").is_visible() and not page.locator("svg.wide").is_visible()
    small = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll(".plot text")]
            .filter(text => text.getBoundingClientRect().height)
            .map(text => [parseFloat(getComputedStyle(text).fontSize), text.getScreenCTM()])
            .map(([size, matrix]) => size * Math.hypot(matrix.b, matrix.d)))"""
    )
    assert small >= 8  # pixels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(ran: Ran, visit: Callable[..., Any], scheme: str) -> None:
    """At least 4.5 : 1, as WCAG 2 asks for (success criterion 1.4.3)."""
    page = visit(ran.folder / "report.html", DESKTOP, scheme)
    paper, words = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor,
            [...document.querySelectorAll(".soft, .passed, strong, p")].map(one => getComputedStyle(one).color)]"""
    )
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for colour in set(words):
        light, dark = sorted((luminance(colour), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour


def test_the_page_itself_forbids_requests(ran: Ran, browser: Any) -> None:
    page = browser.new_page()
    page.goto((ran.folder / "report.html").as_uri())
    blocked = page.evaluate(
        """() => new Promise(done => {
            document.addEventListener("securitypolicyviolation", found => done(found.effectiveDirective));
            const image = new Image();
            image.src = "http://localhost/x.png";
        })"""
    )
    assert blocked == "img-src"
    page.close()


def luminance(colour: str) -> float:
    """Of "rgb(r, g, b)", relative, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
