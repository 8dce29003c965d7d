"""The page in a real browser: examples, an error, cancelling, completion, the kernel menu, drawing, the catalogue."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.running import Server

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
WIDTHS = (400, 1600)
STATIC = Path(__file__).parent.parent.parent / "tfsql" / "server" / "static"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox cannot be had by root in a container.
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, server: Server, browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": request.param, "height": 900}, color_scheme="dark")
    made = context.new_page()
    made.set_default_timeout(60_000)
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("request", lambda sent: None if sent.url.startswith(server.url) else problems.append(sent.url))
    made.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    made.goto(server.url)
    made.wait_for_selector("html[data-ready]")
    yield made
    assert not problems
    assert made.evaluate("document.documentElement.scrollWidth") <= request.param
    context.close()


def titles() -> list[str]:
    return re.findall(r'title: "([^"]+)"', (STATIC / "examples.js").read_text())


def test_every_example_runs(page: Any) -> None:
    for title in titles():
        if title in ("An error", "A long query"):
            continue
        page.locator("#examples button", has=page.locator(f'strong:text-is("{title}")')).click()
        page.wait_for_selector("#run:not([disabled])")
        assert page.locator("#error").is_hidden(), (title, page.inner_text("#error"))
        assert page.locator("#result tbody tr").count() > 0, title
        assert re.search(r"\d+ rows? in \d+ ms", page.inner_text("#status"))


def test_pictures_are_drawn(page: Any) -> None:
    page.click("#run")
    page.wait_for_selector("#result canvas")
    labels = [canvas.get_attribute("aria-label") for canvas in page.locator("#result canvas").all()]
    assert len(labels) == 15
    assert labels[0] == "image: picture of 28 by 28, from 0 to 255"
    pixels = page.evaluate(
        "[...document.querySelector('#result canvas').getContext('2d').getImageData(0, 0, 28, 28).data]"
    )
    assert len(set(pixels)) > 5


def test_an_error_is_shown_where_it_is(page: Any) -> None:
    page.click("text=An error")
    page.wait_for_selector("#error:not([hidden])")
    assert "^^^^^^^^^" in page.inner_text("#error pre")
    assert page.inner_text("#highlight .fault") == "tf_MatMul"


def test_a_query_is_cancelled(page: Any, server: Server) -> None:
    page.click("text=A long query")
    page.wait_for_selector("#cancel:not([disabled])")
    page.wait_for_selector("#progress", state="visible")
    while not server.request("GET", "/api/queries").json():
        pass
    page.click("#cancel")
    page.wait_for_selector("#error:not([hidden])")
    assert "cancelled" in page.inner_text("#error")
    assert page.locator("#cancel").is_disabled()


def test_completion_by_keyboard(page: Any) -> None:
    page.fill("#sql", "")
    page.focus("#sql")
    page.keyboard.type("SELECT tf_Squa")
    page.wait_for_selector("#completions li")
    assert page.get_attribute("#sql", "aria-expanded") == "true"
    page.keyboard.press("Enter")
    page.keyboard.type("(3.0) AS y")
    assert page.input_value("#sql") == "SELECT tf_Square(3.0) AS y"
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#result td")
    assert page.inner_text("#result td") == "9"


def test_the_kernel_menu(page: Any) -> None:
    page.click("#tab-kernels")
    page.wait_for_selector('#difference:has-text("exactly equal")')
    assert page.inner_text("#difference") == "moved by one, exactly equal; in place, up to 808 apart"
    before = page.evaluate("document.getElementById('tensorflow').toDataURL()")
    page.select_option("#kernel", "Detect Edges")
    page.wait_for_selector("#difference:not(:has-text('808 apart'))")
    assert page.evaluate("document.getElementById('tensorflow').toDataURL()") != before
    page.get_by_label("Weight in row 2, column 2").fill("0.5")
    assert page.input_value("#kernel") == "My own"
    page.wait_for_selector("#kernel-sql:has-text('[1, 0.5, 1]')", state="attached")
    page.select_option("#digit", "8")
    page.wait_for_selector("#kernel-sql:has-text('label = 8')", state="attached")
    page.fill("#sample", "1000")
    page.wait_for_selector('#kernel-status:has-text("wanted")')


def test_a_drawn_digit_is_recognised(page: Any) -> None:
    page.click("#tab-draw")
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    at = [(0.55, 0.15), (0.53, 0.5), (0.5, 0.85)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in at]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    page.wait_for_selector('#guess:text-is("1")')
    assert page.locator("#nearest li").count() == 9
    assert page.get_attribute("#edges", "aria-label").startswith("edges: picture of 28 by 28")
    page.click("#clear")
    page.wait_for_selector('#guess:text-is("…")')
    pad.focus()
    for key in (*["ArrowUp"] * 9, "Space", *["ArrowDown"] * 18):
        page.keyboard.press(key)
    page.wait_for_selector('#guess:text-is("1")')


def test_the_catalogue(page: Any) -> None:
    page.click("#tab-operators")
    page.fill("#search", "conv2d")
    page.wait_for_selector('#catalogue li:first-child code:text-is("tf_Conv2D")')
    page.click("#catalogue li:first-child summary")
    assert "strides: list(int)" in page.inner_text("#catalogue li:first-child dl")
    page.fill("#search", "readfile")
    page.wait_for_selector("#count:has-text('0 operators')")
    page.uncheck("#callable")
    page.wait_for_selector('#catalogue code:text-is("tf_ReadFile")')


def test_tabs_by_keyboard(page: Any) -> None:
    page.focus("#tab-query")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('#tab-kernels[aria-selected="true"]:focus')
    assert page.locator("#kernels").is_visible()
    assert page.locator("#query").is_hidden()


def test_every_control_has_a_name(page: Any) -> None:
    nameless = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea, [role=application]")]
        .filter((e) => !(e.textContent.trim() || e.labels?.length || e.ariaLabel || e.getAttribute("aria-labelledby")))
        .map((e) => e.outerHTML)""")
    assert nameless == []
