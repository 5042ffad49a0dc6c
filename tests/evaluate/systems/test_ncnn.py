"""ncnn networks: a small one written here, whose result is known, and the real peers where they lie."""

from __future__ import annotations

import os
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from pictures import difference, photograph
from PIL import Image

from edgesr.errors import EdgesrError, install_command
from edgesr.evaluate.metrics import psnr_rgb
from edgesr.evaluate.systems import Place, ncnn, parse
from edgesr.evaluate.unavailable import Unavailable
from edgesr.pretrained import ncnn_files

pytest.importorskip("ncnn")

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[4] / "shared"))
HERE = Place("suite", "a.png")
NEAREST = """7767517
2 2
Input            in                       0 1 data
Interp           up                       1 1 data output 0=1 1=4.0 2=4.0
"""


def network(tmp_path: Path, text: str, name: str = "net") -> Path:
    (tmp_path / f"{name}.param").write_text(text)
    (tmp_path / f"{name}.bin").touch()
    return tmp_path / name


def made(spec: str, lr: np.ndarray) -> np.ndarray:
    system = parse(spec).system
    assert system.facts().fingerprint
    return system.load(1)(lr, HERE)


def test_a_pair_of_files_is_found_by_any_of_its_names(tmp_path):
    lr = photograph(6, 9)
    path = network(tmp_path, NEAREST)
    for name in (path, f"{path}.param", f"{path}.bin"):
        assert np.array_equal(made(f"ncnn:{name}", lr), lr.repeat(4, 0).repeat(4, 1))


def test_large_pictures_are_cut_and_put_together_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ncnn, "WINDOW_PIXELS", 48 * 48)
    monkeypatch.setattr(ncnn, "MARGIN", 4)
    lr = photograph(70, 90)
    assert np.array_equal(made(f"ncnn:{network(tmp_path, NEAREST)}", lr), lr.repeat(4, 0).repeat(4, 1))


def test_the_cost_of_a_network_that_nobody_counted_is_unknown(tmp_path):
    told = parse(f"ncnn:{network(tmp_path, NEAREST)}").system.facts()
    assert (told.parameters, told.gflops) == (None, None)
    assert told.fingerprint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "cannot load"),
        (NEAREST.replace("2 2", "3 3") + "Input other 0 1 more\n", "one input and one output"),
        (NEAREST.replace("4.0", "2.0"), "it is not a 4x RGB upscaler"),
        (NEAREST.replace("Interp", "Nosuch"), "cannot load"),
    ],
)
def test_a_network_that_will_not_do_is_told_of(tmp_path, text, words):
    with pytest.raises(EdgesrError, match=words):
        made(f"ncnn:{network(tmp_path, text)}", photograph(8, 8))


def test_files_that_are_missing_are_named(tmp_path):
    network(tmp_path, NEAREST).with_suffix(".bin").unlink()
    with pytest.raises(Unavailable, match=r"net\.bin: no such file"):
        parse(f"ncnn:{tmp_path / 'net'}").system.facts()


@pytest.mark.parametrize(
    ("name", "parameters", "gflops"), [("RealESRGAN_General_x4_v3", 1_213_296, 39.6), ("4xLSDIRCompactC3", 621_424, 20.3)]
)
def test_a_real_peer_enlarges_a_photograph(name, parameters, gflops):
    path = SHARED / "peers" / name
    if not path.with_suffix(".param").is_file():
        pytest.skip(f"peer {name} not found in {SHARED}")
    told = parse(f"ncnn:{path}").system.facts()
    assert told.parameters == parameters
    assert told.gflops == pytest.approx(gflops, abs=0.1)
    _enlarges(f"ncnn:{path}")


@pytest.mark.parametrize(
    ("name", "parameters", "gflops"), [("realesr-animevideov3", 621_424, 20.3), ("realesrgan-x4plus", 16_697_987, 587.4)]
)
def test_a_peer_in_the_wheel_enlarges_a_photograph(name, parameters, gflops):
    try:
        metadata.distribution(ncnn_files.WHEEL)
    except metadata.PackageNotFoundError:
        pytest.skip(f"the package {ncnn_files.WHEEL} is not installed")
    told = parse(name).system.facts()
    assert told.parameters == parameters
    assert told.gflops == pytest.approx(gflops, abs=0.1)
    _enlarges(name)


def test_without_the_wheel_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(ncnn_files, "WHEEL", "no-such-package")
    with pytest.raises(Unavailable, match=re.escape(install_command("peers"))):
        parse("realesrgan-x4plus").system.facts()


def _enlarges(spec: str) -> None:
    """The result of a 32x32 picture is the same picture, 4 times as large, and no mere interpolation."""
    hr = photograph(128, 128)
    lr = np.asarray(Image.fromarray(hr).resize((32, 32), Image.Resampling.BICUBIC))
    bicubic = np.asarray(Image.fromarray(lr).resize((128, 128), Image.Resampling.BICUBIC))
    out = made(spec, lr)
    assert psnr_rgb(out, hr) > psnr_rgb(bicubic, hr) - 3
    assert difference(out, bicubic) > 10
