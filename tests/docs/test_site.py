"""The documentation site: it builds without a warning, has what its readers look for, and works for a screen reader."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from building import ROOT
from chromium import watched
from command_line import ENVIRONMENT

for package in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(package, reason="the site's packages are not installed: pip install '.[docs]'")


@pytest.fixture(scope="module")
def site(built_page, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = _built(folder)
    assert done.returncode == 0, done.stderr
    return folder


def _built(folder, *words):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder), *words]
    environment = ENVIRONMENT | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}"
        host.shutdown()


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        ("cli", ["edgesr upscale", "--fidelity", "edgesr data teach", "--access-log"]),
        ("python", ["upscale_file", "strip_metadata", "Raises"]),
        ("http-clients", ["def upscale(", "export async function upscale("]),
        ("guide", ["JPEG XL", ".avif", "More commands"]),
        ("source/src/edgesr/model/diffusion.py", ["conditioned_noise"]),
    ],
)
def test_pages_have_what_is_generated_for_them(site, page, texts):
    html = (site / page / "index.html").read_text(encoding="utf-8")
    shown = unescape(re.sub(r"<[^>]+>", "", html))
    for text in texts:
        assert text in shown


def test_a_link_that_leads_nowhere_is_reported(site, tmp_path):
    from site_hooks import broken_links

    assert list(broken_links(site)) == []
    (tmp_path / "there.html").write_text('<h1 id="top">x</h1>', encoding="utf-8")
    links = ("there.html#top", "there.html#bottom", "gone.html", "picture.png", "#nothing")
    (tmp_path / "index.html").write_text("".join(f'<a href="{link}">x</a>' for link in links), encoding="utf-8")
    assert {link for _, link in broken_links(tmp_path)} == set(links[1:])


@pytest.mark.parametrize(
    ("colours", "names"),
    [("light", ("", "guide/", "cli/", "python/", "http-clients/")), ("dark", ("", "faq/", "guide/", "http-clients/"))],
)
def test_pages_are_accessible_and_ask_no_other_host(browser, address, colours, names):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="the package axe-playwright-python is not installed"
    )
    with watched(browser) as window:
        page, _ = window((address, "data:"), color_scheme=colours)
        for name in names:
            page.goto(f"{address}/{name}")
            page.wait_for_load_state("load")
            found = axe.Axe().run(page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], name


def test_the_handle_of_the_gallery_moves_the_cut(browser, address):
    with watched(browser) as window:
        page, _ = window((address, "data:"))
        page.goto(f"{address}/gallery/")
        picture, handle = page.locator(".compare__after").first, page.locator(".compare input").first
        before = picture.evaluate("picture => getComputedStyle(picture).clipPath")
        handle.press("End")
        assert picture.evaluate("picture => getComputedStyle(picture).clipPath") != before
        assert all(page.locator(".compare img").evaluate_all("all => all.map(picture => picture.naturalWidth > 0)"))


def test_try_it_upscales_in_the_browser(browser, address):
    with watched(browser) as window:
        page, _ = window((address, "data:", "blob:"))
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_role("link", name="Try it", exact=True).first.click()
        page.wait_for_selector("#backend[data-ready]")
        page.set_input_files("#files", str(ROOT / "examples/cat.jpg"))
        page.wait_for_selector('#queue li[data-state="done"]')
