"""The page of `flextune report` in a real browser: pointing, clicking, the keyboard, paper, and a phone."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from flextune.testing.databases import example_verdict
from tests.unit.report.pages import page_of
from tests.unit.report.test_page import search_of_24
from tests.unit.watch.browser import CHROMIUM, WHY_NOT, Browser

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)]

TOLD = "document.getElementById('told').textContent"
MARK = "document.querySelectorAll('[data-figure=search] .scatterlayer .point')[3]"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page, with all figures drawn."""
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(page_of(search_of_24(), [example_verdict("v")]), encoding="utf-8")
    with Browser(folder / "profile") as browser:
        browser.resize(1200, 900)
        browser.open(file.as_uri())
        browser.wait("document.documentElement?.dataset.drawn >= 3")
        yield browser
        assert browser.problems == []


@pytest.fixture
def browser(shown: Browser) -> Browser:
    """The page as it looks at first."""
    shown.resize(1200, 900)
    shown.appear()
    shown.value("document.getElementById('told').textContent = ''")
    return shown


def point_at_a_mark(browser: Browser, *then: str) -> None:
    """Move the mouse to a trial of the search, and press and release it there where that is to come `then`."""
    browser.value(f"{MARK}.scrollIntoView({{block: 'center'}})")
    place = browser.value(
        f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({MARK}.getBoundingClientRect())"
    )
    x, y = place
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x - 40, y=y - 40)
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.wait("document.querySelector('[data-figure=search] .hoverlayer .hovertext')")
    for kind in then:
        browser.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def test_pointing_at_a_trial_shows_its_schedule(browser: Browser) -> None:
    point_at_a_mark(browser)
    text = browser.value("document.querySelector('[data-figure=search] .hoverlayer').textContent")
    assert "tile=" in text
    assert "unroll=1" in text
    assert "click to copy" in text


def test_a_click_copies_the_command_that_replays_it(browser: Browser) -> None:
    known = {each.key[:8] for each in search_of_24()}
    point_at_a_mark(browser, "mousePressed", "mouseReleased")
    browser.wait(f"{TOLD}.includes('flextune replay')")
    words = browser.value(TOLD).split()
    assert any(word[:8] in known for word in words)


def test_the_keyboard_reaches_every_command(browser: Browser) -> None:
    browser.value("document.activeElement.blur(); window.scrollTo(0, 0)")
    browser.value("for (const each of document.querySelectorAll('details')) each.open = true")
    wanted = browser.value("document.querySelectorAll('button.copy').length")
    assert wanted > 0
    reached = set()
    for _ in range(400):
        browser.press("Tab", 9)
        number = browser.value("[...document.querySelectorAll('button.copy')].indexOf(document.activeElement)")
        if number >= 0:
            reached.add(number)
        if len(reached) == wanted:
            break
    assert len(reached) == wanted
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
    browser.press("Enter", 13)
    browser.wait(f"{TOLD}.includes('flextune replay')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_it_is_black_on_white_and_without_buttons(browser: Browser, scheme: str) -> None:
    browser.appear("print", scheme)
    shown = "getComputedStyle(document.querySelector('{}')).display"
    assert browser.value(shown.format("nav")) == "none"
    assert browser.value(shown.format("button.copy")) == "none"
    assert browser.value(shown.format("[data-figure=search]")) != "none"
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    printed = base64.b64decode(browser.ask("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 10_000


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser) -> None:
    browser.resize(390, 844, mobile=True)
    browser.wait("document.documentElement.scrollWidth <= 390")
    browser.wait("[...document.querySelectorAll('[data-figure]')].every((each) => each.clientWidth <= 390)")
