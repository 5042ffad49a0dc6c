"""UpscalerJS: why it cannot run here, or, where EDGESR_UPSCALERJS names a folder with its npm packages, that it runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pictures import photograph
from PIL import Image

from edgesr.evaluate.metrics import psnr_rgb
from edgesr.evaluate.systems import Place, parse
from edgesr.evaluate.unavailable import Unavailable

PACKAGES = os.environ.get("EDGESR_UPSCALERJS", "")


def test_without_node_or_packages_the_reason_says_what_to_install(tmp_path, monkeypatch):
    system = parse(f"upscalerjs-medium:{tmp_path}").system
    if shutil.which("node"):
        with pytest.raises(Unavailable, match=r"npm install @upscalerjs/esrgan-medium @tensorflow/tfjs@4\.11"):
            system.facts()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="Node is not installed"):
        system.facts()


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_the_cost_is_that_of_the_convolutions(tmp_path):
    def layer(kind: str, name: str, *sources: str) -> dict:
        return {
            "class_name": kind,
            "name": name,
            "inbound_nodes": [[[source, 0, 0, {}] for source in sources]] if sources else [],
        }

    package = tmp_path / "node_modules" / "@upscalerjs" / "esrgan-slim"
    graph = [layer("InputLayer", "in"), layer("Conv2D", "c", "in"), layer("UpSampling2D", "u", "c"), layer("Conv2D", "d", "u")]
    shapes = {"c/kernel": [3, 3, 3, 8], "c/bias": [8], "d/kernel": [1, 1, 8, 3], "d/bias": [3]}
    network = {
        "modelTopology": {"model_config": {"config": {"layers": graph}}},
        "weightsManifest": [{"weights": [{"name": name, "shape": shape} for name, shape in shapes.items()]}],
    }
    (package / "models" / "x4").mkdir(parents=True)
    (package / "models" / "x4" / "model.json").write_text(json.dumps(network))
    (package / "package.json").write_text('{"version": "1.0.0"}')
    (tmp_path / "node_modules" / "@tensorflow" / "tfjs-backend-wasm").mkdir(parents=True)
    told = parse(f"upscalerjs-slim:{tmp_path}").system.facts()
    assert told.parameters == 216 + 8 + 24 + 3
    assert told.gflops == pytest.approx(2 * (216 + 24 * 16) * 128**2 / 1e9, abs=1e-3)
    for damaged in ("nonsense", "{}", "[]"):
        (package / "package.json").write_text(damaged)
        with pytest.raises(Unavailable, match=r"esrgan-slim: cannot be read .*: reinstall it"):
            parse(f"upscalerjs-slim:{tmp_path}").system.facts()


@pytest.mark.skipif(not PACKAGES, reason="EDGESR_UPSCALERJS names no folder with node_modules")
def test_a_real_model_enlarges_a_photograph():
    hr = photograph(128, 128)
    lr = np.asarray(Image.fromarray(hr).resize((32, 32), Image.Resampling.BICUBIC))
    bicubic = np.asarray(Image.fromarray(lr).resize((128, 128), Image.Resampling.BICUBIC))
    system = parse(f"upscalerjs-slim:{Path(PACKAGES)}").system
    assert system.facts().parameters == 233_451
    loaded = system.load(1)
    assert psnr_rgb(loaded(lr, Place("suite", "a.png")), hr) > psnr_rgb(bicubic, hr) - 1
    assert loaded(lr[:20], Place("suite", "b.png")).shape == (80, 128, 3)
    assert loaded.peak_rss_mb() is None or loaded.peak_rss_mb() > 20
