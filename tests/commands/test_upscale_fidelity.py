"""`edgesr upscale --fidelity` where both forms of a model ship: other pixels, and the report says which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgesr.cli
import edgesr.presets

pytest.importorskip("onnx")
from two_forms import make


def test_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    make(tmp_path)
    monkeypatch.setattr(edgesr.presets, "WEIGHTS", tmp_path)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save("a.png")
    pixels = []
    for words, fidelity in ([], 0), (["--fidelity", "0"], 0), (["--fidelity", "1"], 1):
        assert edgesr.cli.main(["upscale", "a.png", "--overwrite", "--json", *words]) == 0
        assert json.loads(capfd.readouterr().out)["fidelity"] == fidelity
        pixels.append(Path("a_4x.png").read_bytes())
    assert pixels[0] == pixels[1] != pixels[2]
    assert edgesr.cli.main(["upscale", "a.png", "--overwrite", "--fidelity", "0.25"]) == 0
    assert capfd.readouterr().err.startswith("model tiny at fidelity 0.25, engine onnxruntime (")
