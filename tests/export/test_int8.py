"""The released files in 8 bits: near float32 on photographs and where rounding shows first, and made from the released weights.

The quality is measured with the quantised graph evaluated in float arithmetic, which is the result of exact integer kernels on any
processor; a second test holds onnxruntime's own kernels to it.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from pictures import photograph

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from edgesr import onnx_metadata
from edgesr.errors import EdgesrError
from edgesr.export import int8
from edgesr.presets import difference_path, get_preset, int8_path, weights_path
from edgesr.upscaling import forms
from edgesr.upscaling.engines import load_engine
from edgesr.upscaling.noise import noise_field

SIDE = 96
REMAKE = "make it again: python tools/release.py FILE.onnx FILE-int8.onnx --calibrate PHOTOS"


def full(fidelity):
    path = weights_path("tiny")
    return forms.interpolate(path, difference_path("tiny"), 1.0) if fidelity else path.read_bytes()


def tile(pixels):
    lr = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)[None]
    return {"lr": lr, "eps": noise_field(0, get_preset("tiny").latent_channels, range(SIDE // 2), range(SIDE // 2))[None]}


def pictures():
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    ramps = np.stack([rows, columns, (rows + columns) / 2], axis=2)
    corners = (np.arange(8)[:, None] >> np.arange(3)) & 1  # black to white
    blocks = corners[(np.add.outer(np.arange(SIDE) // 12 * 3, np.arange(SIDE) // 12)) % 8]
    noise = np.random.default_rng(0).normal(0.03, 0.02, (SIDE, SIDE, 3)).clip(0, 1)
    return {
        "photograph": (photograph(SIDE, SIDE) / 255, 49),
        "gradient": (ramps, 50),
        "flat gradient": (0.4 + 0.1 * ramps, 51),
        "dark noise": (noise, 49),
        "saturated colours": (blocks, 38),  # hard edges between the corners of the cube
    }


@pytest.mark.parametrize("fidelity", [False, True])
@pytest.mark.parametrize("name", list(pictures()))
def test_the_graph_is_near_float32(name, fidelity):
    pixels, least = pictures()[name]
    (psnr,) = int8.psnr_in_float(int8_path("tiny", fidelity=fidelity).read_bytes(), full(fidelity), [tile(pixels)])
    assert psnr >= least


@pytest.mark.parametrize("fidelity", [False, True])
def test_onnxruntime_computes_what_the_graph_says_with_and_without_vnni(fidelity):
    data = int8_path("tiny", fidelity=fidelity).read_bytes()
    fed = tile(photograph(SIDE, SIDE) / 255)
    want = int8._as_written(data).run(["hr"], fed)[0]
    got = load_engine("onnxruntime", data, 1)(fed["lr"], fed["eps"])
    # Sums that saturate in 16 bits give 32 dB; what remains are ties that round the other way, carried on by later layers.
    assert -10 * np.log10(np.mean((got - want) ** 2)) > 50


def test_a_flat_area_stays_flat():
    engines = [load_engine("onnxruntime", data, 1) for data in (int8_path("tiny", fidelity=False).read_bytes(), full(False))]
    for level in (0.0, 0.1, 0.5, 0.9, 1.0):
        fed = tile(np.full((SIDE, SIDE, 3), level))
        eight, thirty_two = (engine(fed["lr"], fed["eps"]) for engine in engines)
        assert np.quantile(np.abs(eight - thirty_two), 0.99) < 1.5 / 255
        assert np.abs(eight - thirty_two).max() < 4 / 255
        assert np.abs(eight.mean() - thirty_two.mean()) < 0.5 / 255


@pytest.mark.parametrize("fidelity", [False, True])
def test_the_released_file_was_made_from_the_released_weights(fidelity):
    said = onnx_metadata.read(int8_path("tiny", fidelity=fidelity).read_bytes())
    assert said["float32_sha256"] == hashlib.sha256(full(fidelity)).hexdigest(), REMAKE
    assert said["version"] == onnx_metadata.read(weights_path("tiny").read_bytes())["version"], REMAKE
    assert (said["precision"], said["preset"]) == ("int8", "tiny")


def test_most_operations_are_in_8_bits():
    proto = onnx.load_model_from_string(int8_path("tiny", fidelity=False).read_bytes())
    made = {output: node for node in proto.graph.node for output in node.output}
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in proto.graph.initializer}
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    whole = sum(sizes.get(node.input[1], 0) for node in convolutions)
    small = sum(sizes[made[node.input[1]].input[0]] for node in convolutions if node.input[1] in made)
    assert small > 0.9 * (small + whole)


def test_a_file_far_from_float32_is_refused():
    with pytest.raises(EdgesrError, match=r"47\.0 dB against float32, and needs 48"):
        int8.check([46.0, 48.0], "tiny-int8.onnx")
