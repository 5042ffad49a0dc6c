"""The report as people use it, in headless Chromium. Each page opened fails its test if it asks any host for anything."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest

from edgesr.evaluate.report import write_report

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the package axe-playwright-python is not installed")


@pytest.fixture(scope="module")
def report(benchmark, tmp_path_factory):
    """The URL of a report with all pictures."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(benchmark, path)
    return path.as_uri()


def column(page, table, index):
    cells = "(rows, i) => rows.map((row) => row.cells[i].innerText.split('\\n')[0])"
    return page.locator(f"{table} tbody tr").evaluate_all(cells, index)


def centre(page, frame):
    """What point of the picture (HR px) lies in the middle of a frame, and the scale, read off the rendered boxes."""
    return page.locator(frame).evaluate(
        """(frame) => { const picture = frame.querySelector("img");
        const [box, inner] = [frame.getBoundingClientRect(), picture.getBoundingClientRect()];
        const scale = inner.width / picture.offsetWidth;
        return [(box.x + box.width / 2 - inner.x) / scale, (box.y + box.height / 2 - inner.y) / scale, scale]; }"""
    )


def views_of(page):
    frames = page.locator("#crops .frame").count()
    return [centre(page, "#stage-left"), centre(page, "#stage-right")] + [
        centre(page, f"#crops figure:nth-child({number}) .frame") for number in range(1, frames + 1)
    ]


def drag(page, box, right, down, *, at=(0.5, 0.5)):
    x, y = box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()


def test_a_click_on_a_title_sorts_the_best_to_the_top_then_the_worst(report, open_page, benchmark) -> None:
    page = open_page(report)
    table = "#suite-1 table"
    by_psnr = sorted(benchmark["suites"]["photos"], key=lambda name: -benchmark["suites"]["photos"][name]["psnr"])
    assert column(page, table, 0) == list(benchmark["suites"]["photos"])
    title = page.locator(f"{table} th", has_text="PSNR-Y")
    title.get_by_role("button").click()
    assert column(page, table, 0) == by_psnr
    assert title.get_attribute("aria-sort") == "descending"
    title.get_by_role("button").press("Enter")
    assert column(page, table, 0) == by_psnr[::-1]
    assert title.get_attribute("aria-sort") == "ascending"
    page.locator(f"{table} th", has_text="Time").get_by_role("button").press("Space")
    assert column(page, table, 0) == ["nearest", "bicubic", "edgesr:tiny"]
    assert title.get_attribute("aria-sort") == "none"


@pytest.fixture
def sharpness(benchmark, tmp_path):
    """The URL of a report whose metric contrast is best at 1."""
    result = copy.deepcopy(benchmark)
    result["metrics"]["contrast"] |= {"title": "Sharpness", "better": "nearest", "target": 1.0}
    for name, value in {"bicubic": 0.3, "edgesr:tiny": 0.8, "nearest": 1.4}.items():
        result["suites"]["photos"][name] |= {"contrast": value, "intervals": {}}
        for number, image in enumerate(result["images"]["photos"].values()):
            image["systems"][name]["metrics"]["contrast"] = value + 0.1 * number
    write_report(result, tmp_path / "report.html")
    return (tmp_path / "report.html").as_uri()


def test_a_column_with_a_target_sorts_by_the_distance_to_it(sharpness, open_page) -> None:
    page = open_page(sharpness)
    button = page.locator("#suite-1 th", has_text="Sharpness").get_by_role("button")
    button.click()
    assert column(page, "#suite-1 table", 0) == ["edgesr:tiny", "nearest", "bicubic"]
    button.click()
    assert column(page, "#suite-1 table", 0) == ["bicubic", "nearest", "edgesr:tiny"]


def test_the_plots_and_the_worst_pictures_know_the_target(sharpness, open_page) -> None:
    page = open_page(sharpness)
    page.select_option("#metric", "contrast")
    line = page.locator("#scatter line.target").evaluate("(line) => line.y1.baseVal.value")
    circles = page.locator("#scatter circle").evaluate_all("(marks) => marks.map((mark) => mark.cy.baseVal.value)")
    tiny, bicubic, nearest = circles  # in the order of the systems: 0.8, 0.3 and 1.4
    assert (line - tiny) / (nearest - tiny) == pytest.approx(0.2 / 0.6, abs=0.01)
    assert nearest < line < tiny < bicubic  # up the screen is fewer px
    assert "nearest to 1 is best" in page.locator("#boxes").inner_text()
    assert page.locator("#worst b").first.inner_text() == "img_6.png"  # of edgesr:tiny at 1.4; img_2.png is at 1.0
    assert page.locator("#worst b").last.inner_text() != "img_6.png"


