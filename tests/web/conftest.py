"""What the tests of the page and of the server share: the page, built once; a server; a browser's page that must not misbehave."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, ENVIRONMENT, SOURCE
from pictures import photograph
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGE = SOURCE / "edgesr/web/page"
BUILD_SECONDS = 280


@pytest.fixture(scope="session")
def built_page():
    """The folder of the built page, by the command that the README gives."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the page is built with Node and npm, which are not here")
    for words in (["ci"], ["run", "build"]):
        if words == ["ci"] and (ROOT / "web/node_modules/.package-lock.json").is_file():
            continue  # installed already
        command = ["npm", "--prefix", str(ROOT / "web"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return PAGE


@contextlib.contextmanager
def serving(*words, environment=None):
    """`edgesr serve` in a process of its own; yields its address and the process."""
    command = [*COMMAND, "serve", "--port", "0", *words]
    env = ENVIRONMENT | (environment or {})
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = next((line for line in process.stderr if "http://" in line), None)
        assert told is not None, "the server did not start"
        try:
            yield told.split()[1], process
        finally:
            process.terminate()
            process.communicate(timeout=30)


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
    troubles, contexts = [], []

    def opened(address, *, query="", width=1280, height=860, ready=True, script="", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        contexts.append(context)
        context.on("request", lambda request: request.url.startswith((address, "blob:")) or troubles.append(request.url))
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and troubles.append(message.text))
        page.add_init_script(script)
        page.goto(f"{address}/{query}")
        if ready:
            page.wait_for_selector("#backend[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def drop(page, *files):
    """Give the page files, (name, type, bytes) each, as the picker does."""
    page.set_input_files("#files", [{"name": name, "mimeType": kind, "buffer": data} for name, kind, data in files])


def states(page):
    return page.eval_on_selector_all("#queue li", "lines => lines.map(line => line.dataset.state)")


def wait_for_states(page, *wanted):
    expression = "wanted => [...document.querySelectorAll('#queue li')].map(l => l.dataset.state).join() === wanted"
    page.wait_for_function(expression, arg=",".join(wanted))


def saved(page, line=0):
    """The file that the download of a line of the queue gives: its name and bytes."""
    with page.expect_download() as download:
        page.locator("#queue li").nth(line).locator("a[download]").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def as_file(pixels, format="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture(scope="session")
def small():
    """A small photograph: pixels (48, 72, 3)."""
    return photograph(48, 72)
