"""`edgesr evaluate`, as people run it: what it prints and writes, what it does with what is wrong, and that it goes on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_, edgesr_here, error_of
from pictures import photograph
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from edgesr.evaluate.metrics import luma

OFFLINE = ["--metrics", "psnr", "psnr_rgb", "ssim", "ssim_rgb", "colour_shift", "consistency"]
LOGGING = """
import sys, time
from PIL import Image
open(sys.argv[3] + "/log", "a").write("made\\n")
image = Image.open(sys.argv[1])
image.resize((int(sys.argv[4]) * image.width, 4 * image.height)).save(sys.argv[2])
"""


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def suite() -> Path:
    """Three pairs of one photograph's parts."""
    for folder in ("suite/HR", "suite/LR"):
        Path(folder).mkdir(parents=True)
    hr = photograph(192, 288)
    for index in range(3):
        part = Image.fromarray(hr[:128, 80 * index : 80 * index + 96])
        part.save(f"suite/HR/{index}.png")
        part.resize((24, 32), Image.Resampling.BICUBIC).save(f"suite/LR/{index}.png")
    return Path("suite")


def logging(width_factor: int = 4) -> str:
    """A system that logs each call in the file log; its output is `width_factor` times as wide."""
    Path("tool.py").write_text(LOGGING)
    log = Path.cwd()  # a folder: a file named in the template would count as a part of the program
    return f"tool=command:{shlex.quote(sys.executable)} tool.py {{input}} {{output}} {shlex.quote(str(log))} {width_factor}"


def evaluated(*words: str, code: int = 0, run=edgesr_here) -> tuple[dict, str, str]:
    """Run the verb; returns the JSON document, what it printed, and what it said."""
    done = run("evaluate", *words, "--threads", "1", "--json", "result.json")
    assert done.returncode == code, done.stderr.decode()
    return json.loads(Path("result.json").read_text()), done.stdout.decode(), done.stderr.decode()


def test_one_command_gives_quality_and_cost_of_all_systems(suite):
    result, printed, said = evaluated("suite", "--system", "bicubic", "edgesr:tiny", *OFFLINE, run=edgesr_)
    assert said == ""
    assert set(result["suites"]["suite"]) == set(result["systems"]) == {"bicubic", "edgesr:tiny"}
    scores = []
    for path in sorted((suite / "HR").iterdir()):
        hr, lr = Image.open(path), Image.open(suite / "LR" / path.name)
        planes = [luma(np.asarray(image))[4:-4, 4:-4] for image in (hr, lr.resize(hr.size, Image.Resampling.BICUBIC))]
        scores.append(peak_signal_noise_ratio(*planes, data_range=255))
    bicubic = result["suites"]["suite"]["bicubic"]
    assert bicubic["psnr"] == pytest.approx(np.mean(scores), abs=1e-3)
    low, high = bicubic["intervals"]["psnr"]
    assert min(scores) - 1e-6 <= low < bicubic["psnr"] < high <= max(scores) + 1e-6
    assert (bicubic["n"], bicubic["failed"], bicubic["unavailable"]) == (3, {}, {})
    assert 0 < bicubic["seconds"] < 5
    rates = result["win_rates"]["suite"]["psnr"]
    assert rates["bicubic"]["edgesr:tiny"] + rates["edgesr:tiny"]["bicubic"] == 1
    tiny = result["systems"]["edgesr:tiny"]
    assert tiny["parameters"] > 1e6
    assert tiny["seconds_per_megapixel"] > 0
    assert {"cpu", "cores", "threads", "os", "python"} == set(result["machine"])
    picture = result["images"]["suite"]["0.png"]
    assert (picture["width"], picture["height"]) == (96, 128)
    assert Image.open(picture["systems"]["edgesr:tiny"]["output"]).size == (96, 128)
    assert picture["systems"]["bicubic"]["metrics"]["psnr"] == pytest.approx(scores[0], abs=1e-3)
    lines = printed.splitlines()
    assert f"{bicubic['psnr']:.2f}" in next(line for line in lines if line.startswith("bicubic"))
    published = printed[printed.index("PUBLISHED by others, NOT measured here") :]
    (line,) = (line for line in published.splitlines() if line.startswith("StableSR"))
    assert line.endswith("arXiv 2503.13358v5, table 17")
    for entry in result["published"]:  # a figure that nobody can look up is none
        assert entry["reported_in"].startswith("arXiv ")
        assert entry["source"].startswith("arXiv ")
    assert "edgesr:tiny" not in published


