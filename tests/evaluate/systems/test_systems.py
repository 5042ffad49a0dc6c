"""Systems by their names on the command line, and what the simple ones do."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import photograph
from PIL import Image

from edgesr import Upscaler
from edgesr.errors import EdgesrError, UsageError
from edgesr.evaluate.systems import Place, parse
from edgesr.evaluate.unavailable import Unavailable
from edgesr.presets import list_models, weights_path

HERE = Place("suite", "a.png")
DOUBLE = """
import sys
from PIL import Image
image = Image.open(sys.argv[1])
image.resize((4 * image.width, 4 * image.height), Image.Resampling.NEAREST).save(sys.argv[2])
"""


def program(tmp_path: Path, text: str = DOUBLE) -> str:
    """A command line that runs `text` on {input} and {output}."""
    script = tmp_path / "tool.py"
    script.write_text(text)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{input}} {{output}}"


def facts(spec: str):
    return parse(spec).system.facts()


def made(spec: str, lr: np.ndarray, place: Place = HERE) -> np.ndarray:
    return parse(spec).system.load(1)(lr, place)


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("bicubic", "bicubic", "bicubic"),
        ("edgesr:tiny:fidelity=1", "edgesr:tiny:fidelity=1", "edgesr:tiny:fidelity=1"),
        ("true=edgesr:tiny:fidelity=1", "true", "edgesr:tiny:fidelity=1"),
        ("upscalerjs-slim:some/dir", "upscalerjs-slim:some/dir", "upscalerjs-slim:some/dir"),
        ("tool=command:x --in={input} {output}", "tool", "command:x --in={input} {output}"),
    ],
)
def test_names_and_spellings(text, name, spec):
    assert parse(text)[:2] == (name, spec)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bicubik", "did you mean bicubic"),
        ("upscalerjs-slimm", "did you mean upscalerjs-slim"),
        ("folder:", "write one of"),
        ("edgesr:huge", "unknown model 'huge'"),
        ("edgesr:tiny:fidelity=lots", "edgesr:PRESET"),
        ("command:tool {input}", "must contain {output}"),
        ("command:tool '{input} {output}", "quotation"),
    ],
)
def test_a_wrong_spelling_says_what_is_right(text, words):
    with pytest.raises(UsageError, match=words):
        parse(text)


def test_interpolation_is_pillows():
    lr = photograph(9, 14)
    for name, resampling in {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}.items():
        assert np.array_equal(made(name, lr), np.asarray(Image.fromarray(lr).resize((56, 36), resampling)))
    assert facts("bicubic").fingerprint != facts("lanczos").fingerprint


def test_our_own_model_is_what_upscale_uses():
    lr = photograph(20, 24)
    assert np.array_equal(made("edgesr:tiny", lr), Upscaler("tiny")(lr, sharpness=0))  # the network alone
    assert np.array_equal(made("edgesr:tiny:sharpness=0.4", lr), Upscaler("tiny")(lr))
    tiny = next(model for model in list_models() if model["name"] == "tiny")
    told = facts("edgesr:tiny")
    assert (told.parameters, told.gflops) == (tiny["parameters"]["total"], tiny["gflops"]["total"])
    assert told.fingerprint != facts("edgesr:tiny@openvino").fingerprint
    sharp = facts("edgesr:tiny:sharpness=0.4")
    assert "sharpness 0.4" in sharp.description and sharp.fingerprint != told.fingerprint
    eight = facts("edgesr:tiny:precision=int8")
    assert eight.fingerprint != told.fingerprint
    assert eight.description.endswith(", int8 (" + told.description.rpartition(" (")[2])
    assert np.array_equal(made("edgesr:tiny:precision=int8", lr), Upscaler("tiny", precision="int8")(lr, sharpness=0))
    with pytest.raises(Unavailable, match="only has fp32"):
        facts("edgesr:tiny@torch:precision=int8")
    for spec in ("edgesr:paper", *(["edgesr:tiny:fidelity=1"] if not tiny["fidelity"] else [])):
        with pytest.raises(Unavailable, match="has no"):
            facts(spec)
    with pytest.raises(Unavailable, match="unknown engine 'nosuch'"):
        facts("edgesr:tiny@nosuch")


def test_results_of_others_are_found_by_suite_and_name(tmp_path):
    lr = photograph(8, 8)
    for number, name in enumerate(("results/a_4x.jpg", "results/suite/a.png", "results/other/b_out.png")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, number, number)).save(path)
    spec = f"folder:{tmp_path / 'results'}"
    assert made(spec, lr).max() == 1
    assert made(spec, lr, Place("elsewhere", "a.png")).max() == 0
    assert made(spec, lr, Place("other", "b.jpg")).max() == 2
    with pytest.raises(EdgesrError, match="no picture called c"):
        made(spec, lr, Place("suite", "c.png"))
    before = facts(spec)
    assert before.timed is False
    Image.new("RGB", (9, 9)).save(tmp_path / "results" / "suite" / "a.png")
    assert facts(spec).fingerprint != before.fingerprint
    with pytest.raises(Unavailable, match="no such folder"):
        facts(f"folder:{tmp_path / 'nowhere'}")


def test_any_program_reads_the_input_and_writes_the_output(tmp_path):
    lr = photograph(8, 6)
    spec = f"command:{program(tmp_path)}"
    loaded = parse(spec).system.load(1)
    assert np.array_equal(loaded(lr, HERE), lr.repeat(4, 0).repeat(4, 1))
    before = facts(spec).fingerprint
    program(tmp_path, DOUBLE + "# changed")
    assert facts(spec).fingerprint != before
    with pytest.raises(Unavailable, match="'nosuchtool' is not found"):
        facts("command:nosuchtool {input} {output}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise SystemExit('the model is missing')", "ended with code 1: the model is missing"),
        ("pass", "wrote no output"),
        ("import sys; open(sys.argv[2], 'w').write('nonsense')", "wrote an invalid picture"),
    ],
)
def test_a_program_that_fails_is_told_of(tmp_path, text, words):
    with pytest.raises(EdgesrError, match=words):
        made(f"command:{program(tmp_path, text)}", photograph(8, 6))


def test_weights_of_ones_own_take_the_place_of_the_released_ones(tmp_path):
    """Here the released ones under another name: the same pixels, and another description."""
    file = tmp_path / "mine.onnx"
    file.write_bytes(weights_path("tiny").read_bytes())
    lr, spec = photograph(20, 24), f"edgesr:tiny:weights={file}"
    assert np.array_equal(made(spec, lr), Upscaler("tiny")(lr, sharpness=0))
    assert str(file) in facts(spec).description
    with pytest.raises(Unavailable, match=r"nowhere.onnx: cannot be read"):
        facts("edgesr:tiny:weights=nowhere.onnx")
    with pytest.raises(UsageError, match=r"nowhere.onnx: no such file"):
        Upscaler("tiny", weights="nowhere.onnx")
    with pytest.raises(UsageError, match="one form"):
        Upscaler("tiny", weights=file, fidelity=0.5)
