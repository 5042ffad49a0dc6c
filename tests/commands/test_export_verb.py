"""`edgesr export` as people call it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_, error_of

from edgesr.errors import install_command

pytest.importorskip("torch")
pytest.importorskip("onnxscript")


def test_it_prints_how_closely_the_file_follows_torch(tmp_path):
    done = edgesr_("export", "tiny", "--format", "onnx", "-o", "out", "--size", "32x32", "--precision", "fp16", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"out: onnx fp16, 2.5 MB, differs from torch by at most" in done.stdout
    assert b"PSNR" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tiny.onnx", "README.md", "export.json"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tiny", "--format", "tflite"], "unknown format 'tflite': choose one of onnx, openvino, litert"),
        (["tiny", "--format", "onnx", "--size", "huge"], "--size"),
        (["tiny", "--format", "onnx", "--fidelity", "2"], "fidelity"),
    ],
)
def test_a_mistake_is_one_line(words, expected, tmp_path):
    assert expected in error_of("export", *words, "-o", str(tmp_path / "out"), here=True)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path):
    """A module ahead of the package on the path plays a machine without it."""
    (tmp_path / "coremltools.py").write_text("raise ModuleNotFoundError(\"No module named 'coremltools'\", name='coremltools')")
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])}
    words = ["export", "tiny", "--format", "coreml", "-o", str(tmp_path / "out")]
    done = subprocess.run([*COMMAND, *words], capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        f"edgesr: the format 'coreml' needs the package 'coremltools': {install_command('export,coreml')}"
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_export_leaves_nothing_under_the_final_name(stop, tmp_path):
    words = ["export", "tiny", "--format", "onnx", "-o", "out"]
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(stop)
    assert process.wait(60) != 0
    assert not (tmp_path / "out").exists()
    if stop is signal.SIGTERM:
        assert not list(tmp_path.iterdir())
