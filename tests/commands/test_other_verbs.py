"""The verbs beside `upscale`, as people run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, edgesr_

import edgesr.cli
import edgesr.presets


def test_models() -> None:
    models = json.loads(edgesr_("models", "--json").stdout)
    assert [model["name"] for model in models] == ["tiny", "small", "paper"]
    for model in models:
        assert set(model) == {"name", "parameters", "gflops", "weights", "fidelity"}
        for figures in (model["parameters"], model["gflops"]):
            assert set(figures) == {"encoder", "unet", "decoder", "total"}
    assert models[0]["weights"] is True
    assert [model["fidelity"] for model in models[1:]] == [False, False]
    table = edgesr_("models").stdout.decode().splitlines()
    assert [line.split()[0] for line in table[1:]] == ["model", "tiny", "small", "paper"]
    tiny = table[2].split()
    assert tiny[1] == "yes"
    assert tiny[2] == ("yes" if models[0]["fidelity"] else "no")
    figures = [models[0]["parameters"][part] / 1e6 for part in table[1].split()[3:7]]
    figures += [models[0]["gflops"][part] for part in table[1].split()[7:]]
    assert [float(word) for word in tiny[3:]] == pytest.approx(figures, abs=0.006)


def test_a_fidelity_form_that_ships_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tiny.onnx", "small.onnx", "tiny-fidelity.npz"):
        (tmp_path / name).touch()
    monkeypatch.setattr(edgesr.presets, "WEIGHTS", tmp_path)
    edgesr.cli.main(["models", "--json"])
    models = json.loads(capsys.readouterr().out)
    assert [(model["weights"], model["fidelity"]) for model in models] == [(True, True), (True, False), (False, False)]
    edgesr.cli.main(["models"])
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["model", "weights", "fidelity"], ["tiny", "yes", "yes"], ["small", "yes", "no"], ["paper", "no", "no"]]


def test_bench() -> None:
    report = json.loads(edgesr_("bench", "--size", "40x24", "--threads", "1", "--repeat", "2", "--json").stdout)
    assert (report["model"], report["size"], report["scale"], report["threads"]) == ("tiny", "40x24", 4, 1)
    assert 0 < report["milliseconds"]["min"] <= report["milliseconds"]["median"]
    assert report["peak_rss_mb"] is None or 20 < report["peak_rss_mb"] < 5000
    assert report["gflops"] > 0
    assert report["gflops_per_second"] == pytest.approx(report["gflops"] / report["milliseconds"]["median"] * 1e3, 0.05)
    assert set(report["machine"]) == {"cpu", "cores", "system", "python", "onnxruntime"}
    assert "ms" in edgesr_("bench", "--size", "16x16", "--repeat", "1").stdout.decode()


def test_training_without_torch_names_the_extra() -> None:
    script = "import sys; sys.modules['torch'] = None; from edgesr.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "train", "recipe.toml", "--out", "run"]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "edgesr: training needs the package 'torch': pip install 'edgesr[train]'\n"
