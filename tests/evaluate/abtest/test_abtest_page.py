"""The blind test as people take it, in headless Chromium."""

from __future__ import annotations

import json
import random
import re
import threading
from itertools import cycle

import pytest

from edgesr.evaluate.abtest import serve_ab
from edgesr.evaluate.abtest.tally import wilson

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the package axe-playwright-python is not installed")
A, B = "edgesr:tiny", "bicubic"


class Running:
    """A blind test in the background."""

    def __init__(self, result, votes):
        self.votes, self.url, self.tally = votes, "", None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[result], daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self, result):
        self.tally = serve_ab(result, "photos", A, B, votes=self.votes, announce=self._announce, rng=random.Random(3))

    def _announce(self, url):
        self.url = url
        self._ready.set()

    def ended(self):
        self._thread.join(10)
        return self.tally

    def lines(self):
        return [json.loads(line) for line in self.votes.read_text().splitlines()]


@pytest.fixture
def test_run(benchmark, tmp_path):
    return Running(benchmark, tmp_path / "votes.jsonl")


def voted(page, act):
    """Do `act` once the pair can be voted on, and wait for what follows."""
    page.locator("[data-choice=left]:enabled").wait_for()
    before = page.locator("#count").inner_text()
    act()
    page.wait_for_function("(before) => document.querySelector('#count').textContent !== before", arg=before)


def test_the_keys_vote_and_the_page_ends_with_the_win_rate(test_run, open_page) -> None:
    page = open_page(test_run.url)
    for key, _ in zip(cycle(["ArrowLeft", "ArrowRight", "ArrowDown"]), range(7), strict=False):
        voted(page, lambda key=key: page.keyboard.press(key))
    lines = test_run.lines()
    assert [line["choice"] for line in lines] == ["left", "right", "same", "left", "right", "same", "left"]
    winners = [line[line["choice"]] for line in lines if line["choice"] != "same"]
    rate, (low, high) = winners.count(A) / 5, wilson(winners.count(A), 5)
    percent = [int(number) for number in re.findall(r"(\d+) %", page.locator("#sentence").inner_text())]
    assert percent == pytest.approx([100 * rate, 95, 100 * low, 100 * high], abs=0.5)
    assert page.locator("#detail").inner_text() == f"Votes: {A} {winners.count(A)}, {B} {winners.count(B)}, no difference 2."
    tally = test_run.ended()
    assert (tally.wins_a, tally.wins_b, tally.same) == (winners.count(A), winners.count(B), 2)
    assert tally.interval == pytest.approx((low, high))


def test_the_buttons_vote_too_and_a_reload_keeps_the_place(test_run, open_page) -> None:
    page = open_page(test_run.url)
    voted(page, page.get_by_role("button", name="Right is better").click)
    voted(page, page.get_by_role("button", name="No difference").click)
    page.locator("[data-choice=left]:enabled").wait_for()
    sources = page.locator("img").evaluate_all("(all) => all.map((picture) => picture.src)")
    page.reload()
    page.locator("[data-choice=left]:enabled").wait_for()
    assert page.locator("#count").inner_text() == "2 of 7"
    assert page.locator("img").evaluate_all("(all) => all.map((picture) => picture.src)") == sources
    assert [line["choice"] for line in test_run.lines()] == ["right", "same"]


def test_the_page_does_not_tell_which_is_which(test_run, open_page) -> None:
    page = open_page(test_run.url)
    for _ in range(3):
        page.locator("[data-choice=left]:enabled").wait_for()
        content = page.content()
        assert not re.search(r"tiny|bicubic|img_\d|\.png", content)
        for picture in page.locator("img").all():
            assert re.fullmatch(r"/picture/[\w-]{16}", picture.get_attribute("src"))
        voted(page, lambda: page.keyboard.press("ArrowDown"))


def test_the_input_is_shown_on_request_alone_and_all_zoom_together(test_run, open_page) -> None:
    page = open_page(test_run.url)
    page.locator("[data-choice=left]:enabled").wait_for()
    frame = page.locator("#frame-input")
    assert not frame.is_visible()
    page.keyboard.press("i")
    assert frame.is_visible()
    page.get_by_role("button", name="Zoom in").click()
    page.keyboard.press("Shift+ArrowRight")
    transforms = page.locator(".frame img").evaluate_all("(all) => all.map((picture) => picture.style.transform)")
    assert len(transforms) == 3
    assert len({re.search(r"scale\(.*\)", transform)[0] for transform in transforms}) == 1
    assert test_run.lines() == []  # with Shift the arrows pan
    page.get_by_role("button", name="Show the input").click()
    assert not frame.is_visible()


def test_a_vote_that_cannot_be_stored_is_said_and_not_counted(test_run, open_page, browser) -> None:
    page = browser.new_page()
    page.goto(test_run.url)
    page.locator("[data-choice=left]:enabled").wait_for()
    test_run.votes.unlink()
    test_run.votes.mkdir()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("alert").wait_for()
    assert "the vote could not be stored: Is a directory" in page.get_by_role("alert").inner_text()
    assert page.locator("#count").inner_text() == "0 of 7"
    test_run.votes.rmdir()
    page.reload()
    voted(page, lambda: page.keyboard.press("ArrowLeft"))
    assert len(test_run.lines()) == 1
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_narrow_screen(test_run, open_page, scheme) -> None:
    page = open_page(test_run.url, width=360, height=740, color_scheme=scheme)
    page.locator("[data-choice=left]:enabled").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    found = axe.Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
