"""The verbs beside `upscale`, as people run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, edgesr_, edgesr_here

import edgesr.cli
import edgesr.evaluate.bench
import edgesr.presets
from edgesr.errors import install_command


def test_models() -> None:
    models = json.loads(edgesr_("models", "--json").stdout)
    assert [model["name"] for model in models] == ["tiny", "small", "paper"]
    for model in models:
        assert set(model) == {"name", "parameters", "gflops", "weights", "version", "fidelity"}
        for figures in (model["parameters"], model["gflops"]):
            assert set(figures) == {"encoder", "unet", "decoder", "total"}
    assert models[0]["weights"] is True
    assert [model["fidelity"] for model in models[1:]] == [False, False]
    table = edgesr_("models").stdout.decode().splitlines()
    assert [line.split()[0] for line in table[1:]] == ["model", "tiny", "small", "paper"]
    tiny = table[2].split()
    assert tiny[1] == "yes"
    assert tiny[2] == models[0]["version"]
    assert tiny[2].startswith("tiny-")
    assert tiny[3] == ("yes" if models[0]["fidelity"] else "no")
    figures = [models[0]["parameters"][part] / 1e6 for part in table[1].split()[4:8]]
    figures += [models[0]["gflops"][part] for part in table[1].split()[8:]]
    assert [float(word) for word in tiny[4:]] == pytest.approx(figures, abs=0.006)


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
    rows = [line.split()[:4] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows[0] == ["model", "weights", "version", "fidelity"]
    assert rows[1:] == [["tiny", "yes", "-", "yes"], ["small", "yes", "-", "no"], ["paper", "no", "-", "no"]]


@pytest.fixture
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without torch, whose import for the limit takes longer than all that is measured."""
    monkeypatch.setattr(edgesr.evaluate.bench, "find_spec", lambda name: None)


def test_bench() -> None:
    words = ["--threads", "1", "--repeat", "2", "--against", "bicubic", "--json"]
    report = json.loads(edgesr_("bench", "--size", "40x24", *words).stdout)
    assert (report["model"], report["size"], report["scale"], report["threads"]) == ("tiny", "40x24", 4, 1)
    assert 0 < report["milliseconds"]["min"] <= report["milliseconds"]["median"]
    assert report["peak_rss_mb"] is None or 20 < report["peak_rss_mb"] < 5000
    assert report["gflops"] > 0
    assert report["gflops_per_second"] == pytest.approx(report["gflops"] / report["milliseconds"]["median"] * 1e3, 0.05)
    ours, bicubic = report["systems"]
    assert report["peak_rss_mb"] == ours["peak_rss_mb"]
    assert set(report["machine"]) == {"cpu", "cores", "system", "python", "onnxruntime"}
    assert bicubic["share_of_limit"] is None  # nobody counts its operations
    limit = report["limit_gflops_per_second"]["1"]
    if limit is not None:
        assert ours["share_of_limit"] == pytest.approx(ours["gflops_per_second"] / limit, 0.05)


def test_bench_measures_engines_threads_and_peers_in_turns(no_limit) -> None:
    pytest.importorskip("openvino")
    words = ["--engine", "onnxruntime", "openvino", "--threads", "1", "2", "--against", "bicubic"]
    report = json.loads(edgesr_here("bench", "--size", "16x16", "--repeat", "1", *words, "--json").stdout)
    names = ["edgesr:tiny@onnxruntime", "edgesr:tiny@openvino", "bicubic"]
    assert [(each["system"], each["threads"]) for each in report["systems"]] == [(n, t) for t in (1, 2) for n in names]
    assert report["systems"][0]["times_the_first"] == 1
    assert report["systems"][2]["times_the_first"] < 1  # bicubic is faster than any network


def test_bench_without_torch_has_no_limit_and_says_so() -> None:
    script = "import sys; sys.modules['torch'] = None; import importlib.util as u; f = u.find_spec\n"
    script += (
        "u.find_spec = lambda name, *a: None if name == 'torch' else f(name, *a)\nfrom edgesr.cli import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", script, "bench", "--size", "16x16", "--repeat", "1"]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert "not measured (needs torch)" in done.stdout
    assert "median ms" in done.stdout


def test_the_fastest_engine_becomes_auto(tmp_path, monkeypatch, no_limit) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["bench", "--size", "16x16", "--repeat", "1"]
    assert b"--engine auto now selects openvino" in edgesr_here(*command, "--engine", "openvino", "--choose").stderr
    assert json.loads(edgesr_here(*command, "--json").stdout)["engine"] == "openvino"
    # Another version than the one that was measured, or a broken file: the default again.
    for text in ('{"engine": "openvino", "version": "openvino 0"}', "[]", "{"):
        (tmp_path / "edgesr" / "engine.json").write_text(text)
        assert json.loads(edgesr_here(*command, "--json").stdout)["engine"] == "onnxruntime"


def test_bench_measures_every_precision_that_is_there_and_stores_the_fastest(tmp_path, monkeypatch, no_limit) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["bench", "--size", "16x16", "--repeat", "1", "--json"]
    done = edgesr_here(*command, "--engine", "onnxruntime", "--precision", "all", "--choose")
    report = json.loads(done.stdout)
    names = {each["system"]: each["milliseconds"]["median"] for each in report["systems"]}
    assert list(names) == ["edgesr:tiny@onnxruntime", "edgesr:tiny@onnxruntime:precision=int8"]
    fastest = "int8" if min(names, key=lambda name: names[name]).endswith("int8") else "fp32"
    assert f"--engine auto now selects onnxruntime in {fastest}" in done.stderr.decode()
    chosen = json.loads(edgesr_here(*command).stdout)
    assert (chosen["engine"], chosen["precision"]) == ("onnxruntime", fastest)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--precision", "bf16", "--engine", "onnxruntime"], "the engine 'onnxruntime' only has fp32, int8"),
        (["--engine", "abacus"], "unknown engine 'abacus'"),
        (["--against", "ncnn:nowhere"], "nowhere.param: no such file"),
        (["--against", "folder:."], "precomputed results cannot be timed"),
        (["--model", "small"], "no released weights"),
    ],
)
def test_bench_says_what_cannot_be_measured(words, hint) -> None:
    done = edgesr_here("bench", *words)
    assert done.returncode == 2
    assert hint in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_training_without_torch_names_the_extra() -> None:
    script = "import sys; sys.modules['torch'] = None; from edgesr.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "train", "recipe.toml", "--out", "run"]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"edgesr: training needs the package 'torch': {install_command('train')}\n"
