"""`precision`: what "auto" selects on each processor, what is refused, and that every precision gives the same bytes with every tile."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import edgesr_, error_of
from pictures import photograph
from PIL import Image

from edgesr import Upscaler, presets
from edgesr.errors import EdgesrError, UsageError
from edgesr.presets import WEIGHTS, int8_path
from edgesr.upscaling import engines
from edgesr.upscaling.engines import choice, processor, select

# As Linux lists them, shortened.
HASWELL = "fma avx2"
CASCADE_LAKE = "fma avx2 avx512f avx512_vnni"
SAPPHIRE_RAPIDS = "fma avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8"


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Replace the processor's list of abilities, and forget what was measured on this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def replace(flags, machine="x86_64", openvino=True):
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor\t: 0\n{'flags' if machine == 'x86_64' else 'Features'}\t: {flags}\n")
        monkeypatch.setattr(processor, "_CPUINFO", info)
        monkeypatch.setattr(processor.sys, "platform", "linux")
        monkeypatch.setattr(processor.platform, "machine", lambda: machine)
        monkeypatch.setattr(engines, "_can_run", lambda kind: openvino or kind.module != "openvino")
        processor._flags.cache_clear()

    yield replace
    processor._flags.cache_clear()


@pytest.mark.parametrize(
    ("flags", "machine", "openvino", "want"),
    [
        (HASWELL, "x86_64", True, ("onnxruntime", "fp32")),
        (CASCADE_LAKE, "x86_64", True, ("onnxruntime", "int8")),
        (SAPPHIRE_RAPIDS, "x86_64", False, ("onnxruntime", "int8")),
        (SAPPHIRE_RAPIDS, "x86_64", True, ("openvino", "bf16")),
        ("fp asimd asimddp", "aarch64", True, ("onnxruntime", "fp32")),  # nobody has measured it
    ],
)
def test_auto_is_what_was_measured_faster_on_such_a_processor(on, flags, machine, openvino, want):
    on(flags, machine, openvino)
    assert select("auto", "auto", int8=True) == want
    assert select("auto", "fp32", int8=True) == ("onnxruntime", "fp32")
    assert select("onnxruntime", "auto", int8=False) == ("onnxruntime", "fp32")


def test_what_was_measured_here_comes_first(on):
    on(SAPPHIRE_RAPIDS)
    engines.choose("onnxruntime", "int8")
    assert select("auto", "auto", int8=True) == ("onnxruntime", "int8")
    assert select("auto", "auto", int8=False) == ("onnxruntime", "fp32")
    assert select("auto", "bf16", int8=True) == ("openvino", "bf16")
    choice.write(choice.Choice("onnxruntime", "onnxruntime 0", "fp32"))  # another version than the one that was measured
    assert select("auto", "auto", int8=True) == ("openvino", "bf16")


@pytest.mark.parametrize(
    ("engine", "precision", "int8", "words"),
    [
        ("auto", "fp8", True, "unknown precision 'fp8': choose one of auto, fp32, bf16, int8"),
        ("onnxruntime", "bf16", True, "only has fp32, int8; use one of these, or --engine openvino"),
        ("torch", "int8", True, "only has fp32; use one of these, or --engine onnxruntime"),
        ("openvino", "bf16", True, "no bfloat16"),
        ("openvino", "int8", True, "without VNNI"),
        ("auto", "int8", False, "no weights in 8 bits"),
    ],
)
def test_a_precision_that_is_not_there_is_refused(on, engine, precision, int8, words):
    on(HASWELL)
    with pytest.raises(UsageError, match=words):
        select(engine, precision, int8=int8)


def test_the_gain_of_openvino_is_told_once_where_there_is_one(on):
    on(SAPPHIRE_RAPIDS)
    assert engines.hint() is None  # installed
    on(SAPPHIRE_RAPIDS, openvino=False)
    assert "openvino" in engines.hint()
    assert engines.hint() is None
    (choice.folder() / "hint").unlink()
    on(HASWELL, openvino=False)
    assert engines.hint() is None


@pytest.mark.parametrize("fidelity", [0, 1])
def test_int8_gives_the_same_bytes_with_every_tile_thread_count_and_run(fidelity):
    picture = photograph(117, 133)
    whole = Upscaler(precision="int8", fidelity=fidelity, threads=1)
    want = whole(picture)
    assert whole.precision == "int8"
    for options in ({"tile": 64}, {"tile": 37, "threads": 2}, {"tile": 16}):
        assert np.array_equal(Upscaler(precision="int8", fidelity=fidelity, engine="onnxruntime", **options)(picture), want)
    exact = Upscaler(precision="fp32", fidelity=fidelity, threads=1)(picture)
    change = np.abs(want.astype(float) - exact)
    assert 0 < change.mean() < 0.6
    assert np.percentile(change, 99.9) < 12


@pytest.mark.skipif(not processor.has("bfloat16"), reason="the processor has no bfloat16")
def test_bf16_gives_the_same_bytes_with_every_tile_and_run():
    pytest.importorskip("openvino")
    picture = photograph(117, 133)
    want = Upscaler(precision="bf16", threads=1)(picture)
    for tile in (64, 37):
        assert np.array_equal(Upscaler(precision="bf16", threads=1, tile=tile)(picture), want)


def test_weights_in_8_bits_cannot_be_mixed():
    with pytest.raises(UsageError, match=r"fidelity 0.5: .*use 0 or 1, or --precision fp32"):
        Upscaler(precision="int8", fidelity=0.5)
    assert Upscaler(fidelity=0.5, threads=1).precision in ("fp32", "bf16")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the released files in the place of the package's."""
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(presets, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_a_file_in_8_bits_of_another_version_is_refused_and_auto_does_without(package, on):
    path = package / "tiny-int8.onnx"
    path.write_bytes(path.read_bytes().replace(b"tiny-20", b"tiny-19"))
    with pytest.raises(EdgesrError, match=r"tiny-int8.onnx: has version tiny-19.*reinstall"):
        Upscaler(precision="int8")
    on(CASCADE_LAKE)
    assert Upscaler(threads=1).precision == "fp32"


def test_a_damaged_or_missing_file_in_8_bits_is_told(package):
    path = package / "tiny-int8.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(EdgesrError, match="checksum"):
        Upscaler(precision="int8")
    path.unlink()
    with pytest.raises(UsageError, match="no weights in 8 bits"):
        Upscaler(precision="int8")


def test_own_weights_have_the_precision_of_their_file():
    own = int8_path("tiny", fidelity=False)
    picture = photograph(20, 24)
    upscaler = Upscaler(weights=own, engine="onnxruntime", threads=1)
    assert upscaler.precision == "int8"
    assert np.array_equal(upscaler(picture), Upscaler(precision="int8", engine="onnxruntime", threads=1)(picture))
    with pytest.raises(UsageError, match="is in 8 bits: omit --precision"):
        Upscaler(weights=own, precision="fp32")
    with pytest.raises(UsageError, match="is not in 8 bits: make such a file"):
        Upscaler(weights=WEIGHTS / "tiny.onnx", precision="int8")


def test_the_command_tells_the_precision_and_keeps_it(tmp_path):
    Image.fromarray(photograph(20, 24)).save(tmp_path / "a.png")
    words = ["upscale", str(tmp_path / "a.png"), "--precision", "int8", "--threads", "1"]
    done = edgesr_(*words)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines()[0].endswith(", int8")
    want = Upscaler(precision="int8", threads=1)(photograph(20, 24))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a_4x.png")), want)
    report = json.loads(edgesr_(*words[:2], "--json", "--overwrite", "--precision", "fp32").stdout)
    assert report["precision"] == "fp32"
    assert "fidelity 0.5" in error_of(*words, "--fidelity", "0.5")