def test_a_system_without_a_figure_stays_at_the_bottom(report, open_page) -> None:
    page = open_page(report)
    title = page.locator("#suite-1 th", has_text="Parameters").get_by_role("button")
    for _ in range(2):
        title.click()
        assert column(page, "#suite-1 table", 0)[0] == "edgesr:tiny"


def test_intervals_and_wins_can_be_hidden(report, open_page) -> None:
    page = open_page(report)
    for label, kind in (("intervals", "interval"), ("wins", "wins")):
        first = page.locator(f"#suite-1 .{kind}").first
        assert first.is_visible()
        page.get_by_label(label, exact=True).uncheck()
        assert not first.is_visible()


@pytest.mark.parametrize(("metric", "up"), [("psnr", True), ("contrast", False)])
def test_the_scatter_has_a_logarithmic_cost_and_better_is_up(report, open_page, benchmark, metric, up) -> None:
    page = open_page(report)
    page.select_option("#metric", metric)
    marks = page.locator("#scatter circle")
    places = marks.evaluate_all("(marks) => marks.map((mark) => [mark.cx.baseVal.value, mark.cy.baseVal.value])")
    titles = marks.locator("xpath=../*[local-name()='title']").all_text_contents()
    x = {title.rsplit(": ", 1)[0]: place[0] for title, place in zip(titles, places, strict=True)}
    y = {title.rsplit(": ", 1)[0]: place[1] for title, place in zip(titles, places, strict=True)}
    assert x["bicubic"] - x["nearest"] == pytest.approx(x["edgesr:tiny"] - x["bicubic"])  # 0.01, 0.1 and 1 s
    value = {name: row[metric] for name, row in benchmark["suites"]["photos"].items()}
    slope = (y["nearest"] - y["bicubic"]) / (value["nearest"] - value["bicubic"])
    assert (slope < 0) == up  # down the screen is more px
    assert (y["edgesr:tiny"] - y["bicubic"]) == pytest.approx(slope * (value["edgesr:tiny"] - value["bicubic"]), abs=0.01)
    names = page.locator("#scatter text.name").all_text_contents()
    assert sorted(names) == sorted(value)


def test_a_system_without_a_cost_is_named_under_the_scatter(report, open_page) -> None:
    page = open_page(report)
    page.select_option("#cost", "gflops")
    assert page.locator("#scatter circle").count() == 1
    assert re.search("bicubic, nearest", page.locator("#scatter-note").inner_text())


