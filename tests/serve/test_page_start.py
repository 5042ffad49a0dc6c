"""The start of the page when a file is lost, does not come, or never arrives: it tries again, and says so if that does not help."""

from __future__ import annotations

import pytest
from visits import as_file, drop, wait_for_states


def losing(name, times):
    """Prepares a page for which the first `times` requests for a file fail."""

    def prepare(page):
        left = [times]

        def lose(route):
            left[0] -= 1
            return route.abort("connectionreset") if left[0] >= 0 else route.continue_()

        page.route(f"**/{name}", lose)

    return prepare


@pytest.mark.parametrize("name", ["worker-*.js", "tiny.onnx", "ort-wasm-simd-threaded.wasm"])
def test_a_file_that_is_lost_once_is_fetched_again(open_page, server, name) -> None:
    page = open_page(server, prepare=losing(name, 1))
    assert page.is_hidden("#trouble")


def test_a_model_that_cannot_be_loaded_is_reported_and_loaded_when_asked_again(open_page, server, small) -> None:
    page = open_page(server, ready=False, prepare=losing("tiny.onnx", 3))
    drop(page, ("a.png", "image/png", as_file(small)))
    wait_for_states(page, "failed")
    assert "the model did not start" in page.inner_text("#queue li .state")
    assert "The model did not start" in page.inner_text("#trouble")
    drop(page, ("b.png", "image/png", as_file(small)))
    wait_for_states(page, "failed", "failed")
    page.click("#trouble button")
    page.wait_for_selector("#backend[data-ready]")
    assert page.is_hidden("#trouble")
    page.click("#queue li:first-child .actions [title='Try again']")
    wait_for_states(page, "done", "failed")


def test_a_start_that_hangs_is_given_up_for_a_simpler_one(open_page, server) -> None:
    held = []

    def hold_once(route):
        return route.continue_() if held else held.append(route)

    page = open_page(server, query="?patience=2", prepare=lambda page: page.route("**/ort.wasm.min.mjs", hold_once))
    assert page.inner_text("#backend") == "WASM · 1 thread"
    assert "no response for 2 s" in page.get_attribute("#backend", "title")
    held[0].abort()


def test_a_page_without_its_program_says_so(browser, server) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        losing("assets/index-*.js", 1)(page)
        page.goto(server)
        assert page.is_hidden("#stalled")
        page.evaluate("document.getAnimations().forEach((each) => each.finish())")
        assert "did not start" in page.inner_text("#stalled")
        page.reload()
        page.wait_for_selector("#backend[data-ready]")
        assert page.locator("#stalled").count() == 0
