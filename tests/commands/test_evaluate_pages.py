"""`edgesr evaluate --html` and `--ab`, as people run them."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request

import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_, edgesr_here, error_of
from pictures import photograph
from PIL import Image


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A suite of three pictures with references, and beside it a cache for all tests."""
    folder = tmp_path_factory.mktemp("suites") / "photos"
    for part in ("HR", "LR"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        picture = Image.fromarray(photograph(64, 96)).rotate(90 * number)
        picture.save(folder / "HR" / f"{number}.png")
        picture.resize((24, 16), Image.Resampling.BICUBIC).save(folder / "LR" / f"{number}.png")
    return folder


def options(suite):
    return ["--cache", str(suite.parent / "cache"), "--threads", "1"]


def test_html_writes_a_report_of_what_was_measured(suite, tmp_path) -> None:
    words = [
        "--system",
        "bicubic",
        "lanczos",
        "--metrics",
        "psnr",
        "--html",
        "r.html",
        "--html-images",
        "2",
        "--json",
        "r.json",
    ]
    done = edgesr_("evaluate", str(suite), *words, *options(suite), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page, result = (tmp_path / "r.html").read_text(), json.loads((tmp_path / "r.json").read_bytes())
    for system in ("bicubic", "lanczos"):
        assert f"<span>{result['suites']['photos'][system]['psnr']:.2f}</span>" in page
    assert page.count('type="text/plain" id="picture-') == 2 * 4  # input, reference and two systems
    assert "--html-images 2" in page


def test_a_report_that_cannot_be_written_stops_the_run_before_it_begins(suite, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diary.html").write_text("dear diary")
    line = error_of("evaluate", str(suite), "--html", "diary.html", *options(suite), here=True)
    assert "is not a report of `edgesr evaluate`" in line
    assert "does not exist" in error_of("evaluate", str(suite), "--html", "nowhere/r.html", here=True)
    assert (tmp_path / "diary.html").read_text() == "dear diary"


def test_the_blind_test_takes_votes_and_ctrl_c_ends_it_with_the_win_rate(suite, tmp_path) -> None:
    command = [*COMMAND, "evaluate", "--ab", str(suite), "bicubic", "wide=lanczos", *options(suite)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, text=True, **streams) as process:
        told = next(line for line in process.stderr if "http://" in line)
        address = told.split()[1].rstrip("/")
        state = json.load(urllib.request.urlopen(f"{address}/trial"))
        body = json.dumps({"pair": state["pair"], "choice": "left"}).encode()
        headers = {"Origin": address, "Content-Type": "application/json"}
        state = json.load(urllib.request.urlopen(urllib.request.Request(f"{address}/vote", body, headers)))
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, state["votes"], state["total"]) == (0, 1, 3)
    assert out.startswith("1 of 3 pictures judged: bicubic ")
    assert "Traceback" not in errors
    (vote,) = [json.loads(line) for line in (tmp_path / "ab-photos-bicubic-wide.jsonl").read_text().splitlines()]
    assert {vote["left"], vote["right"]} == {"bicubic", "wide"}


def test_a_blind_test_names_its_suite_and_systems_itself(suite, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    twice = ["evaluate", "--ab", str(suite), "bicubic", "lanczos", "--system", "lanczos"]
    assert "remove SUITE and --system" in error_of(*twice, here=True)
    assert "duplicate system name 'bicubic'" in error_of("evaluate", "--ab", str(suite), "bicubic", "bicubic", here=True)
    assert "name at least one suite" in error_of("evaluate", here=True)
    (tmp_path / "diary.txt").write_text("dear diary")
    words = ["--ab", str(suite), "bicubic", "lanczos", "--votes", "diary.txt", *options(suite)]
    done = edgesr_here("evaluate", *words)
    assert done.returncode == 2
    assert b"diary.txt: line 1 is not a vote" in done.stderr
