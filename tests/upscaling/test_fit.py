"""Weights of another model, or for one size of tile, are refused in a line that says what would do; what fits is used as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import error_of
from pictures import difference, photograph
from PIL import Image

from edgesr import Upscaler
from edgesr.errors import UsageError
from edgesr.presets import weights_path
from edgesr.upscaling.engines import load_engine

onnx = pytest.importorskip("onnx")

RELEASED = weights_path("tiny")


def edited(path: Path, *, metadata: dict[str, str] | None = None, size=None, channels=None, name=None) -> Path:
    """The released file with other metadata, and an input of one size, another number of channels or another name."""
    proto = onnx.load(str(RELEASED))
    if metadata is not None:
        del proto.metadata_props[:]
        for key, value in metadata.items():
            proto.metadata_props.add(key=key, value=value)
    for value in proto.graph.input:
        shape, cells = value.type.tensor_type.shape.dim, {"lr": 1, "eps": 2}[value.name]
        if size is not None:
            shape[0].dim_value = 1
            shape[2].dim_value, shape[3].dim_value = size[1] // cells, size[0] // cells
        if channels is not None and value.name == "eps":
            shape[1].dim_value = channels
        if name is not None and value.name == "eps":
            value.name = name
            for node in proto.graph.node:
                node.input[:] = [name if each == "eps" else each for each in node.input]
    path.write_bytes(proto.SerializeToString())
    return path


def refusal(**options):
    with pytest.raises(UsageError) as caught:
        Upscaler(threads=1, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_weights_of_another_model_are_refused_with_the_model_to_name(engine):
    pytest.importorskip(engine)
    said = refusal(model="small", weights=str(RELEASED), engine=engine)
    assert said == f"{RELEASED}: contains the model 'tiny', not 'small': use --model tiny, or other weights"


def test_the_command_line_says_so_too(tmp_path):
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.png")
    words = ["upscale", str(tmp_path / "a.png"), "--model", "small", "--weights", str(RELEASED)]
    assert "contains the model 'tiny'" in error_of(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_file_without_metadata_is_used_where_its_shapes_fit(tmp_path):
    picture = photograph(12, 16)
    bare = edited(tmp_path / "bare.onnx", metadata={})
    assert np.array_equal(Upscaler(weights=bare, threads=1)(picture), Upscaler(threads=1)(picture))
    other = edited(tmp_path / "other.onnx", metadata={}, name="noise")
    assert "its inputs are lr, noise, expected lr and eps" in refusal(weights=other)


def test_noise_of_another_size_is_refused(tmp_path, monkeypatch):
    file = edited(tmp_path / "four.onnx", metadata={"preset": "tiny", "latent_channels": "4"})
    assert "its noise has 16 channels, expected 4 for 'tiny'" in refusal(weights=file)


@pytest.mark.parametrize("size", [(128, 128), (64, 96)])
def test_a_file_for_one_tile_is_refused_where_tiles_are_of_any_size(tmp_path, size):
    said = refusal(weights=edited(tmp_path / "one.onnx", size=size))
    assert f"only takes tiles of {size[0]}x{size[1]} px;" in said
    assert said.endswith("export it with --size dynamic")


@pytest.mark.parametrize(("height", "width"), [(128, 128), (150, 230), (20, 24)])
def test_a_file_for_the_papers_tile_makes_pictures_of_any_size_by_the_papers_plan(tmp_path, height, width):
    picture = photograph(height, width)
    out = Upscaler(weights=edited(tmp_path / "one.onnx", size=(128, 128)), tile="blended", threads=1)(picture)
    any_size = Upscaler(tile="blended", threads=1)(picture)
    assert out.shape == any_size.shape
    if min(height, width) >= 128:
        assert np.array_equal(out, any_size)
    else:  # it sees the last row and column repeated, where the other file sees nothing
        assert difference(out[:40, :40], any_size[:40, :40]) <= 12
        assert np.abs(out.astype(float) - any_size).mean() < 2


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_every_engine_tells_what_a_file_says(engine):
    pytest.importorskip(engine)
    inputs, metadata = load_engine(engine, RELEASED, 1).contents
    assert inputs == {"lr": (None, 3, None, None), "eps": (None, 16, None, None)}
    assert metadata["preset"] == "tiny"
