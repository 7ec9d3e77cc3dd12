"""One server for all tests of a page, emptied after each of them, and a browser for those that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from page_browser import CHROMIUM, launched
from page_server import PATIENCE, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("serve", "--engine", "torch", temporary=tmp_path_factory.mktemp("serve") / "tmp") as found:
        yield found


@pytest.fixture(scope="package")
def client(server: Server) -> httpx.Client:
    return server.client()


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "client" in request.fixturenames:
        client = request.getfixturevalue("client")
        for item in client.get("api/items").json():
            client.delete(f"api/items/{item['id']}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    why = "playwright drives the browser (fastcolor[test] has it)"
    playwright = pytest.importorskip("playwright.sync_api", reason=why)
    if CHROMIUM is None:
        pytest.skip("Chromium, in which the page is tried, is not installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        found = launched(driver.chromium)
        yield found
        found.close()


@pytest.fixture
def page(server: Server, client: httpx.Client, browser: Browser) -> Iterator[Page]:
    """A fresh page on the server; whatever it complains of or asks of other hosts fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith((server.base, "blob:")) else wrong.append(asked.url))
    page.goto(server.address)
    yield page
    context.close()
    assert not wrong
