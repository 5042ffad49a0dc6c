"""The file of differences: right wherever the weights lie, half the size, and none where there can be none."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
from release import main
from two_forms import RELEASED, half_precision, make, moved, weights

from edgesr.errors import EdgesrError
from edgesr.export.difference import MAX_DIFFERENCE, write_difference
from edgesr.model import build, checkpoint
from edgesr.model.loading import load_averaged
from edgesr.presets import get_preset
from edgesr.upscaling.engines import load_engine
from edgesr.upscaling.forms import interpolate


@pytest.fixture
def released():
    return onnx.load_model_from_string(RELEASED)


def refusal(folder, ours, theirs):
    """Write two models, ask for their difference, and return why there is none."""
    target = folder / "tiny-fidelity.npz"
    target.write_text("the release before")
    for name, data in (("a.onnx", ours), ("b.onnx", theirs)):
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    with pytest.raises(EdgesrError) as caught:
        write_difference(folder / "a.onnx", folder / "b.onnx", target)
    assert "\n" not in str(caught.value)
    assert {path.name for path in folder.iterdir()} == {"a.onnx", "b.onnx", target.name}
    assert target.read_text() == "the release before"
    return str(caught.value)


def test_it_is_half_the_size(tmp_path):
    forms = make(tmp_path)
    assert forms.difference.stat().st_size <= 0.51 * forms.crisp.stat().st_size


def test_tensors_of_the_same_bytes_are_told_apart(tmp_path, released):
    """Biases of zero, and equal kernels, are found by where they are and not by what they hold."""
    for tensor in released.graph.initializer:
        if tensor.name.endswith((".bias", "conv1.weight")):
            tensor.raw_data = bytes(len(tensor.raw_data))
    other = moved(released)
    a, b, target = tmp_path / "a.onnx", tmp_path / "b.onnx", tmp_path / "d.npz"
    a.write_bytes(released.SerializeToString())
    b.write_bytes(other.SerializeToString())
    write_difference(a, b, target)
    got, before, want = map(weights, (onnx.load_model_from_string(interpolate(a, target, 1.0)), released, other))
    assert got.keys() == want.keys()
    assert all((np.abs(got[name] - want[name]) <= half_precision(want[name] - before[name])).all() for name in want)


def test_a_form_of_itself_changes_nothing(tmp_path):
    path, target = tmp_path / "a.onnx", tmp_path / "d.npz"
    path.write_bytes(RELEASED)
    assert write_difference(path, path, target) == 0
    assert interpolate(path, target, 1.0) == RELEASED


@pytest.mark.parametrize("what", ["operator", "name", "shape", "integer", "fewer"])
def test_other_networks_are_no_forms(tmp_path, released, what):
    other = moved(released)
    tensors = {tensor.name: tensor for tensor in other.graph.initializer}
    if what == "operator":
        next(node for node in other.graph.node if node.op_type == "Relu").op_type = "Sigmoid"
    elif what == "name":
        tensors["encoder.head.bias"].name = "encoder.tail.bias"
    elif what == "shape":
        tensors["encoder.head.bias"].dims[:] = [16, 2]
    elif what == "integer":
        tensor = next(tensor for tensor in tensors.values() if tensor.data_type == onnx.TensorProto.INT64)
        tensor.raw_data = bytes(255 - byte for byte in tensor.raw_data)
    else:
        other.graph.initializer.remove(tensors["decoder.bicubic"])
    message = refusal(tmp_path, released, other)
    assert "a.onnx" in message
    assert "other form" in message


def test_what_half_precision_cannot_hold_is_refused(tmp_path, released):
    other = moved(released)
    tensor = next(tensor for tensor in other.graph.initializer if tensor.name == "encoder.head.bias")
    tensor.raw_data = np.full(tensor.dims, 1e6, "<f4").tobytes()
    assert "half precision" in refusal(tmp_path, released, other)


def test_forms_too_far_apart_for_half_precision_are_refused(tmp_path, released):
    assert "output" in refusal(tmp_path, released, moved(released, change=2))


def test_a_file_of_another_layout_is_refused(tmp_path, released):
    misplaced = b"\x32\x02hi"  # the field doc_string, behind what it should precede
    assert "laid out" in refusal(tmp_path, RELEASED + misplaced, moved(released))


@pytest.mark.parametrize("bad", ["a.onnx", "b.onnx"])
def test_what_is_no_model_is_named(tmp_path, released, bad):
    files = {"a.onnx": released, "b.onnx": moved(released), bad: b"no model"}
    assert bad in refusal(tmp_path, files["a.onnx"], files["b.onnx"])


def trained(folder, change):
    """A checkpoint of weights that are all at work, `change` of their size away from those of another."""
    model = build(get_preset("tiny"))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        deviation = 0.6 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.05
        start, step = (torch.randn(parameter.shape, generator=generator) for _ in range(2))
        parameter.data = deviation * (start + change * step)
    tensors = {f"ema.edge.{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint.save(folder, tensors, {"preset": "tiny", "stage": "end-to-end", "step": 7, "variant": vars(model.variant)})


def release(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["release.py", *map(str, words)])
    return main()


def test_a_checkpoint_becomes_the_fidelity_form_of_a_released_one(tmp_path, monkeypatch, capsys):
    for name, change in (("crisp", 0), ("true", 0.1)):
        trained(tmp_path / name, change)
    onnx_file, difference = tmp_path / "tiny.onnx", tmp_path / "tiny-fidelity.npz"
    assert release(monkeypatch, tmp_path / "crisp", onnx_file) == 0
    assert release(monkeypatch, tmp_path / "true", difference, "--beside", onnx_file) == 0
    assert f"{difference}: 2.5 MB" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"crisp", "true", onnx_file.name, difference.name}

    rng = np.random.default_rng(0)
    tile = rng.random((1, 3, 48, 64), np.float32), rng.standard_normal((1, 16, 24, 32), np.float32)
    model, _ = load_averaged(tmp_path / "true")
    with torch.no_grad():
        want = model.eval()(*map(torch.from_numpy, tile)).numpy()
    crisp, got = (load_engine("auto", form, 1)(*tile) for form in (onnx_file, interpolate(onnx_file, difference, 1.0)))
    assert np.abs(crisp - want).max() > 0.02, "nothing to tell the forms apart by"
    assert np.abs(got - want).max() <= MAX_DIFFERENCE


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tiny-fidelity.npz"], "--beside"),
        (["tiny.onnx", "--beside", "tiny.onnx"], "--beside"),
        (["folder", "--beside", "tiny.onnx"], "--beside"),
        (["tiny-fidelity.npz", "--beside", "gone.onnx"], "gone.onnx"),
    ],
)
def test_a_difference_needs_the_file_it_belongs_to(tmp_path, monkeypatch, capsys, words, expected):
    monkeypatch.chdir(tmp_path)
    assert release(monkeypatch, "checkpoint", *words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