def test_the_help_tells_which_weights_no_folder_brings():
    told = " ".join(edgesr_("evaluate", "--help").stdout.decode().split())
    assert "NIQE, MUSIQ and CLIP-IQA use pyiqa's own cache instead" in told


def test_a_suite_without_reference_has_no_figure_that_needs_one(suite):
    for path in (suite / "HR").iterdir():
        path.unlink()
    (suite / "HR").rmdir()
    result, printed, _ = evaluated("suite", "--system", "bicubic", *OFFLINE)
    row = result["suites"]["suite"]["bicubic"]
    assert {"colour_shift", "consistency"} <= row.keys()
    assert not {"psnr", "ssim", "psnr_rgb", "ssim_rgb"} & row.keys()
    assert row["unavailable"]["psnr"] == "the suite has no reference pictures"
    assert result["images"]["suite"]["0.png"]["hr"] is None
    assert "no PSNR-Y: the suite has no reference pictures" in printed


def test_a_metric_that_cannot_be_had_is_a_reason_and_no_figure(suite):
    Path("weights").mkdir()
    Image.new("RGB", Image.open(suite / "HR" / "1.png").size).save(suite / "HR" / "1.png")  # flat: its sharpness is nothing
    words = ["--system", "bicubic", "--metrics", "psnr", "sharpness", "sqd", "--weights", "weights"]
    result, printed, _ = evaluated("suite", *words)
    row = result["suites"]["suite"]["bicubic"]
    assert "sqd" not in row
    assert "weights: weights not found: " in row["unavailable"]["sqd"]
    assert "no SQD: weights: weights not found: " in printed
    assert "sharpness" not in row  # a mean over the pictures that happen to have it would be another suite's
    assert row["unavailable"]["sharpness"].startswith("1.png: the reference is flat")
    row = evaluated("suite", *words, "--limit", "1")[0]["suites"]["suite"]["bicubic"]
    assert row["sharpness"] > 0


def test_pictures_that_are_wrong_are_named_and_counted_and_the_others_are_scored(suite):
    Image.new("RGB", (97, 128)).save(suite / "HR" / "0.png")
    (suite / "LR" / "1.png").write_bytes(b"nonsense")
    Image.new("RGB", (24, 32)).save(suite / "LR" / "lonely.png")
    result, printed, said = evaluated("suite", "--system", "bicubic", *OFFLINE, code=1)
    assert result["suites"]["suite"]["bicubic"]["n"] == 1
    assert set(result["problems"]["suite"]) == {"0.png", "1.png", "lonely.png"}
    for words in ("is 97x128 px, expected 96x128 px", "cannot be decoded", "no picture of this name in"):
        assert words in said
        assert words in printed
    assert said.splitlines()[-1] == "edgesr: 3 pictures could not be scored; the reasons are above"


def test_an_output_of_the_wrong_size_is_no_result(suite):
    result, printed, said = evaluated("suite", "--system", "bicubic", logging(2), *OFFLINE, code=1)
    rows = result["suites"]["suite"]
    assert (rows["bicubic"]["n"], rows["tool"]["n"]) == (3, 0)
    assert rows["tool"]["failed"]["0.png"] == "the output is 48x128 px, not 96x128"
    assert "psnr" not in rows["tool"]
    assert "0.png: tool: the output is 48x128 px, not 96x128" in said
    assert "failed: tool on all 3 pictures of suite" in printed


