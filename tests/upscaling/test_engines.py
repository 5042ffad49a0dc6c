"""Engines: each mistake is one line that says what to do, and all engines compute the same picture."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from command_line import ENVIRONMENT

from edgesr.errors import EdgesrError, UsageError, install_command
from edgesr.presets import get_preset, weights_path
from edgesr.upscaling import engines
from edgesr.upscaling.engines import available_cores, load_engine

WEIGHTS = weights_path("tiny")
ENGINES = ["onnxruntime", "openvino", "torch"]  # those that a processor alone can run
DEVICES = [name for name, kind in engines.ENGINES.items() if kind.provider not in (None, "CPUExecutionProvider")]


def tile(height=24, width=40):
    rng = np.random.default_rng(0)
    lr = rng.random((1, 3, height, width), np.float32)
    return lr, rng.standard_normal((1, get_preset("tiny").latent_channels, height // 2, width // 2), np.float32)


def refusal(kind, *arguments):
    with pytest.raises(kind) as caught:
        load_engine(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_engine_is_refused_with_the_known_ones():
    message = refusal(UsageError, "tensorrt", WEIGHTS, 1)
    assert "'tensorrt'" in message
    assert all(name in message for name in ("auto", *engines.ENGINES))


@pytest.mark.parametrize(
    ("name", "install"), [("openvino", install_command("openvino")), ("onnxruntime", "pip install onnxruntime")]
)
def test_a_missing_engine_says_what_to_install(monkeypatch, name, install):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"edgesr.upscaling.engines.{name}", raising=False)
    assert install in refusal(UsageError, name, WEIGHTS, 1)


@pytest.mark.parametrize("threads", [0, -2, 1.5, "2"])
def test_a_wrong_number_of_threads_is_refused(threads):
    assert str(threads) in refusal(UsageError, "auto", WEIGHTS, threads)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("damage", ["cut", "text", "empty", "missing"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    pytest.importorskip(name)
    path = tmp_path / "model.onnx"
    if damage != "missing":
        path.write_bytes({"cut": WEIGHTS.read_bytes()[:100_000], "text": b"not a model", "empty": b""}[damage])
    assert str(path) in refusal(EdgesrError, name, path, 1)


@pytest.mark.parametrize("name", ENGINES)
def test_the_description_says_what_is_in_use(name):
    pytest.importorskip(name)
    assert load_engine(name, WEIGHTS, 1).description.startswith(f"{name} (")
    assert load_engine(name, WEIGHTS, 1).description.endswith("1 thread)")
    threads = "2 threads" if available_cores() > 1 else "1 thread"
    assert load_engine(name, WEIGHTS, 2).description.endswith(f"{threads})")


def test_auto_is_onnxruntime_on_every_core(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing was measured
    description = load_engine("auto", WEIGHTS, None).description
    assert description.startswith("onnxruntime (CPUExecutionProvider, ")
    assert f" {available_cores()} thread" in description


@pytest.mark.parametrize("name", ENGINES)
def test_a_tile_becomes_four_times_larger_and_stays_in_range(name):
    pytest.importorskip(name)
    engine = load_engine(name, WEIGHTS, 1)
    for height, width in ((24, 40), (4, 4), (40, 24)):
        hr = engine(*tile(height, width))
        assert hr.shape == (1, 3, 4 * height, 4 * width)
        assert hr.dtype == np.float32
        assert hr.min() >= 0
        assert hr.max() <= 1


@pytest.mark.parametrize("name", ENGINES)
def test_a_result_is_not_overwritten_by_the_next(name):
    pytest.importorskip(name)
    engine = load_engine(name, WEIGHTS, 1)
    lr, eps = tile()
    first = engine(lr, eps)
    kept = first.copy()
    engine(1 - lr, eps)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("fallback", ["", "+cpu"])
def test_a_device_that_is_not_there_is_refused_and_never_the_cpu_in_silence(name, fallback):
    if name in engines.installed():
        pytest.skip(f"{name} is there")
    message = refusal(UsageError, name + fallback, WEIGHTS, 1)
    assert f"the engine '{name}' needs an onnxruntime with" in message
    assert engines.ENGINES[name].install in message


@pytest.mark.parametrize("fallback", [False, True])
def test_a_provider_that_falls_back_is_refused_unless_that_is_allowed(monkeypatch, fallback):
    """onnxruntime drops a device that it knows but cannot open, and computes on the CPU."""
    onnxruntime = pytest.importorskip("onnxruntime")
    providers = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    if fallback:
        engine = load_engine("cuda+cpu", WEIGHTS, 1)
        assert engine.description.startswith("onnxruntime (CPUExecutionProvider")  # what is really in use
        assert engine(*tile()).shape == (1, 3, 96, 160)
    else:
        assert "add +cpu to the engine's name" in refusal(UsageError, "cuda", WEIGHTS, 1)


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_another_engine_agrees_with_onnxruntime(name):
    pytest.importorskip(name)
    lr, eps = tile(64, 48)
    ours, theirs = (load_engine(engine, WEIGHTS, 1)(lr, eps) for engine in ("onnxruntime", name))
    assert np.abs(ours - theirs).max() <= 2e-3


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_too_large_a_window_is_a_memory_error_and_prints_nothing():
    """The command line answers it with the advice to use smaller tiles."""
    code = f"""
import resource
from pathlib import Path
import numpy as np
from edgesr.upscaling.engines import load_engine
engine = load_engine("onnxruntime", Path({str(WEIGHTS)!r}), 1)
lr, eps = np.zeros((1, 3, 1024, 1024), np.float32), np.zeros((1, 16, 512, 512), np.float32)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
try:
    engine(lr, eps)
except MemoryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "1024x1024" in done.stdout
    assert done.stderr == ""


def test_onnxruntime_keeps_no_record_of_its_user(tmp_path):
    """With telemetry it makes an identifier of the device and a database of events in the user's cache."""
    home = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME")}
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "ORT_DISABLE_TELEMETRY"} | home
    program = "import edgesr; edgesr.Upscaler(engine='onnxruntime')"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not list(tmp_path.rglob("*"))
