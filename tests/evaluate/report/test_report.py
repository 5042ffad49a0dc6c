"""The report as a file: what it holds, what it hides, and when it is not written."""

from __future__ import annotations

import base64
import copy
import io
import json
import re

import pytest
from PIL import Image

from edgesr.errors import UsageError
from edgesr.evaluate.report import check_report, write_report
from edgesr.evaluate.report.figures import count, figure, significant


def page_of(result, folder, **options):
    write_report(result, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_needs_nothing_beside_it_and_tells_nothing_of_the_machine(benchmark, tmp_path) -> None:
    page = page_of(benchmark, tmp_path)
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page) == []
    assert set(re.findall(r"https?://[\w./]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, which no browser asks for
    assert "url(" not in page
    assert "@import" not in page
    assert benchmark["images"]["photos"]["img_0.png"]["lr"].rsplit("/", 2)[0] not in page


def test_the_figures_are_those_of_the_result_with_their_intervals_and_wins(benchmark, tmp_path) -> None:
    page = page_of(benchmark, tmp_path)
    for suite, systems in benchmark["suites"].items():
        number = len(benchmark["images"][suite])
        section = re.search(rf"<h3>{suite}</h3>(.*?)</section>", page, re.S)[1]
        assert f"{suite}: measured on this machine, mean over {number} of {number} pictures<" in section
        assert "No figure for LPIPS: the package lpips is not installed" in section
        for system, row in systems.items():
            cells = re.search(rf'<th scope="row">{system.replace(":", ":<wbr>")}</th>(.*?)</tr>', section)[1]
            for metric in row["intervals"]:
                wins = benchmark["win_rates"][suite][metric][system].values()
                low, high = row["intervals"][metric]
                assert f"{figure(row[metric])}</span>" in cells
                assert f"{figure(low)} to {figure(high)}" in cells
                assert f"wins {100 * sum(wins) / len(wins):.0f} %" in cells


def test_reasons_that_several_metrics_share_are_told_once_with_the_systems_they_hold_for(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    for system in ("bicubic", "nearest"):
        row = result["suites"]["photos"][system]
        row["unavailable"] = {"psnr": "too small", "ssim": "too small"}
        del row["psnr"], row["ssim"]
    page = page_of(result, tmp_path)
    assert page.count(": too small</li>") == 1
    assert "No figure for PSNR-Y, SSIM-Y by bicubic, nearest: too small" in page
    assert "No figure for LPIPS by edgesr:tiny: the package" in page


def test_a_suite_under_a_known_name_says_whether_it_is_the_known_one(benchmark, tmp_path) -> None:
    for as_known, text in ((True, "; the same pictures as the known suite"), (False, "; other pictures than the known suite")):
        result = {**benchmark, "suite_info": {**benchmark["suite_info"], "photos": {"pictures": 14, "as_known": as_known}}}
        assert f"mean over 7 of 14 pictures{text}" in page_of(result, tmp_path)


def test_published_figures_stand_in_a_table_of_their_own(benchmark, tmp_path) -> None:
    page = page_of(benchmark, tmp_path)
    measured, published = page.split('<section id="published">')
    assert "OSEDiff" not in measured
    assert "not measured here" in published
    assert published.index("OSEDiff") < published.index("a paper") < published.index("another paper, table 17")


def test_a_failure_a_skipped_system_and_a_picture_left_out_are_named_with_their_reasons(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    result["suites"]["photos"]["bicubic"]["failed"] = {"img_3.png": "took longer than 60 s"}
    del result["images"]["photos"]["img_3.png"]["systems"]["bicubic"]
    result["problems"] = {"photos": {"odd.png": "is 13x13 px"}}
    result["systems"]["slow"] = {**result["systems"]["bicubic"], "fingerprint": None, "skipped": "no weights were found"}
    page = page_of(result, tmp_path)
    assert "bicubic failed on img_3.png: took longer than 60 s" in page
    assert "1 failed" in page
    assert "Left out: odd.png: is 13x13 px" in page
    assert "skipped: no weights were found" in page


def test_the_best_figure_is_sought_among_those_over_every_picture(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    rows = result["suites"]["photos"]
    rows["nearest"] |= {"psnr": 99.0, "n": 6, "failed": {"img_3.png": "took longer than 60 s"}}
    rows["bicubic"]["psnr"], rows["edgesr:tiny"]["psnr"] = 30.0, 31.0
    page = page_of(result, tmp_path)
    section = re.search(r"<h3>photos</h3>(.*?)</section>", page, re.S)[1]
    cells = {name: re.search(rf'<th scope="row">{name}</th><td class="(\w+)"', section)[1] for name in ("nearest", "bicubic")}
    assert cells == {"nearest": "number", "bicubic": "number"}
    assert '<td class="best" data-value="31.0">' in section
    assert "nearest was scored on 6 of 7 pictures: its figures are not comparable with the others" in section
    assert "measured; failed on 1 of 9 pictures" in page


def test_the_best_figure_of_a_metric_with_a_target_is_the_nearest_to_it(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    result["metrics"]["contrast"] |= {"title": "Sharpness", "better": "nearest", "target": 1.0}
    for name, value in {"edgesr:tiny": 0.8, "bicubic": 0.3, "nearest": 1.4}.items():
        result["suites"]["photos"][name]["contrast"] = value
    page = page_of(result, tmp_path)
    section = re.search(r"<h3>photos</h3>(.*?)</section>", page, re.S)[1]
    assert '<td class="best" data-value="0.8">' in section
    assert '<td class="number" data-value="1.4">' in section
    assert re.search(r'data-better="nearest" data-target="1">Sharpness<small>→ 1</small>', section)
    assert "nearest to 1 is best" in page
    assert data_of(page)["metrics"]["contrast"]["target"] == 1


def test_a_system_that_failed_on_everything_is_not_said_to_be_measured(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    for suite, rows in result["suites"].items():
        failed = dict.fromkeys(result["images"][suite], "no memory")
        rows["nearest"] = {"seconds": None, "n": 0, "intervals": {}, "unavailable": {}, "failed": failed}
    row = re.search(
        r'<table class="sortable"><caption id="table-systems">.*?nearest</th>(.*?)</tr>', page_of(result, tmp_path)
    )[1]
    assert "failed on all 9 pictures" in row
    assert "measured" not in row


def test_many_failures_are_folded_and_all_there(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    result["suites"]["photos"]["bicubic"]["failed"] = dict.fromkeys(benchmark["images"]["photos"], "no memory")
    page = page_of(result, tmp_path)
    folded = re.search(r"<details><summary>7 failures</summary>(.*?)</details>", page)[1]
    assert folded.count("bicubic failed on img_") == 7


def test_text_of_the_result_stays_text(benchmark_of, tmp_path) -> None:
    hostile = "</script><script>alert(1)</script>.png"
    result = benchmark_of({"<b>suite": ([hostile, "b.png"], True)})
    result["command"] = "edgesr evaluate '<img src=x onerror=alert(1)>'"
    result["suites"]["<b>suite"]["bicubic"]["unavailable"]["lpips"] = "<i>why</i>"
    page = page_of(result, tmp_path)
    assert page.count("<script") == page.count('type="text/plain" id="picture-') + 2  # and the data, and the code
    assert "<b>suite" not in page
    assert "<img src=x" not in page
    assert "<i>why" not in page
    assert list(data_of(page)["images"]["<b>suite"]) == [hostile, "b.png"]


def test_only_as_many_pictures_as_asked_are_embedded_and_all_figures_kept(benchmark, tmp_path) -> None:
    sizes = []
    for images in (0, 2, 50):
        page = page_of(benchmark, tmp_path, images=images)
        shown = {suite: entry["pictures"] for suite, entry in data_of(page)["shown"].items()}
        assert [len(shown["photos"]), len(shown["wild"])] == [min(images, 7), min(images, 2)]
        assert len(data_of(page)["images"]["photos"]) == 7
        assert page.count('type="text/plain"') == 5 * len(shown["photos"]) + 4 * len(shown["wild"])
        sizes.append(len(page))
    assert sizes == sorted(sizes)


def test_a_picture_that_is_gone_or_broken_leaves_the_others(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    images = result["images"]["photos"]
    images["img_0.png"]["systems"]["bicubic"]["output"] = str(tmp_path / "gone.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    images["img_0.png"]["hr"] = str(tmp_path / "broken.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    images["img_0.png"]["systems"]["nearest"]["output"] = str(tmp_path / "small.png")
    picture = data_of(page_of(result, tmp_path))["shown"]["photos"]["pictures"]["img_0.png"]
    assert picture["hr"] is None
    assert picture["outputs"]["bicubic"] is None
    assert picture["outputs"]["nearest"] is None
    assert picture["outputs"]["edgesr:tiny"] is not None


def test_a_reference_with_the_spare_pixels_that_packs_leave_is_shown_as_it_was_scored(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    image = result["images"]["photos"]["img_0.png"]
    with Image.open(image["hr"]) as hr:
        for spare, shown in ((3, True), (4, False)):
            wider = Image.new("RGB", (hr.width + spare, hr.height + 1))
            wider.paste(hr)
            wider.save(tmp_path / "wider.png")
            image["hr"] = str(tmp_path / "wider.png")
            page = page_of(result, tmp_path)
            name = data_of(page)["shown"]["photos"]["pictures"]["img_0.png"]["hr"]
            assert (name is not None) == shown
            if shown:
                encoded = re.search(rf'id="{name}">data:image/jpeg;base64,(.*?)</script>', page)[1]
                assert Image.open(io.BytesIO(base64.b64decode(encoded))).size == hr.size


def test_an_infinite_figure_is_shown_and_does_not_break_the_data(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    result["suites"]["photos"]["bicubic"]["psnr"] = float("inf")
    page = page_of(result, tmp_path)
    assert 'data-value="Infinity"><span>∞</span>' in page
    assert data_of(page)["suites"]["photos"]["bicubic"]["psnr"] is None


def test_an_older_report_is_replaced_and_nothing_else(benchmark, tmp_path) -> None:
    target = tmp_path / "report.html"
    write_report(benchmark, target, images=0)
    first = target.read_bytes()
    write_report({**benchmark, "command": "another"}, target, images=0)
    assert target.read_bytes() != first
    (tmp_path / "diary.html").write_text("dear diary")
    for check in (check_report, lambda path: write_report(benchmark, path)):
        with pytest.raises(UsageError, match=r"diary\.html: exists and is not a report"):
            check(tmp_path / "diary.html")
        with pytest.raises(UsageError, match=r"report\.html: the folder .*nowhere does not exist"):
            check(tmp_path / "nowhere" / "report.html")
        with pytest.raises(UsageError, match="is a folder; name a file"):
            check(tmp_path)
    assert (tmp_path / "diary.html").read_text() == "dear diary"


def test_a_report_that_cannot_be_finished_leaves_the_older_one(benchmark, tmp_path) -> None:
    target = tmp_path / "report.html"
    write_report(benchmark, target, images=0)
    first = target.read_bytes()
    half = copy.deepcopy(benchmark)
    half["images"]["wild"]["b.png"]["width"] = "no number"
    with pytest.raises(TypeError):
        write_report(half, target)
    assert target.read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_numbers_keep_what_can_be_read() -> None:
    figures = {24.1949: "24.19", 0.61234: "0.612", -0.5: "-0.500", 123.456: "123.5", None: "n/a", float("inf"): "∞"}
    assert {value: figure(value) for value in figures} == figures
    costs = {0.012345: "0.0123", 1.0: "1.00", 588.0: "588", 16384.0: "16400", 0: "0", None: "n/a"}
    assert {value: significant(value) for value in costs} == costs
    counts = {1_286_368: "1.29 M", 621_424: "621 k", 999: "999", 0: "0", None: "n/a"}
    assert {value: count(value) for value in counts} == counts