def test_figures_over_fewer_pictures_are_marked(suite):
    Image.fromarray(photograph(32, 40)).save(suite / "LR" / "2.png")
    Image.fromarray(photograph(128, 160)).save(suite / "HR" / "2.png")
    Path("theirs").mkdir()
    for index in range(3):
        Image.open(suite / "HR" / "0.png").save(f"theirs/{index}.png")  # too narrow for the last
    result, printed, _ = evaluated("suite", "--system", "bicubic", "theirs=folder:theirs", *OFFLINE, code=1)
    assert result["suites"]["suite"]["theirs"]["n"] == 2
    lines = printed.splitlines()
    assert next(line for line in lines if line.startswith("theirs")).endswith("2 of 3")
    assert next(line for line in lines if line.startswith("bicubic")).split()[-1] == "3"
    assert "failed: theirs on 1 of 3 pictures (scored on the other 2: not comparable" in printed


def test_a_system_that_cannot_run_is_skipped_with_its_reason(suite):
    result, printed, said = evaluated("suite", "--system", "bicubic", "gone=folder:nowhere", *OFFLINE)
    assert result["systems"]["gone"]["skipped"] == "nowhere: no such folder"
    assert list(result["suites"]["suite"]) == ["bicubic"]
    assert "skipped: gone: nowhere: no such folder" in printed
    assert "gone is skipped" in said
    done = edgesr_here("evaluate", "suite", "--system", "gone=folder:nowhere")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == b"edgesr: no system can run on this machine"


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_a_system_whose_files_are_damaged_leaves_the_others(suite):
    Path("node_modules/@upscalerjs/esrgan-slim/models/x4").mkdir(parents=True)
    damaged = {"weightsManifest": [{"weights": [{"name": 5, "shape": []}]}]}
    Path("node_modules/@upscalerjs/esrgan-slim/models/x4/model.json").write_text(json.dumps(damaged))
    Path("node_modules/@tensorflow/tfjs-node").mkdir(parents=True)
    result, _, said = evaluated("suite", "--system", "bicubic", "upscalerjs-slim", *OFFLINE)
    assert result["suites"]["suite"]["bicubic"]["n"] == 3
    assert result["systems"]["upscalerjs-slim"]["skipped"]
    assert "upscalerjs-slim is skipped" in said
    assert "Traceback" not in said


def test_what_was_made_is_not_made_again_and_what_changed_is(suite):
    first, _, _ = evaluated("suite", "--system", logging(), "--limit", "2", *OFFLINE)
    warm_up = 1
    assert Path("log").read_text().count("made") == 2 + warm_up
    second, _, _ = evaluated("suite", "--system", logging(), *OFFLINE)
    assert Path("log").read_text().count("made") == 3 + 2 * warm_up
    assert second["images"]["suite"]["0.png"] == first["images"]["suite"]["0.png"]
    assert (first["suites"]["suite"]["tool"]["n"], second["suites"]["suite"]["tool"]["n"]) == (2, 3)
    Image.fromarray(photograph(32, 24)).save(suite / "LR" / "0.png")
    evaluated("suite", "--system", logging(), *OFFLINE)
    assert Path("log").read_text().count("made") == 4 + 3 * warm_up


