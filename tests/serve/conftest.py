"""What the tests of the page and of the server share: the page, built once; a server; a browser's page that must not misbehave."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chromium import watched
from pictures import photograph
from visits import serving


@pytest.fixture(scope="session")
def server(built_page):
    """The address of a server with the page."""
    with serving() as (address, _):
        yield address


@pytest.fixture(scope="session")
def static_host(built_page):
    """The page on a host that knows nothing of the headers that threads need; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built_page))) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}"
        host.shutdown()


@pytest.fixture
def open_page(browser):
    """Open the page at an address; the test fails if it throws, logs an error, or asks any other host."""
    with watched(browser) as window:

        def opened(address, *, query="", width=1280, height=860, ready=True, script="", prepare=None, **options):
            viewport = {"width": width, "height": height}
            page, troubles = window((address, "blob:"), viewport=viewport, accept_downloads=True, **options)
            page.set_default_timeout(60_000)
            page.add_init_script(script)
            if prepare:
                prepare(page)
            page.goto(f"{address}/{query}")
            if ready:
                wait_until_ready(page, troubles)
            return page

        yield opened


def wait_until_ready(page, troubles):
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    try:
        page.wait_for_selector("#backend[data-ready]")
    except PlaywrightTimeout:
        state = page.evaluate("[backend.textContent, backend.title, news.textContent].join(' | ')")
        pytest.fail(f"the page did not become ready: {state}; it logged {troubles}")


@pytest.fixture(scope="session")
def small():
    """A small photograph: pixels (48, 72, 3)."""
    return photograph(48, 72)
