"""The page offline, on hosts that send no headers, on small screens, for keyboard and screen reader."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from building import build_page
from pictures import difference, photograph
from visits import as_file, drop, pixels_of, saved, serving, wait_for_states

from edgesr import upscale
from edgesr.serve import pages

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the package axe-playwright-python is not installed")


def test_it_works_without_network_after_the_first_visit(open_page, built_page, small) -> None:
    with serving() as (address, process):
        page = open_page(address)
        page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
        page.wait_for_function("() => navigator.serviceWorker.controller !== null")
        process.terminate()
        process.wait(timeout=30)
        page.reload()
        page.wait_for_selector("#backend[data-ready]")
        drop(page, ("a.png", "image/png", as_file(small)))
        wait_for_states(page, "done")
        assert difference(pixels_of(saved(page)[1]), upscale(small)) <= 2


def test_the_page_is_served_while_it_is_built_anew(server, built_page) -> None:
    names = ["", "sw.js", *(f"assets/{file.name}" for file in (built_page / "assets").iterdir()), "ort/ort.wasm.min.mjs"]
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server) as client:
        building = pool.submit(build_page)
        while not building.done():
            assert [name for name in names if client.get(f"/{name}").status_code != 200] == []
        building.result()
    assert [name for name in names if not (built_page / name).exists()] == []
    assert list(built_page.parent.glob("page.*")) == []


def test_a_file_that_the_browser_has_is_not_sent_again(server) -> None:
    with httpx.Client(base_url=server) as client:
        first = client.get("/ort/ort.wasm.min.mjs")
        again = client.get("/ort/ort.wasm.min.mjs", headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        assert client.get("/ort/ort.wasm.min.mjs", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_new_version_of_the_page_is_served_without_a_restart(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(pages, "PAGE", tmp_path)
    served = pages.Pages()
    assert served.answer("", "").status_code == 404
    for version in "12":
        for name in (f"{version}.js", "index.html"):
            (tmp_path / name).write_text(version)
        os.utime(tmp_path / "index.html", (int(version), int(version)))
        assert served.answer(f"{version}.js", "").status_code == served.answer("", "").status_code == 200


def test_a_host_without_headers_gets_threads_by_the_service_worker(open_page, static_host) -> None:
    page = open_page(static_host, ready=False)
    page.wait_for_function("() => crossOriginIsolated && backend.dataset.ready", timeout=60_000)
    assert page.evaluate("navigator.hardwareConcurrency") == 1 or "1 thread" not in page.inner_text("#backend")


def test_one_thread_works_where_nothing_gives_more(open_page, static_host, small) -> None:
    page = open_page(static_host, script="delete Navigator.prototype.serviceWorker")
    assert page.inner_text("#backend") == "WASM · 1 thread"
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done")
    assert difference(pixels_of(saved(page)[1]), upscale(small)) <= 2


def test_no_other_host_is_named_and_a_strict_policy_forbids_them(browser, server, built_page) -> None:
    html = (built_page / "index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", html)
    context = browser.new_context()
    page = context.new_page()
    policy = page.goto(server).headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy and "http" not in policy
    refused = "address => fetch(address).then(() => 'went out', error => error.name)"
    assert page.evaluate(refused, "http://127.0.0.1:9/picture") == "TypeError"
    in_worker = "address => new Promise(done => { const s = new Image(); s.onerror = () => done('refused'); s.src = address })"
    assert page.evaluate(in_worker, "http://127.0.0.1:9/x.png") == "refused"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_finds_nothing_to_stumble_over(open_page, server, small, scheme) -> None:
    page = open_page(server, color_scheme=scheme)
    for _ in range(2):  # empty, then with a result and a failure
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        if not page.is_hidden("#queue"):
            break
        drop(page, ("a.png", "image/png", as_file(small)), ("b.png", "image/png", b"x"))
        wait_for_states(page, "done", "failed")


def test_it_speaks_the_language_of_the_browser_or_the_one_that_was_chosen(open_page, server, small) -> None:
    page = open_page(server, locale="de-AT", width=360, height=740)
    assert page.inner_text("#welcome h2") == "Kleine Bilder vergr\u00f6\u00dfern und verbessern"
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "done")
    assert page.get_attribute("#queue li .actions button", "title") == "Entfernen"
    page.select_option("#language", label="English")
    assert page.get_attribute("#queue li .actions button", "title") == "Remove"
    for language in ("fr", "es", "zh", "ja", "de"):
        page.select_option("#language", language)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, language
    page.reload()
    assert page.inner_text("#welcome h2").startswith("Kleine Bilder")


def test_a_narrow_phone_needs_no_sideways_scrolling(open_page, server, small) -> None:
    page = open_page(server, width=360, height=740, has_touch=True, is_mobile=True)
    for count in (1, 2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        drop(page, ("a picture with a very long name that somebody gave it.png", "image/png", as_file(small)))
        wait_for_states(page, *["done"] * count)
    for selector in ("#save", "#area", "#handle", ".add"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= -20 and box["x"] + box["width"] <= 380


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1366, 768), (1280, 600)])
def test_with_many_pictures_download_and_the_one_at_work_stay_in_sight(open_page, server, small, width, height) -> None:
    page = open_page(server, width=width, height=height)
    if width == 1366:  # with all settings shown
        page.click("summary")
        page.check("input[name=scale][value=px]", force=True)
    page.evaluate("""() => {
        window.lost = [];
        const look = () => {
            const line = document.querySelector('#queue li[data-state=working]');
            const list = document.querySelector('#queue ul').getBoundingClientRect();
            if (line) {
                const box = line.getBoundingClientRect();
                if (box.top < list.top - 2 || box.bottom > list.bottom + 2) lost.push(line.textContent);
            }
            requestAnimationFrame(look);
        };
        look();
    }""")
    drop(page, *((f"{number}.png", "image/png", as_file(small)) for number in range(8)))
    wait_for_states(page, *["done"] * 8)
    assert page.evaluate("lost") == []
    save = page.locator("#save").bounding_box()
    assert save["y"] >= 0 and save["y"] + save["height"] <= height
    assert page.locator("#queue ul").bounding_box()["height"] > 100
    assert page.evaluate("scrollY") == 0
    if height > 700:
        assert page.evaluate("document.documentElement.scrollHeight") <= height


def test_the_list_stays_where_the_user_scrolled_it(open_page, server, small) -> None:
    page = open_page(server, width=1280, height=800)
    drop(page, *((f"{number}.png", "image/png", as_file(photograph(200, 200))) for number in range(10)))
    page.wait_for_selector("#queue li:first-child[data-state=working]")
    page.hover("#queue ul")
    page.mouse.wheel(0, 5000)
    page.wait_for_selector("#queue li:nth-child(2)[data-state=working]")
    list_ = "document.querySelector('#queue ul')"
    assert page.evaluate(f"{list_}.scrollHeight - {list_}.clientHeight - {list_}.scrollTop") < 4
    page.mouse.wheel(0, -5000)
    page.wait_for_function("() => document.querySelector('#queue ul').scrollTop === 0")
    page.wait_for_selector("#queue li:nth-child(6)[data-state=working]")
    assert page.evaluate(f"{list_}.scrollTop") > 0


def test_the_keyboard_does_everything(open_page, server) -> None:
    page = open_page(server)
    page.focus("[data-example=coffee]")
    page.keyboard.press("Enter")
    wait_for_states(page, "done")
    assert "done" in page.text_content("#news")
    page.focus("#handle")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.get_attribute("#handle", "aria-valuenow") == "60"
    fitted = page.text_content("#zoom")
    page.focus("#area")
    page.keyboard.press("+")
    assert page.text_content("#zoom") != fitted
    page.keyboard.press("0")
    assert page.text_content("#zoom") == fitted
    page.focus("#save")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "coffee_4x.jpg"


def test_zoom_and_pan_keep_both_pictures_together(open_page, server) -> None:
    page = open_page(server)
    drop(page, ("a.png", "image/png", as_file(photograph(64, 64))))
    wait_for_states(page, "done")
    box = page.locator("#area").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -400)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 90)
    page.mouse.up()
    before, after = (page.locator(f"#{layer} img").bounding_box() for layer in ("before", "after"))
    assert before == after and before["width"] > 256
    handle = page.locator("#handle").bounding_box()
    page.mouse.move(handle["x"] + 1, handle["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, handle["y"] + 200)
    page.mouse.up()
    assert page.get_attribute("#handle", "aria-valuenow") == "25"
    assert page.locator("#before img").bounding_box() == before


def test_the_theme_button_outranks_the_system_and_is_remembered(open_page, server) -> None:
    page = open_page(server, color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    dark = page.evaluate(background)
    page.reload()
    assert dark != light and page.evaluate(background) == dark