def test_times_of_different_runs_are_told_apart_and_again_times_all_in_one(suite):
    words, sentence = ["suite", "--limit", "2", *OFFLINE], "Times come from different runs"
    first, printed, _ = evaluated(*words, "--system", logging())
    assert (first["times_mixed"], sentence in printed) == (False, False)
    mixed, printed, _ = evaluated(*words, "--system", logging(), "bicubic", "--html", "report.html")
    assert (mixed["times_mixed"], sentence in printed, sentence in Path("report.html").read_text()) == (True, True, True)
    (tool,), (bicubic,) = (mixed["systems"][name]["timed_in"] for name in ("tool", "bicubic"))
    assert first["systems"]["tool"]["timed_in"] == [tool]
    assert tool < bicubic
    again, printed, _ = evaluated(*words, "--system", logging(), "bicubic", "--again")
    assert (again["times_mixed"], sentence in printed) == (False, False)
    assert again["systems"]["tool"]["timed_in"] == again["systems"]["bicubic"]["timed_in"] > [bicubic]
    assert Path("log").read_text().count("made") == 2 * (2 + 1)  # with the warm-up; the second run made nothing
    assert again["suites"]["suite"]["tool"]["psnr"] == first["suites"]["suite"]["tool"]["psnr"]
    more = evaluated("suite", "--system", logging(), "bicubic", *OFFLINE)[0]  # as a run that goes on
    assert more["times_mixed"] is False
    assert len(more["systems"]["tool"]["timed_in"]) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals are for Unix")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_was_stopped_goes_on_where_it_was(suite, how, code):
    words = ["evaluate", "suite", "--system", logging(), *OFFLINE, "--threads", "1", "--json", "result.json"]
    running = subprocess.Popen([*COMMAND, *words], env=ENVIRONMENT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(Path("cache").rglob("scores/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(how)
    said = running.communicate(timeout=30)[1].decode()
    assert running.returncode == code
    assert ("run the same command to resume" in said) == (how == signal.SIGINT)
    assert not Path("result.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in Path("cache").rglob("*.json")}
    assert kept
    result, _, _ = evaluated("suite", "--system", logging(), *OFFLINE)
    assert result["suites"]["suite"]["tool"]["n"] == 3
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_results_made_elsewhere_are_scored_and_have_no_cost(suite):
    for index in range(3):
        Path("theirs").mkdir(exist_ok=True)
        Image.open(suite / "HR" / f"{index}.png").save(f"theirs/{index}_x4.png")
    result, _, _ = evaluated("suite", "--system", "theirs=folder:theirs", *OFFLINE)
    row = result["suites"]["suite"]["theirs"]
    assert (row["psnr"], row["ssim"], row["seconds"]) == (100, pytest.approx(1), None)
    assert result["systems"]["theirs"]["seconds_per_megapixel"] is None


def test_a_blind_suite_is_made_and_scored(suite):
    done = edgesr_here("data", "degrade", "suite/HR", "blind", "--seed", "3")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"blind: 3 of 3 pictures\n", b"")
    result, _, _ = evaluated("suite", "blind", "--system", "bicubic", *OFFLINE)
    assert result["suites"]["blind"]["bicubic"]["psnr"] < result["suites"]["suite"]["bicubic"]["psnr"]
    assert "is not an empty folder" in error_of("data", "degrade", "suite/HR", "blind", here=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder, and no known suite"),
        (["Urban100"], "Urban100 not found: get it from"),
        (["suite", "--system", "bicubik"], "did you mean bicubic?"),
        (["suite", "--system", "bicubic", "bicubic"], "duplicate system name 'bicubic'"),
        (["suite", "suite"], "duplicate suite name 'suite'"),
        (["suite", "--metrics", "psnrr"], "unknown metric 'psnrr': choose from psnr"),
        (["suite", "--weights", "nowhere"], "--weights nowhere: no such folder"),
        (["suite", "--json", "nowhere/result.json"], "the folder nowhere does not exist"),
        (["suite", "--json", "precious.json"], "exists and is not the result of an earlier run"),
        (["suite", "--cache", "precious.json"], "--cache precious.json: cannot be used as a folder"),
        (["suite", "--limit", "0"], "'0' is not a whole number of 1 or more"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(suite, words, message):
    Path("precious.json").write_text('{"mine": 1}')
    assert message in error_of("evaluate", *words, here=True)
    assert Path("precious.json").read_text() == '{"mine": 1}'