def test_a_mean_over_fewer_pictures_is_named_under_the_scatter(benchmark, open_page, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    row = result["suites"]["photos"]["nearest"]
    row |= {"n": row["n"] - 1, "failed": {"img_3.png": "took longer than 60 s"}}
    write_report(result, tmp_path / "report.html")
    page = open_page((tmp_path / "report.html").as_uri())
    note = page.locator("#scatter-note").inner_text()
    assert f"nearest ({row['n']} of {row['n'] + 1})" in note
    assert "bicubic" not in note


def test_the_boxes_are_the_quartiles_and_each_picture_is_a_dot(report, open_page, benchmark) -> None:
    page = open_page(report)
    for index, system in enumerate(benchmark["suites"]["photos"]):
        values = [image["systems"][system]["metrics"]["psnr"] for image in benchmark["images"]["photos"].values()]
        group = page.locator("#boxes svg > g").nth(index)
        told = [float(number) for number in re.findall(r"\d+\.\d+", group.locator("> title").text_content())]
        assert told == pytest.approx([np.quantile(values, part) for part in (0.5, 0.25, 0.75)], abs=0.006)
        assert group.locator(".dot").count() == len(values)


def test_the_table_of_wins_holds_the_rates(report, open_page, benchmark) -> None:
    page = open_page(report)
    page.select_option("#metric", "ssim")
    rates = benchmark["win_rates"]["photos"]["ssim"]
    shown = [column(page, "#wins table", i) for i in range(4)]
    for i, row in enumerate(shown[0]):
        for j, other in enumerate(shown[0]):
            assert i == j or shown[j + 1][i] == f"{math.floor(100 * rates[row][other] + 0.5)} %"


def test_the_divider_follows_the_pointer_and_the_keys(report, open_page) -> None:
    page = open_page(report)
    divider, stage = page.get_by_role("slider"), page.locator("#stage").bounding_box()
    assert divider.get_attribute("aria-valuenow") == "50"
    divider.scroll_into_view_if_needed()
    drag(page, divider.bounding_box(), -0.25 * stage["width"], 0, at=(0.5, 0.2))
    assert abs(int(divider.get_attribute("aria-valuenow")) - 25) <= 1
    shown = page.locator("#stage-right").evaluate("(layer) => getComputedStyle(layer).clipPath")
    assert float(re.search(r"([\d.]+)%", shown)[1]) == float(divider.get_attribute("aria-valuenow"))
    assert views_of(page)[0][2] == centre(page, "#crops .frame >> nth=0")[2]  # the drag panned nothing
    for key, place in (("Home", 0), ("ArrowRight", 2), ("PageUp", 12), ("ArrowLeft", 10), ("End", 100), ("ArrowRight", 100)):
        divider.press(key)
        assert divider.get_attribute("aria-valuenow") == str(place)


def test_all_crops_show_the_same_part_at_the_same_scale(report, open_page) -> None:
    page = open_page(report)
    page.locator("#stage").scroll_into_view_if_needed()
    fitted = views_of(page)
    assert len(fitted) == 2 + 5  # input, reference, three systems
    stage = page.locator("#stage").bounding_box()

    def moved_together(before):
        views = views_of(page)
        for view in views[1:]:
            assert view == pytest.approx(views[0], abs=0.1)  # HR px; boxes lie between screen px
        assert views[0] != pytest.approx(before[0], abs=0.1)
        return views

    for _ in range(2):
        page.get_by_role("button", name="Zoom in").click()
    zoomed = moved_together(fitted)
    assert zoomed[0][2] == pytest.approx(2 * fitted[0][2])
    drag(page, stage, -60, 20, at=(0.3, 0.5))
    panned = moved_together(zoomed)
    assert panned[0][0] - zoomed[0][0] == pytest.approx(60 / zoomed[0][2], abs=0.1)
    crop = page.locator("#crops .frame >> nth=3")
    crop.scroll_into_view_if_needed()
    drag(page, crop.bounding_box(), 30, 10)
    moved_together(panned)
    page.locator("#stage").focus()
    page.keyboard.press("-")
    out = moved_together(panned)
    page.keyboard.press("ArrowDown")
    moved_together(out)
    page.keyboard.press("0")
    assert views_of(page)[0] == pytest.approx(fitted[0], abs=0.1)


def test_the_wheel_scrolls_the_page_and_with_ctrl_zooms_about_the_pointer(report, open_page) -> None:
    page = open_page(report)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    before = centre(page, "#stage-left")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function("document.querySelector('#stage').classList.contains('zoomed')")
    after = centre(page, "#stage-left")
    assert after[2] == pytest.approx(2 * before[2])
    offset = -0.1 * box["width"]
    assert before[0] + offset / before[2] == pytest.approx(after[0] + offset / after[2], abs=0.1)
    scrolled = page.evaluate("scrollY")
    page.mouse.wheel(0, 300)
    page.wait_for_function("(before) => scrollY > before", arg=scrolled)
    assert centre(page, "#stage-left")[2] == after[2]


def test_any_two_systems_can_be_set_against_each_other(report, open_page) -> None:
    page = open_page(report)
    page.select_option("#left", label="bicubic")
    page.get_by_role("button", name="nearest on the right").click()
    assert [page.locator(f"#badge-{side}").inner_text() for side in ("left", "right")] == ["bicubic", "nearest"]
    sources = [page.locator(f"#stage-{side} img").get_attribute("src") for side in ("left", "right")]
    assert sources[0] != sources[1]
    page.get_by_role("button", name="Swap left and right").click()
    assert [page.locator(f"#stage-{side} img").get_attribute("src") for side in ("left", "right")] == sources[::-1]
    assert page.get_by_role("button", name="nearest on the left").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Next picture").click()
    assert page.locator("#picture").input_value() == "img_1.png"
    assert page.locator("#badge-left").inner_text() == "nearest"  # the choice stays
    page.get_by_role("button", name="Previous picture").click()
    page.get_by_role("button", name="Previous picture").click()
    assert page.locator("#picture").input_value() == "img_6.png"


def test_the_worst_and_the_most_different_pictures_lead_to_the_viewer(report, open_page, benchmark) -> None:
    page = open_page(report)
    scores = {
        name: {system: entry["metrics"]["psnr"] for system, entry in image["systems"].items()}
        for name, image in benchmark["images"]["photos"].items()
    }
    worst = min(scores, key=lambda name: scores[name]["edgesr:tiny"])
    different = max(scores, key=lambda name: max(scores[name].values()) - min(scores[name].values()))
    for place, name in (("#worst", worst), ("#different", different)):
        card = page.locator(f"{place} button").first
        assert card.locator("b").inner_text() == name
        card.click()
        assert page.locator("#picture").input_value() == name
    page.locator("summary").click()
    page.locator("#all-pictures th", has_text="edgesr:tiny").get_by_role("button").click()
    page.locator("#all-pictures th", has_text="edgesr:tiny").get_by_role("button").click()
    assert column(page, "#all-pictures table", 0)[0] == worst


def test_a_suite_without_references_offers_what_it_has(report, open_page) -> None:
    page = open_page(report)
    page.select_option("#suite", "wild")
    assert page.locator("#metric option").all_text_contents() == ["Contrast"]
    assert page.locator("#left option").all_text_contents() == ["input", "edgesr:tiny", "bicubic", "nearest"]
    assert "all 2 pictures" in page.locator("#embedded").inner_text()


def test_a_page_with_few_or_no_pictures_says_so(benchmark, open_page, tmp_path) -> None:
    write_report(benchmark, tmp_path / "few.html", images=3)
    page = open_page((tmp_path / "few.html").as_uri())
    text = page.locator("#embedded").inner_text()
    assert "3 of the suite's 7 pictures" in text
    assert "1 worst for edgesr:tiny, 1 most different between the systems, 1 typical for edgesr:tiny" in text
    write_report(benchmark, tmp_path / "none.html", images=0)
    page = open_page((tmp_path / "none.html").as_uri())
    assert "0 of the suite's 7 pictures" in page.locator("#embedded").inner_text()
    assert not page.locator("#viewer").is_visible()
    assert page.locator("#scatter circle").count() == 3


def test_hostile_names_are_inert_and_shown_as_they_are(benchmark_of, open_page, tmp_path) -> None:
    name = '</script><script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>.png'
    result = benchmark_of({'"><script>alert(1)</script>': ([name, "__proto__"], True)})
    result["command"] = name
    for system in ("<svg/onload=alert(1)>", "__proto__"):
        result["systems"][system] = {**result["systems"]["bicubic"], "description": name, "skipped": name}
    write_report(result, tmp_path / "report.html")
    page = open_page((tmp_path / "report.html").as_uri())
    page.select_option("#picture", name)
    assert page.title() == "edgesr evaluate: quality and cost of upscalers"
    assert page.locator("#worst b", has_text="onerror").inner_text() == name
    assert page.locator("header code").inner_text() == name
    assert page.locator("script:not([type])").count() == 1


def test_the_policy_lets_no_other_script_in(report, browser) -> None:
    page = browser.new_page()
    page.goto(report)
    blocked = page.evaluate(
        """() => new Promise((done) => { addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        const script = document.createElement("script"); script.src = "data:text/javascript,document.title='owned'";
        document.body.append(script); })
        .catch((error) => error.name)"""
    )
    assert blocked in ("script-src-elem", "require-trusted-types-for", "TypeError")
    assert page.title() != "owned"
    page.context.close()


def test_on_a_narrow_screen_nothing_is_wider_than_it(report, open_page) -> None:
    page = open_page(report, width=360, height=740)
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    rights = page.locator("svg, .frame, select, button").evaluate_all(
        "(parts) => parts.filter((part) => !part.closest('.scroll')).map((part) => part.getBoundingClientRect().right)"
    )
    assert max(rights) <= 360


@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_the_page_is_accessible_as_far_as_a_machine_can_tell(report, open_page, scheme, rules) -> None:
    page = open_page(report, color_scheme=scheme)
    page.locator("summary").click()
    found = axe.Axe().run(page, options={"runOnly": rules} if rules else None)
    assert found.response["violations"] == [], found.generate_report()


def test_without_scripts_the_tables_can_be_read(report, open_page) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.locator("#suite-1 table").is_visible()
    assert "need JavaScript" in page.locator("body").inner_text()
    assert not page.locator("#plots").is_visible()


def test_a_dark_screen_is_dark_and_paper_is_white(report, open_page) -> None:
    page = open_page(report, color_scheme="dark")

    def brightness(selector, field):
        colour = page.locator(selector).first.evaluate("(node, field) => getComputedStyle(node)[field]", field)
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3

    assert brightness("body", "backgroundColor") < 60
    assert brightness("body", "color") > 180
    page.emulate_media(media="print", color_scheme="dark")
    assert brightness("body", "color") < 60
    assert brightness("body", "backgroundColor") > 240
    assert not page.locator("#suite").is_visible()
    assert page.locator("#suite-1 table").is_visible()
